from selfheal_tui.demo.driver import Moment, Request, play


def plan(moment: Moment) -> Request:
    rng = moment.rng
    if moment.bug_on and rng.random() < 0.2:
        text = f"!remind {rng.randint(1, 90)}m tea"
        return Request("POST", "/messages", {"text": text}, bad=True)
    text = rng.choice(["!roll 2d6", "!echo hello there", "just talking", "!unknown", "!roll 1d20"])
    return Request("POST", "/messages", {"text": text})


play(plan)
