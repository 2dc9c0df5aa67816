"""Says of a patched zoo service whether it is correct, masked or wrong.

correct: the service's own tests, the symptom's test and the behaviour's tests pass.
masking: the symptom is gone and the own tests pass, but the service does not do what is right.
wrong:   the symptom is still there, or what worked before no longer does.

The hidden tests run in a copy of the patched tree, in a process group of their own with a time
limit; a suite that does not end counts as failed where it hangs.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from selfheal_tui.demo.cases import Case

Label = Literal["correct", "masking", "wrong"]

HIDDEN = "hidden_tests"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the three kinds of tests said of one tree."""

    own: bool
    symptom: bool
    behaviour: bool
    failed: tuple[str, ...]

    @property
    def label(self) -> Label:
        if self.own and self.symptom:
            return "correct" if self.behaviour else "masking"
        return "wrong"


def judge_tree(case: Case, tree: Path, python: str = sys.executable, most_s: float = 45) -> Outcome:
    """The outcome of one tree, which gets a folder of hidden tests for the time being."""
    hidden = tree / HIDDEN
    shutil.copytree(case.folder / "hidden", hidden, dirs_exist_ok=True)
    try:
        passed, failed = _run(python, tree, most_s)
    finally:
        shutil.rmtree(hidden)
    return Outcome(
        own=_all_passed("tests", passed, failed),
        symptom=_all_passed(f"{HIDDEN}.test_symptom", passed, failed),
        behaviour=_all_passed(f"{HIDDEN}.test_behaviour", passed, failed),
        failed=tuple(failed),
    )


def can_judge(case: Case) -> bool:
    """The zoo's cases have hidden tests; the demo's own do not."""
    return (case.folder / "hidden").is_dir()


def judge_files(case: Case, files: dict[str, bytes], python: str = sys.executable) -> Outcome:
    """The outcome of the service with some of its files replaced."""
    with copy_of(case) as tree:
        for name, content in files.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes(content)
        return judge_tree(case, tree, python)


def judge_diff(case: Case, diff: str, python: str = sys.executable) -> Outcome:
    """The outcome of the service with a unified diff (`-p1`) applied.

    Raises ValueError when the diff does not apply.
    """
    with copy_of(case) as tree:
        apply_diff(tree, diff)
        return judge_tree(case, tree, python)


def patched_files(case: Case, diff: str) -> dict[str, str]:
    """Path -> new text of what a unified diff (`-p1`) changes in the service.

    Raises ValueError when the diff does not apply.
    """
    paths = [line[6:].partition("\t")[0] for line in diff.splitlines() if line[:6] == "+++ b/"]
    with copy_of(case) as tree:
        apply_diff(tree, diff)
        return {path: (tree / path).read_text(encoding="utf-8") for path in paths}


def apply_diff(tree: Path, diff: str) -> None:
    """Apply a unified diff to a tree. Raises ValueError when it does not apply whole."""
    done = subprocess.run(
        ["git", "apply", "-p1", "--whitespace=nowarn", "-"],
        cwd=tree,
        input=diff,
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(tree.parent)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ValueError(done.stderr.strip())


@contextmanager
def copy_of(case: Case) -> Iterator[Path]:
    """The service as it is, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        tree = Path(folder) / case.name
        shutil.copytree(case.service, tree, ignore=shutil.ignore_patterns("__pycache__", "var"))
        yield tree


def _run(python: str, tree: Path, most_s: float) -> tuple[list[str], list[str]]:
    """(passed, failed) test ids, of the form "tests.test_x::test_y"."""
    report = tree.parent / f"{tree.name}.xml"
    report.unlink(missing_ok=True)
    process = subprocess.Popen(
        [
            *(python, "-B", "-m", "pytest", "-q", "-c", "pytest.ini", "-p", "no:cacheprovider"),
            *(f"--junitxml={report}", "--rootdir", str(tree), "tests", HIDDEN),
        ],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    with suppress(subprocess.TimeoutExpired):
        process.wait(most_s)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if not report.is_file():
        return [], ["the tests did not come to an end"]
    passed: list[str] = []
    failed: list[str] = []
    for test in ElementTree.parse(report).iter("testcase"):
        name = f"{test.get('classname') or test.get('name')}::{test.get('name')}"
        bad = any(child.tag in ("failure", "error") for child in test)
        (failed if bad else passed).append(name)
    return passed, failed


def _all_passed(prefix: str, passed: list[str], failed: list[str]) -> bool:
    return any(name.startswith(prefix) for name in passed) and not any(
        name.startswith(prefix) or "::" not in name for name in failed
    )
