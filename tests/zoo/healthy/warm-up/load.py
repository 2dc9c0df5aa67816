from selfheal_tui.demo.driver import Moment, Request, play


def plan(moment: Moment) -> Request:
    return Request("GET", f"/avatars/user{moment.rng.randint(1, 400)}")


play(plan)
