from selfheal_tui.demo.driver import Moment, Request, play


def plan(moment: Moment) -> Request:
    rng = moment.rng
    if moment.number % 2:
        return Request("POST", "/jobs", {"what": f"job {rng.randint(1, 999)}"})
    # from the bug's time on the workers wake up together
    often = 0.9 if moment.bug_on else 0.2
    if rng.random() < often:
        return Request("POST", "/claims", {"worker": f"w{rng.randint(1, 9)}"}, bad=moment.bug_on)
    return Request("GET", "/jobs")


play(plan)
