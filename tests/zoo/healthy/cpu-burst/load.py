from selfheal_tui.demo.driver import Moment, Request, play


def plan(moment: Moment) -> Request:
    if moment.rng.random() < 0.5:
        return Request("GET", "/sum")
    return Request("POST", "/values", {"value": moment.rng.randint(1, 1000)})


play(plan)
