from selfheal_tui.demo.driver import Moment, Request, play

WARM = ("acme", "globex", "initech")


def plan(moment: Moment) -> Request:
    rng = moment.rng
    if moment.bug_on and rng.random() < 0.15:
        return Request("GET", f"/flags/new{rng.randint(1, 500)}", bad=True)
    return Request("GET", f"/flags/{rng.choice(WARM)}")


play(plan)
