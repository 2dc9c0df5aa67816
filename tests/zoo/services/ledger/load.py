from selfheal_tui.demo.driver import Moment, Request, play

LIVELY = (("rent", "savings"), ("savings", "rent"))


def plan(moment: Moment) -> Request:
    rng = moment.rng
    if rng.random() < 0.4:
        return Request("GET", f"/accounts/{rng.choice(['cash', 'fees', 'taxes'])}")
    if moment.bug_on and rng.random() < 0.5:
        payer, payee = rng.choice(LIVELY)
        return Request("POST", "/transfers", {"from": payer, "to": payee, "cents": 5}, bad=True)
    # before, money went one way only
    return Request("POST", "/transfers", {"from": "cash", "to": "fees", "cents": 1})


play(plan)
