from selfheal_tui.demo.driver import Moment, Request, play


def plan(moment: Moment) -> Request:
    if moment.rng.random() < 0.3:
        return Request("POST", "/notes", {"text": f"note {moment.number}"})
    return Request("GET", "/notes")


play(plan)
