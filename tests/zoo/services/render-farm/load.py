from selfheal_tui.demo.driver import Moment, Request, play


def plan(moment: Moment) -> Request:
    rng = moment.rng
    bad = moment.bug_on and rng.random() < 0.12
    pages = 900 if bad else rng.randint(1, 40)
    return Request("GET", f"/previews/doc{rng.randint(1, 500)}?pages={pages}", bad=bad)


play(plan)
