"""Runs inside the sandbox: a project's tests one by one, then many mutants against them.

Standard library only, Python 3.9 and later, plus the project's own test runner. The tests are
collected once; every test of the first run, and every mutant, gets a fork of that warm process,
so nothing leaks from one to the next and an endless loop costs its time limit only. A job comes
in as JSON on standard input, results go out as JSON lines on the real standard output.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selfheal_engine.repair.inside.collecting import with_items
    from selfheal_engine.repair.inside.forks import Channel
    from selfheal_engine.repair.inside.mutants import run_mutants, run_whole_files
    from selfheal_engine.repair.inside.tracing import first_run
else:
    from collecting import with_items
    from forks import Channel
    from mutants import run_mutants, run_whole_files
    from tracing import first_run


def main() -> None:
    # our modules must not stand in the way of the project's of the same name
    for name in ("collecting", "exchanging", "forks", "mutants", "tracing"):
        sys.modules.pop(name, None)
    sys.path[:] = [path for path in sys.path if path != os.path.dirname(os.path.abspath(__file__))]
    job = json.load(sys.stdin)
    channel = Channel()
    sys.path.insert(0, job["root"])
    sys.setswitchinterval(0.05)
    try:
        if job["what"] == "tests":
            with_items(job, lambda items: first_run(job, items, channel))
        else:
            if job.get("runner") == "pytest":
                __import__("pytest")
            run_whole_files(job, channel)
            if job["mutants"]:
                with_items(job, lambda items: run_mutants(job, items, channel))
        channel.say(what="end", cpu_s=sum(os.times()[:4]))
    except BaseException:  # noqa: BLE001 - it is reported, not handled
        channel.say(what="broken", text=traceback.format_exc()[-2000:])
    os._exit(0)


if __name__ == "__main__":
    main()
