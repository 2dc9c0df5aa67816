from selfheal_tui.demo.driver import Moment, Request, play


def plan(moment: Moment) -> Request:
    rng = moment.rng
    code = f"R{rng.randint(1, 20)}-{rng.randint(8, 17):02}{rng.choice(['00', '30'])}"
    if moment.bug_on and rng.random() < 0.15:
        return Request("GET", f"/slots/R{rng.randint(1, 20)}@{rng.randint(8, 17)}h", bad=True)
    if rng.random() < 0.3:
        return Request("POST", f"/slots/{code}/bookings", {"who": f"p{rng.randint(1, 99)}"})
    return Request("GET", f"/slots/{code}")


play(plan)
