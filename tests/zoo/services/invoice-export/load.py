from selfheal_tui.demo.driver import Moment, Request, play


def plan(moment: Moment) -> Request:
    rng = moment.rng
    if moment.bug_on and rng.random() < 0.2:
        return Request("GET", f"/invoices/{rng.randint(1, 3)}.text", bad=True)
    kind = rng.choice(["csv", "json", "csv", "json", "pdf"])
    return Request("GET", f"/invoices/{rng.randint(1, 4)}.{kind}")


play(plan)
