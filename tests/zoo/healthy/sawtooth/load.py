from selfheal_tui.demo.driver import Moment, Request, play


def plan(moment: Moment) -> Request:
    return Request("POST", "/measurements", b"m" * moment.rng.randint(20_000, 40_000))


play(plan)
