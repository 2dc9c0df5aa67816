"""How often the duel of old and new code cries wolf, and how often it finds 10 % more work.

    python tests/benchmarks/performance.py [--runs N] [--json FILE]

Bytecodes are left out of account: this is the witness by CPU time alone. Each run is one sandboxed
job with a patch that does the same work (A/A) or a tenth more; the share of alarms is printed for
each kind of function, with the CPU seconds that a comparison takes.
"""

from __future__ import annotations

import argparse
import base64
import json
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from selfheal_agent import recording
from selfheal_engine.project import Project
from selfheal_engine.sandbox_validator.jobs import Outcome, Steps, Workshop
from selfheal_engine.sandbox_validator.limits import Limits
from selfheal_engine.sandbox_validator.warm import WarmServer

WORK = {
    "short loop": "    return sum(n * n for n in range({0}))\n",
    "dictionaries": "    return [{{'n': n, 's': str(n)}} for n in range({0} // 4)]\n",
    "sorting in C": "    return sorted(range({0} * 40), key=None, reverse=True)[:3]\n",
    "strings": "    return ','.join(map(repr, range({0})))\n",
    "json": "    import json\n    return json.dumps(list(range({0} * 4)))\n",
}
USUAL, MORE = 1000, 1100


def source(work: str, size: int, note: str = "") -> str:
    return f"{note}def work(thing):\n{work.format(size)}"


def outcome(workshop: Workshop, before: str, after: str) -> Outcome:
    call = {
        "id": "g0", "kind": "call", "module": "app", "function": "work",
        "arguments": recording.encode({"args": [1], "kwargs": {}}),
    }  # fmt: skip
    old = {"app.py": base64.b64encode(before.encode()).decode()}
    step = {
        "id": "duel", "kind": "duel", "calls": [call], "before": old,
        "timeout_s": 15.0, "wall_s": 90.0,
    }  # fmt: skip
    report = workshop.replay(Steps(steps=(step,)), {"app.py": after.encode()})
    return report.outcome("duel")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="of each kind of function")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    spent: list[float] = []
    results: dict[str, dict[str, list[bool]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "service"
        root.mkdir()
        (root / "app.py").write_text(source(WORK["strings"], USUAL))
        project = Project(root, sys.executable, ())
        workshop = Workshop(project, Limits())
        workshop.warm = WarmServer(project, ("json",), Limits(), 2)
        try:
            for name, work in WORK.items():
                found = results.setdefault(name, {"same": [], "more": []})
                groups: list[float] = []
                for number in range(given.runs):
                    for kind, size in (("same", USUAL), ("more", MORE)):
                        after = source(work, size, f"# {number}\n")
                        seen = outcome(workshop, source(work, USUAL), after)
                        if seen["ended"] != "returned":
                            print(f"{name}: {seen}", file=sys.stderr)
                        found[kind].append(bool(seen.get("slower")))
                        groups.append(float(seen.get("groups", 0)))
                        spent.append(float(seen.get("cpu_s", 0)))
                print(
                    f"{name:14} false {sum(found['same'])} of {len(found['same'])}, "
                    f"found {sum(found['more'])} of {len(found['more'])}, "
                    f"median of {statistics.median(groups):.0f} groups",
                    flush=True,
                )
        finally:
            workshop.warm.close()
    same = [alarm for found in results.values() for alarm in found["same"]]
    more = [alarm for found in results.values() for alarm in found["more"]]
    print(f"false alarms at the same work {sum(same)} of {len(same)} (budget 2 %)")
    print(f"10 % more work found          {sum(more)} of {len(more)} (budget 95 %)")
    print(
        f"CPU seconds a comparison      {statistics.mean(spent):.2f}, at most {max(spent):.2f} (2)"
    )
    if given.json:
        given.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
