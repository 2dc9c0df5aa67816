from selfheal_tui.demo.driver import Moment, Request, play


def plan(moment: Moment) -> Request:
    rng = moment.rng
    if moment.bug_on and rng.random() < 0.8:
        address = ".".join(str(rng.randint(1, 254)) for _ in range(4))
        return Request("GET", f"/locate/{address}", bad=True)
    return Request("GET", f"/locate/10.0.0.{rng.randint(1, 30)}")


play(plan)
