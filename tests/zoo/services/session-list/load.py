from selfheal_tui.demo.driver import Moment, Request, play


def plan(moment: Moment) -> Request:
    rng = moment.rng
    if moment.bug_on and rng.random() < 0.3:
        return Request("GET", "/operators/countries", bad=True)
    if moment.number < 10:
        return Request("POST", "/sessions/restore", {"count": 1500})
    country = rng.choice(["de", "fr", "it", "se"])
    return Request("POST", "/sessions", {"user": f"u{moment.number}", "country": country})


play(plan)
