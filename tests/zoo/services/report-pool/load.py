from selfheal_tui.demo.driver import Moment, Request, play


def plan(moment: Moment) -> Request:
    rng = moment.rng
    if moment.bug_on and rng.random() < 0.08:
        return Request("GET", "/reports/monthly?region=north&order=colour", bad=True)
    if rng.random() < 0.3:
        return Request("GET", f"/reports/regions?least={rng.randint(0, 20)}")
    region = rng.choice(["north", "south", "west"])
    return Request("GET", f"/reports/monthly?region={region}&order={rng.choice(['month', 'total'])}")


play(plan)
