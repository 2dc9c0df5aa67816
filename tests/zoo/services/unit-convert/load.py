from selfheal_tui.demo.driver import Moment, Request, play


def plan(moment: Moment) -> Request:
    rng = moment.rng
    if moment.bug_on and rng.random() < 0.2:
        return Request("GET", f"/temperature?from=C&to=F&value={rng.randint(-20, 40)}", bad=True)
    if rng.random() < 0.1:
        return Request("GET", "/length?from=m&to=parsec&value=1")
    return Request("GET", f"/length?from=m&to=ft&value={rng.randint(1, 900)}")


play(plan)
