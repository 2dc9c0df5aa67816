"""What the app would show for small cases, labelled by hidden tests: evidence for the score's fit.

    python -m tests.benchmarks.labelling CASES [--only NAME ...] [--jsonl FILE]

CASES is a folder with one text file a case, in parts that begin with a line `#: PATH`. `calls.py`
has `GOOD` and `BAD`, functions that call the project in ways that go well and that show the bug;
`hidden.py` has tests that only a right patch passes; every other part is a file of the project.
Nothing of the cases is in this repository: candidates for one bug are much alike, and rules must
not be made with the cases that judge them. Each case runs for real under the probe; its record
takes the same way as an incident's, to what would be shown. The rows that `--jsonl` adds to a
file are what tests/benchmarks/calibration.py reads.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfheal_engine.codec import to_plain
from selfheal_engine.config import Settings
from selfheal_engine.coordinator.job import Job, Workplace
from selfheal_engine.coordinator.proposing import propose
from selfheal_engine.errors import SelfhealError
from selfheal_engine.model import Candidate, Incident, Occurrence, Proposal, Target
from selfheal_engine.sandbox_validator.executors import validator_for
from selfheal_engine.sources import open_source

MOST_S = 30.0
"""Wall seconds in which the bug must show and good calls be on record."""
SETTLED_S = 4.0
"""Wall seconds without a fuller record after which it is taken as it is."""
HIDDEN_S = 60.0
DRIVER = """\
import logging, os, runpy, sys, time
sys.path.insert(0, os.getcwd())
calls = runpy.run_path(sys.argv[1])
for turn in range(2000):
    for good in calls["GOOD"]:
        good()
    if turn % 8 == 2:
        for bad in calls["BAD"]:
            try:
                bad()
            except Exception:
                logging.exception("this one failed")
    time.sleep(0.02)
"""


@dataclass(frozen=True, slots=True)
class SmallCase:
    """One bug in a small project."""

    name: str
    files: dict[str, str]
    calls: str
    hidden: str

    @classmethod
    def read(cls, file: Path) -> SmallCase:
        parts = re.split(r"^#: (\S+)\n", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
        files = dict(zip(parts[1::2], parts[2::2], strict=True))
        return cls(file.stem, files, files.pop("calls.py"), files.pop("hidden.py"))

    def lay_out(self, root: Path) -> None:
        for name, text in self.files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def recorded(case: SmallCase, folder: Path) -> tuple[Occurrence, Workplace]:
    """The bug's fullest record from a run under the probe. Raises SelfhealError without one."""
    project = folder / "project"
    case.lay_out(project)
    drive, calls = folder / "drive.py", folder / "calls.py"
    drive.write_text(DRIVER, encoding="utf-8")
    calls.write_text(case.calls, encoding="utf-8")
    settings = Settings(
        project=str(project), run_dir=str(folder / "run"), state_dir=str(folder / "state")
    )
    before = os.getcwd()
    os.chdir(project)
    try:
        source = open_source(Target(command=(sys.executable, str(drive), str(calls))), settings)
    finally:
        os.chdir(before)
    best: Occurrence | None = None
    end = time.monotonic() + MOST_S
    changed = time.monotonic()
    try:
        while time.monotonic() < end and (best is None or time.monotonic() < changed + SETTLED_S):
            for seen in source.poll(0.2):
                if seen.kind != "log" and (best is None or _context(seen) >= _context(best)):
                    if best is None or _context(seen) > _context(best):
                        changed = time.monotonic()
                    best = seen
        seen_project = source.project
    finally:
        source.close(stop_service=True)
    if best is None:
        raise SelfhealError("the bug did not show")
    own = seen_project
    place = Workplace(str(own.root), own.python, own.tests, own.import_paths, settings)
    return best, place


def _context(seen: Occurrence) -> tuple[int, int]:
    return len(seen.good_calls), sum(bool(frame.arguments) for frame in seen.frames)


def proposed(occurrence: Occurrence, place: Workplace) -> Proposal:
    """What would be shown for a bug of which this is the record."""
    now = time.time()
    fingerprint = occurrence.fingerprint
    incident = Incident(
        "i1", 1, "open", occurrence.exception, now, now, "warning", fingerprint,
        occurrence=occurrence,
    )  # fmt: skip
    validator = validator_for(place.project(), place.settings)
    ready: Future[None] = Future()
    try:
        validator.prepare()
        ready.set_result(None)

        def nothing(what: str, **body: Any) -> None:
            return None

        return propose(Job(incident, {}), place, validator, ready, nothing, lambda: occurrence)
    finally:
        validator.close()


def label(case: SmallCase, candidate: Candidate) -> str:
    """Whether the hidden tests pass on the patched project."""
    with tempfile.TemporaryDirectory(prefix="labelling-") as folder:
        root = Path(folder)
        case.lay_out(root)
        for name, content in candidate.files:
            (root / name).write_bytes(content)
        (root / "test_hidden.py").write_text(case.hidden, encoding="utf-8")
        words = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
        words += ["--rootdir", str(root), "-c", os.devnull, "test_hidden.py"]
        try:
            done = subprocess.run(
                words,
                cwd=root,
                env={**os.environ, "PYTHONPATH": str(root)},
                capture_output=True,
                timeout=HIDDEN_S,
            )
        except subprocess.TimeoutExpired:
            return "wrong"
    return "correct" if done.returncode == 0 else "wrong"


def rows(case: SmallCase) -> list[dict[str, Any]]:
    """The candidates that would be shown for a case, each with its label and its verdict."""
    with tempfile.TemporaryDirectory(prefix="labelling-") as folder:
        occurrence, place = recorded(case, Path(folder).resolve())
        proposal = proposed(occurrence, place)
    found = []
    for candidate, verdict in zip(proposal.candidates, proposal.verdicts, strict=True):
        plain = to_plain(candidate)
        kept = ("strategy", "template", "confidence", "impact", "risk", "diff", "title")
        row = {"case": case.name, "label": label(case, candidate)}
        row["files"] = {name: content.decode() for name, content in candidate.files}
        found.append({**row, **{k: plain[k] for k in kept}, "verdict": to_plain(verdict)})
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--jsonl", type=Path, help="add the labelled candidates to this file")
    given = parser.parse_args()
    total: Counter[str] = Counter()
    for file in sorted(given.cases.glob("*.txt")):
        if given.only and file.stem not in given.only:
            continue
        begun = time.monotonic()
        case = SmallCase.read(file)
        try:
            found = rows(case)
        except SelfhealError as why:
            print(f"{case.name:24} {why}", flush=True)
            continue
        total.update(row["label"] for row in found)
        said = [f"{row['label'][0].upper()}{row['verdict']['safety']}" for row in found]
        print(f"{case.name:24} {time.monotonic() - begun:5.1f} s  {' '.join(said)}", flush=True)
        if given.jsonl:
            with given.jsonl.open("a", encoding="utf-8") as out:
                out.writelines(json.dumps(row) + "\n" for row in found)
    print(f"{total['correct']} correct, {total['wrong']} wrong; C: correct, W: wrong, with score")
    return 0


if __name__ == "__main__":
    sys.exit(main())
