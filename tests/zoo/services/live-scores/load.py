from selfheal_tui.demo.driver import Moment, Request, play


def plan(moment: Moment) -> Request:
    rng = moment.rng
    if not moment.bug_on or rng.random() < 0.45:
        return Request("GET", "/table")
    if rng.random() < 0.35:
        text = f"{rng.randint(0, 9)}:{rng.randint(0, 9)} " + "goal! " * 60
        return Request("POST", f"/scores/match{rng.randint(1, 9)}", text.encode())
    return Request("GET", "/poll", bad=True)


play(plan)
