"""Real crashes of other projects: is a correct patch among those shown, and is the first one right?

    python -m tests.benchmarks.real_crashes CASES --envs DIR [--oracle test|crash] [--only ID ...]

CASES holds one folder for each bug: `project/` (the buggy tree with the test that fails),
`case.json` (that test, the environment's name, what must be on the path) and `answer/fix.diff`,
the developers' fix, never shown to the tool; `_probe/` has the pytest plugins that old tests need.
DIR holds the environments; each learns the names that old projects import (`oldnames`). Nothing
of the bugs is in this repository.

Two rows. "test": `repair` is given the failing test. "crash": the tests are taken away; the
failing test's body runs under the probe as a stand-in for the service, and a proposal is made
of the traceback and its replay alone. A patch is correct when the bug's test passes with it, and
everything else in that test's files that passes with the developers' fix. Coverage is the share
of bugs for which anything is shown, precision the share of first patches that are correct.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from selfheal_engine.config import Settings
from selfheal_engine.coordinator.job import Job, Workplace
from selfheal_engine.coordinator.proposing import propose
from selfheal_engine.errors import SelfhealError
from selfheal_engine.model import Candidate, Incident, IncidentState, Occurrence, Target
from selfheal_engine.project import Project
from selfheal_engine.repair.repairing import repair_project
from selfheal_engine.sandbox_validator.executors import validator_for
from selfheal_engine.sources import open_source
from tests.benchmarks._session import save
from tests.benchmarks._statistics import percent, wilson

PLUGINS = "_plugins"
CAPTURE_S = 40.0
JUDGED_S = 75.0
FILES = ("-o", "addopts=", "-o", "python_files=*.py")
FLAGS = ("-q", "-W", "ignore", "-p", "no:cacheprovider", *FILES)

DRIVER = """\
import logging, sys, time

time.sleep(2)
import pytest

log = logging.getLogger("service")


class Plugin:
    @staticmethod
    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(item, call):
        yield  # what unittest's classes raised is put into the call by now
        if call.excinfo is not None:
            failed = call.excinfo
            log.error("it failed", exc_info=(failed.type, failed.value, failed.tb))


# the record of the second time has the arguments as they were at the entry
for again in range(4):
    pytest.main(sys.argv[1:], plugins=[Plugin()])
    time.sleep(0.5)
time.sleep(60)
"""


@dataclass(frozen=True)
class Bug:
    """One case's folder."""

    folder: Path
    envs: Path
    said: dict[str, Any]

    @property
    def python(self) -> Path:
        return (self.envs / self.said["env"] / "bin" / "python").absolute()

    @property
    def tests(self) -> list[str]:
        return list(self.said["tests"])

    @property
    def test_folders(self) -> list[str]:
        """The top folders (or files) that hold the bug's tests."""
        return sorted({test.partition("::")[0].split("/")[0] for test in self.tests})

    def path(self, project: Path, tests: Path) -> str:
        """PYTHONPATH with the tree's tests in `tests`, and the plugins."""
        extra = [str(tests / folder) for folder in self.said["extra_path"]]
        known = [str(tests), str(project), *extra, str(tests / PLUGINS)]
        return os.pathsep.join(dict.fromkeys(known))

    def copy_to(self, tree: Path) -> None:
        """The buggy tree, with the plugins in it: the sandbox shows nothing beside the tree."""
        shutil.copytree(self.folder / "project", tree, symlinks=True)
        shutil.copytree(self.folder.parent / "_probe", tree / PLUGINS)


@dataclass(frozen=True)
class Shown:
    """One shown patch with the tests' word on it."""

    template: str
    confidence: float
    correct: bool
    diff: str
    failed: str = ""


@dataclass
class Row:
    """What became of one bug."""

    bug: str
    exception: str
    shown: list[Shown] = field(default_factory=list)
    tier: str = ""
    cpu_s: float = 0.0
    tried: int = 0
    note: str = ""

    @property
    def first(self) -> bool:
        return bool(self.shown) and self.shown[0].correct

    @property
    def among(self) -> bool:
        return any(one.correct for one in self.shown)


# ---------------------------------------------------------------- the judge
def passing(bug: Bug, tree: Path, ids: Sequence[str]) -> dict[str, bool]:
    """Which tests pass on the tree, by id; a run that dies says nothing of those behind it."""
    with tempfile.TemporaryDirectory(prefix="judged-") as scratch:
        report = Path(scratch, "report.xml")
        names = Path(scratch, "judge_names.py")
        names.write_text(NAMES, encoding="utf-8")
        run = subprocess.Popen(
            [str(bug.python), "-m", "pytest", *FLAGS, "-p", "oldnames", "-p", "judge_names", *ids],
            cwd=tree,
            env={
                "PATH": f"{bug.python.parent}:/usr/local/bin:/usr/bin:/bin",
                "HOME": scratch,
                "TMPDIR": scratch,
                "LANG": "C.UTF-8",
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONPATH": bug.path(tree, tree) + os.pathsep + scratch,
                "JUDGED_OUT": str(report),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            run.wait(JUDGED_S)
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, 9)
            run.wait()
        lines = report.read_text().splitlines() if report.exists() else []
    rows = [json.loads(line) for line in lines]
    return {name: all(good for other, good in rows if other == name) for name, _ in rows}


NAMES = """\
import json, os

OUT = os.environ["JUDGED_OUT"]


def pytest_runtest_logreport(report):
    if report.when == "call" or not report.passed:
        with open(OUT, "a") as file:
            file.write(json.dumps([report.nodeid, report.passed or report.skipped]) + "\\n")
"""


class Judge:
    """Knows what passes with the developers' fix; says whether a patch does as well."""

    def __init__(self, bug: Bug, folder: Path) -> None:
        self.bug, self.folder = bug, folder
        files = sorted({test.partition("::")[0] for test in bug.tests})
        self.wanted: dict[str, list[str]] = {}
        fixed = self._tree((bug.folder / "answer" / "fix.diff").read_bytes(), "fixed")
        for ids in (bug.tests, files):
            found = passing(bug, fixed, ids)
            self.wanted["|".join(ids)] = [name for name, good in found.items() if good]
        shutil.rmtree(fixed)

    def _tree(self, diff: bytes, name: str) -> Path:
        tree = self.folder / name
        shutil.rmtree(tree, ignore_errors=True)
        self.bug.copy_to(tree)
        for command in (["git", "apply", "-p1", "--whitespace=nowarn"], ["patch", "-p1", "-s"]):
            done = subprocess.run(
                command,
                cwd=tree,
                input=diff,
                capture_output=True,
                env={**os.environ, "GIT_CEILING_DIRECTORIES": str(self.folder)},
            )
            if done.returncode == 0:
                return tree
        raise ValueError(done.stderr.decode(errors="replace")[:200])

    def failed(self, diff: str) -> str:
        """Empty for a correct patch, else the first test that fails with it."""
        try:
            tree = self._tree(diff.encode("utf-8", "surrogateescape"), "judged")
        except ValueError as why:
            return f"does not apply: {why}"
        for ids, wanted in self.wanted.items():
            found = passing(self.bug, tree, ids.split("|"))
            missing = [name for name in wanted if not found.get(name)]
            if missing:  # some tests depend on the machine's mood
                again = passing(self.bug, tree, missing)
                missing = [name for name in missing if not again.get(name)]
            if missing or not wanted:
                return missing[0] if missing else "no test passes with the fix"
        return ""


# ---------------------------------------------------------------- the two rows
def from_test(bug: Bug, row: Row, folder: Path, settings: Settings) -> list[Candidate]:
    """What `repair` shows when it is given the bug's test."""
    tree = folder / "project"
    bug.copy_to(tree)
    words = ["env", f"PYTHONPATH={bug.path(tree, tree)}", str(bug.python), "-m", "pytest", *FLAGS]
    report = repair_project(
        tree, [*words, "-p", "oldnames", *bug.tests], (), settings, lambda text: None
    )
    row.cpu_s, row.tried, row.tier = report.cpu_s, report.tried, report.tier
    return list(report.candidates)


def from_crash(bug: Bug, row: Row, folder: Path, settings: Settings) -> list[Candidate]:
    """What is proposed for the crash, with the tests taken away."""
    tree, outside = folder / "project", folder / "outside"
    bug.copy_to(tree)
    teach_old_names(bug)
    outside.mkdir()
    for name in (*bug.test_folders, PLUGINS):
        shutil.move(str(tree / name), outside / name)
    settings = replace(
        settings, project=str(tree), run_dir=str(folder / "run"), state_dir=str(folder / "state")
    )
    occurrence = captured(bug, tree, outside, settings)
    if occurrence is None:
        row.note = "not caught"
        return []
    paths = tuple(bug.path(tree, tree).split(os.pathsep))
    project = Project(tree, str(bug.python), (), paths)
    incident = Incident("1", 1, IncidentState.OPEN, row.exception, 1.0, 1.0, occurrence=occurrence)
    workplace = Workplace(str(tree), str(bug.python), (), paths, settings)
    validator = validator_for(project, settings)
    ready: Future[None] = Future()
    ready.set_result(None)
    heard: list[str] = []
    try:
        validator.prepare()
        proposal = propose(
            Job(incident=incident, priors={}),
            workplace,
            validator,
            ready,
            lambda what, **body: heard.append(what),
            lambda: occurrence,
        )
    finally:
        validator.close()
    row.tier, row.tried = proposal.tier, heard.count("verdict")
    row.note = ", ".join(sorted({check.name for v in proposal.verdicts[:1] for check in v.checks}))
    return list(proposal.candidates)


def teach_old_names(bug: Bug) -> None:
    """Let the environment's Python know, at its start, the names that old projects import."""
    asked = "import sysconfig; print(sysconfig.get_path('purelib'))"
    done = subprocess.run([bug.python, "-c", asked], capture_output=True, text=True, check=True)
    packages = Path(done.stdout.strip())
    shutil.copy(bug.folder.parent / "_probe" / "oldnames.py", packages / "oldnames.py")
    (packages / "oldnames.pth").write_text("import oldnames\n", encoding="utf-8")


def captured(bug: Bug, tree: Path, outside: Path, settings: Settings) -> Occurrence | None:
    """The fullest record of the crash, from the test's body run some times under the probe."""
    driver = outside.parent / "driver.py"
    driver.write_text(DRIVER, encoding="utf-8")
    quiet = ["-p", "no:logging", "-s", "--tb=no", "-p", "oldnames", "--rootdir", str(outside)]
    command = (str(bug.python), str(driver), *FLAGS, *quiet, *bug.tests)
    before = os.getcwd(), dict(os.environ)
    # the probe's own place on the path is put in front of what is there
    os.environ.update(PYTHONPATH=bug.path(tree, outside), PYTHONDONTWRITEBYTECODE="1")
    os.chdir(outside)
    try:
        source = open_source(Target(command=command), settings)
    finally:
        os.chdir(before[0])
        os.environ.clear()
        os.environ.update(before[1])
    seen: list[Occurrence] = []
    end = time.monotonic() + CAPTURE_S
    try:
        while time.monotonic() < end and not any(o.count > 2 and own_crash(o) for o in seen):
            seen.extend(source.poll(0.1))
    finally:
        source.close(stop_service=True)
    found = [occurrence for occurrence in seen if own_crash(occurrence)]
    wanted = bug.said["exception"]
    return max(
        found,
        key=lambda o: (
            o.exception.rpartition(".")[2] == wanted,
            any(frame.arguments for frame in o.frames if frame.own),
            o.count,
        ),
        default=None,
    )


def own_crash(occurrence: Occurrence) -> bool:
    return occurrence.kind != "log" and any(frame.own for frame in occurrence.frames)


ORACLES = {"test": from_test, "crash": from_crash}


def try_bug(bug: Bug, oracle: str, settings: Settings) -> Row:
    row = Row(bug.folder.name, bug.said["exception"])
    with tempfile.TemporaryDirectory(prefix="real-") as temporary:
        folder = Path(temporary)
        try:
            candidates = ORACLES[oracle](bug, row, folder, settings)
        except SelfhealError as why:
            row.note = str(why)
            return row
        judge = Judge(bug, folder) if candidates else None
        for one in candidates:
            failed = judge.failed(one.diff) if judge else ""
            row.shown.append(Shown(one.template, one.confidence, not failed, one.diff, failed))
    return row


# ---------------------------------------------------------------- the table
def print_row(row: Row, seconds: float) -> None:
    shown = "".join("C" if one.correct else "w" for one in row.shown) or "-"
    first = row.shown[0].template if row.shown else row.note[:60]
    print(
        f"{row.bug:<18}{row.exception[:22]:<24}{shown:<7}{row.tier or '-':<11}"
        f"{row.tried:>6}{row.cpu_s:>7.1f}{seconds:>7.1f}  {first}",
        flush=True,
    )


def print_summary(rows: list[Row], oracle: str) -> None:
    count, shown = len(rows), [row for row in rows if row.shown]
    high = [row for row in shown if row.tier == "high"]
    print(f"\noracle: {oracle}; {count} bugs")
    for name, n, of in (
        ("coverage: anything shown", len(shown), count),
        ("correct among those shown", sum(row.among for row in rows), count),
        ("correct first", sum(row.first for row in rows), count),
        ("precision of the first one", sum(row.first for row in shown), len(shown)),
        ("precision of the first as high", sum(row.first for row in high), len(high)),
    ):
        low, up = wilson(n, of)
        share = percent(n / of) if of else "-"
        print(f"{name:<34}{n:>3} of {of:<4}{share:>6}   ({percent(low)} to {percent(up)})")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("cases", type=Path)
    parser.add_argument("--envs", type=Path, required=True)
    parser.add_argument("--oracle", choices=sorted(ORACLES), default="test")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--cpu", type=float, default=60.0, help="processor seconds of a search")
    parser.add_argument("--json", default="real_crashes", help="name of the result")
    given = parser.parse_args(arguments)
    cases = [json.loads(path.read_text()) for path in sorted(given.cases.glob("*/case.json"))]
    known = [said for said in cases if said.get("good") and said.get("crash")]
    print(
        f"{'bug':<18}{'exception':<24}{'shown':<7}{'tier':<11}{'tried':>6}{'cpu s':>7}{'wall s':>7}"
    )
    rows: list[Row] = []
    for said in known:
        if given.only and said["id"] not in given.only:
            continue
        started = time.monotonic()
        bug = Bug((given.cases / said["id"]).absolute(), given.envs, said)
        rows.append(try_bug(bug, given.oracle, Settings(search_s=given.cpu)))
        print_row(rows[-1], time.monotonic() - started)
        save(f"{given.json}_{given.oracle}", [asdict(row) for row in rows])
    print_summary(rows, given.oracle)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
