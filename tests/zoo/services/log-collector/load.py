from selfheal_tui.demo.driver import Moment, Request, play


def plan(moment: Moment) -> Request:
    rng = moment.rng
    if rng.random() < 0.2:
        return Request("GET", "/health")
    lines = [{"level": rng.choice(["info", "warning", "error"]), "text": f"m{n}"} for n in range(4)]
    bad = moment.bug_on and rng.random() < 0.05
    if bad:
        lines[2]["level"] = 40
    return Request("POST", "/batches", {"host": f"web{rng.randint(1, 6)}", "lines": lines}, bad=bad)


play(plan)
