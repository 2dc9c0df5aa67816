import sys

from selfheal_tui.demo.driver import Moment, Request, options, play
from selfheal_tui.demo.upstream import Upstream

chosen = options(sys.argv[1:])
Upstream(
    port=chosen.upstream_port,
    answer=lambda path: {"valid": True, "town": "Hamburg"},
    seed=chosen.seed,
    stall_after_s=chosen.bug_after_s,
    stall_share=0.12,
    stall_s=25,
).start()


def plan(moment: Moment) -> Request:
    rng = moment.rng
    if rng.random() < 0.6:
        return Request("GET", f"/tariffs/{rng.randint(100, 9000)}")
    return Request("GET", f"/labels/{rng.randint(10000, 99999)}", bad=moment.bug_on)


play(plan, chosen)
