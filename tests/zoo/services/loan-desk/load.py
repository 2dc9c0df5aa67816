from selfheal_tui.demo.driver import Moment, Request, play


def plan(moment: Moment) -> Request:
    rng = moment.rng
    if moment.bug_on and rng.random() < 0.2:
        return Request("GET", "/overdue", bad=True)
    if rng.random() < 0.4:
        return Request("POST", "/loans", {"book": rng.randint(1, 9999), "days": rng.choice([7, 14, 28])})
    return Request("GET", f"/loans/{rng.randint(1, 5)}")


play(plan)
