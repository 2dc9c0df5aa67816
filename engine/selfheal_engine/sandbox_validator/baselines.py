"""What the unpatched tree does, and the part of it that is kept while the tree stands.

The tests' results depend on nothing but the tree, the interpreter and the command, so they are
kept on disk under a key made of these; what the reproducers do belongs to one occurrence.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from selfheal_engine.codec import from_plain, to_plain
from selfheal_engine.model import Reproducer
from selfheal_engine.project import SKIPPED_FOLDERS, Project
from selfheal_engine.sandbox_validator.jobs import Outcome
from selfheal_engine.sandbox_validator.test_runs import TestCommand, TestRun

_CODE_SUFFIXES = (".py", ".pyi", ".toml", ".cfg", ".ini", ".txt", ".json", ".yaml", ".yml", ".html")
"""What tests depend on; logs and databases change all the time without changing results."""
KEPT_AT_MOST = 40


@dataclass(slots=True)
class Tests:
    """The service's own tests on the unpatched tree."""

    __test__ = False

    passing: frozenset[str] = frozenset()
    """In both runs: these must pass with a patch too."""
    failing: frozenset[str] = frozenset()
    flaky: frozenset[str] = frozenset()
    """Passing in one run only: quarantined by name."""
    note: str = ""
    """Why there is nothing to compare with."""
    seconds: float = 0.0
    changed: frozenset[str] = frozenset()
    """Files of the project that the tests themselves write."""
    libraries: tuple[str, ...] = ()
    late: bool = False
    """Whether the time was over before the last of them: of the others nothing is known."""
    ran: tuple[str, ...] = ()
    """Ids in the order of a slow suite, to which `runs` refers."""
    runs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """"path:function" -> places in `ran` of the tests that run it; a slow suite's only."""


@dataclass(slots=True)
class Baseline:
    """What the unpatched tree does."""

    reproducers: tuple[tuple[int, Reproducer, Outcome], ...] = ()
    """Those whose bug shows: (number, reproducer, outcome)."""
    reproducer_note: str = ""
    """Why a reproducer shows nothing."""
    goods: dict[str, dict[str, str]] = field(default_factory=dict)
    """Good calls that end well twice: step -> the leaves that must stay the same."""
    goods_asked_s: float = 0.0
    """When they were last compared, on the monotonic clock."""
    good_steps: tuple[dict[str, Any], ...] = ()
    """All of them, since what one writes the next may read."""
    batch: Outcome = field(default_factory=dict)
    """How the batch of good calls ended, and how long it took."""
    neighbours: Outcome = field(default_factory=dict)
    """How inputs close to the recorded one end."""
    cost: Outcome = field(default_factory=dict)
    """What the good calls cost: bytecodes, CPU time, growth."""
    caught: frozenset[str] = frozenset()
    """Exception classes that the project catches by name: raising them is a refusal."""
    makers: frozenset[str] = frozenset()
    """"path:function" of those outside the failing call that may have made its wrong value."""
    imports: bool = True
    libraries: tuple[str, ...] = ()
    """What the project had loaded besides its own modules when it was imported."""
    command: TestCommand | None = None
    tests: Tests = field(default_factory=Tests)
    infrastructure: str = ""


def learn(first: TestRun, second: TestRun) -> Tests:
    """Two runs of the same tree: passing in both counts, in one only is quarantined."""
    fault = first.infrastructure or second.infrastructure or first.fault or second.fault
    if fault:
        return Tests(note=f"the tests cannot be used: {fault}", libraries=first.libraries)
    one, two = first.with_outcome("passed"), second.with_outcome("passed")
    passing = one & two
    return Tests(
        passing=passing,
        failing=first.with_outcome("failed") & second.with_outcome("failed"),
        flaky=(one | two) - passing,
        note="" if passing else "no test passes on the unpatched tree",
        seconds=min(first.seconds, second.seconds),
        changed=frozenset(first.changed) | frozenset(second.changed),
        libraries=first.libraries,
        late=first.late or second.late,
        ran=tuple(second.contexts.get("tests", ())),
        runs={key: tuple(tests) for key, tests in second.contexts.get("runs", {}).items()},
    )


def key(project: Project, command: TestCommand) -> str:
    """A name for the tree's code, the interpreter and the command: equal keys, equal results."""
    digest = hashlib.sha256(
        json.dumps([str(project.root), project.python, command.runner, command.args]).encode()
    )
    for path, size, mtime in sorted(_code_files(project.root)):
        digest.update(f"{path}\0{size}\0{mtime}\n".encode(errors="replace"))
    return digest.hexdigest()[:32]


def _code_files(root: Path) -> list[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = []
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if name not in SKIPPED_FOLDERS]
        for name in files:
            if name.endswith(_CODE_SUFFIXES):
                try:
                    state = os.stat(os.path.join(folder, name))
                except OSError:
                    continue
                found.append((os.path.join(folder, name), state.st_size, state.st_mtime_ns))
    return found


class Kept:
    """Tests' results on disk, the newest ones only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, name: str) -> Tests | None:
        """None when nothing (readable) is kept under that key."""
        try:
            plain: Mapping[str, Any] = json.loads((self._folder / f"{name}.json").read_bytes())
            tests: Tests = from_plain(Tests, plain)
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return replace(
            tests,
            passing=frozenset(tests.passing),
            failing=frozenset(tests.failing),
            flaky=frozenset(tests.flaky),
            changed=frozenset(tests.changed),
        )

    def load_first(self, name: str) -> TestRun | None:
        """The first of the two runs, where whoever learned was ended before the second."""
        try:
            plain: Mapping[str, Any] = json.loads(self._first(name).read_bytes())
            run: TestRun = from_plain(TestRun, plain)
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return run

    def save_first(self, name: str, run: TestRun) -> None:
        if not (run.fault or run.infrastructure):
            self._write(self._first(name), run)

    def _first(self, name: str) -> Path:
        return self._folder / f"{name}.first.json"

    def save(self, name: str, tests: Tests) -> None:
        """Failing to keep is no failure: the tests are run again next time."""
        if not tests.note:
            self._write(self._folder / f"{name}.json", tests)
        with suppress(OSError):
            self._first(name).unlink(missing_ok=True)

    def _write(self, path: Path, body: Tests | TestRun) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            part = self._folder / f".{path.stem}.{os.getpid()}"
            part.write_text(json.dumps(to_plain(body)), encoding="utf-8")
            part.replace(path)
            files = sorted(self._folder.glob("*.json"), key=lambda f: f.stat().st_mtime)
            for old in files[:-KEPT_AT_MOST]:
                old.unlink(missing_ok=True)
        except OSError:
            return
