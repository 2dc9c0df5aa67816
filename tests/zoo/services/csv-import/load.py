from selfheal_tui.demo.driver import Moment, Request, play


def plan(moment: Moment) -> Request:
    rng = moment.rng
    if rng.random() < 0.3:
        return Request("GET", "/prices")
    bad = moment.bug_on and rng.random() < 0.15
    names = ["Käse", "Brot", "Äpfel", "Milch", "Öl"]
    rows = [f"{name};{rng.randint(1, 20)}.{rng.randint(10, 99)}" for name in rng.sample(names, 3)]
    if bad:
        rows.append("Grütze;3.50")
    elif rng.random() < 0.1:
        rows.append("Salz")
    text = "name;price\n" + "\n".join(rows) + "\n"
    return Request("POST", "/prices", text.encode("latin-1" if bad else "utf-8"), bad=bad)


play(plan)
