from selfheal_tui.demo.driver import Moment, Request, play


def plan(moment: Moment) -> Request:
    rng = moment.rng
    if not moment.bug_on or rng.random() < 0.2:
        return Request("GET", "/settings")
    body = {"key": f"limit{rng.randint(1, 20)}", "value": "x" * rng.randint(6000, 14000)}
    return Request("PUT", "/settings", body, bad=True)


play(plan)
