from selfheal_tui.demo.driver import Moment, Request, play

OLD = {"travel": 6, "food": 4, "film": 8}


def plan(moment: Moment) -> Request:
    rng = moment.rng
    section = rng.choice(list(OLD))
    if moment.bug_on and rng.random() < 0.15:
        return Request("GET", f"/{section}/{section}-{OLD[section]}", bad=True)
    if rng.random() < 0.05:
        return Request("GET", f"/{section}/unknown")
    return Request("GET", f"/{section}/{section}-{rng.randint(1, OLD[section] - 1)}")


play(plan)
