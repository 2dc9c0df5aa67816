"""How many of the 40 QuixBugs programs does `repair` fix with its first patch?

    python -m tests.benchmarks.quixbugs CASES ORACLE [--only NAME ...] [--cpu 60]

CASES is a folder with one folder for each bug: `project/` (what the tool sees), `case.json` (its
test command), `answer/` (never shown to the tool). ORACLE is a script that judges a patched module
on random valid inputs: `ORACLE CASES NAME FILE` prints JSON with "correct". Nothing of the
benchmark is in this repository. Prints one row a bug and the sum; exit code 1 below 38 of 40.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from selfheal_engine.config import Settings
from selfheal_engine.errors import SelfhealError
from selfheal_engine.repair.repairing import RepairReport, repair_project

GOAL = 38 / 40


def repaired(case: Path, cpu_s: float) -> RepairReport:
    command = json.loads((case / "case.json").read_text())["test"]
    return repair_project(
        case / "project",
        [sys.executable, *command[1:]],
        (),
        Settings(search_s=cpu_s * 0.85),
        lambda text: None,
    )


def correct(oracle: Path, cases: Path, name: str, content: bytes) -> bool:
    with tempfile.NamedTemporaryFile(suffix=".py") as file:
        file.write(content)
        file.flush()
        run = subprocess.run(
            [sys.executable, str(oracle), str(cases), name, file.name],
            capture_output=True,
            text=True,
        )
    return run.returncode in (0, 1) and bool(json.loads(run.stdout or "{}").get("correct"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=Path)
    parser.add_argument("oracle", type=Path)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--cpu", type=float, default=60.0, help="processor seconds a bug")
    options = parser.parse_args()
    names = options.only or sorted(p.parent.name for p in options.cases.glob("*/case.json"))
    first = among = high = misled = 0
    print(f"{'bug':28} {'first':6} {'among':6}  cpu s wall s  tried plausible")
    for name in names:
        started = time.monotonic()
        try:
            report = repaired(options.cases / name, options.cpu)
        except SelfhealError as why:
            print(f"{name:28} {why}")
            continue
        judged = [
            correct(options.oracle, options.cases, name, dict(c.files)[f"{name}.py"])
            for c in report.candidates
        ]
        first += judged[:1] == [True]
        among += any(judged)
        high += report.tier == "high"
        misled += report.tier == "high" and judged[:1] != [True]
        print(
            f"{name:28} {'yes' if judged[:1] == [True] else 'no':6} "
            f"{'yes' if any(judged) else 'no':6} {report.cpu_s:6.1f} "
            f"{time.monotonic() - started:6.1f} {report.tried:6} {report.plausible:9}",
            flush=True,
        )
    print(f"first: {first} of {len(names)}; among those shown: {among} of {len(names)}")
    print(f"first shown as high: {high}, of them wrong: {misled}")
    return 0 if first >= GOAL * len(names) else 1


if __name__ == "__main__":
    sys.exit(main())
