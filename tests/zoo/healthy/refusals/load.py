from selfheal_tui.demo.driver import Moment, Request, play


def plan(moment: Moment) -> Request:
    rng = moment.rng
    if rng.random() < 0.3:
        return Request("POST", "/login", {"user": "ada", "code": "1815"})
    if rng.random() < 0.2:
        return Request("GET", f"/wp-admin/{rng.randint(1, 99)}")
    return Request("POST", "/login", {"user": f"robot{rng.randint(1, 9)}", "code": rng.choice(["x", "1"])})


play(plan)
