import hashlib

from selfheal_tui.demo.driver import Moment, Request, play


def plan(moment: Moment) -> Request:
    rng = moment.rng
    name = f"{rng.randint(0, 3)}/{rng.randint(0, 7)}"
    if moment.bug_on and rng.random() < 0.5:
        x, y = name.split("/")
        etag = hashlib.sha1(f"tile {x} {y}\n".encode() * 40).hexdigest()[:16]
        return Request("GET", f"/tiles/{name}", headers={"If-None-Match": etag}, bad=True)
    if rng.random() < 0.05:
        return Request("GET", "/tiles/9/9")
    return Request("GET", f"/tiles/{name}")


play(plan)
