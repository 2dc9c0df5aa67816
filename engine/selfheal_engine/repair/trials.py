"""Asks the sandbox to run the project's tests, one by one, on the tree and on many mutants."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from selfheal_engine.codec import from_plain
from selfheal_engine.config import Settings
from selfheal_engine.errors import SandboxUnavailableError, SelfhealError
from selfheal_engine.model import Frame, Occurrence, Value
from selfheal_engine.project import Project
from selfheal_engine.sandbox_validator import Limits, level, run_walled

MOST_TESTS = 2000
MIB = 1 << 20
SHELLS = ("sh", "bash", "dash", "zsh")
DROPPED_BY_UNITTEST = ("-v", "--verbose", "-q", "--quiet", "-f", "--failfast", "-b", "--buffer")
DROPPED = ("-x", "--exitfirst", "-v", "-vv", "--lf", "--ff", "--failed-first", "-s")
DROPPED_WITH_VALUE = ("-n", "--numprocesses", "--cov", "--cov-report", "--junitxml", "--maxfail")


@dataclass(frozen=True)
class TestResult:
    """One test on the unpatched tree."""

    __test__ = False

    id: str
    outcome: str
    """passed, failed, skipped, timeout or died."""
    seconds: float
    cpu_s: float
    lines: Mapping[str, frozenset[int]]
    text: str = ""
    occurrence: Occurrence | None = None
    """The failing test's exception as an occurrence, where it raised one."""
    imported: bool = True
    """False for a test module that cannot be imported: its tests are not even known."""

    @property
    def failed(self) -> bool:
        return self.outcome in ("failed", "timeout", "died")


@dataclass(frozen=True)
class Trial:
    """How one mutant did."""

    id: int
    outcome: str
    """passed, failed, timeout, died, unplaced or unproven (the tests pass without it, too)."""
    passed: int
    test: str
    seconds: float
    further: tuple[int, str, int, str] | None = None
    """Of one that fails in another way than the unpatched tree: how many lines the test came
    further, and the file, line and exception of the failure now."""


@dataclass
class Runner:
    """Runs one project's tests inside the sandbox."""

    project: Project
    settings: Settings
    runner: str = "pytest"
    """pytest, unittest or django."""
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    """What the test command sets before it runs."""
    cpu_s: float = field(default=0.0)
    """Processor seconds that the sandboxes used so far."""

    @property
    def root(self) -> str:
        return str(self.project.root.resolve())

    def first_run(self, only: Sequence[str] = (), limit_s: float = 10.0) -> list[TestResult]:
        """Every test in a process of its own, with the lines it reached.

        Raises SelfhealError when the tests cannot be collected.
        """
        job = {
            "what": "tests",
            "only": list(only),
            "most_tests": MOST_TESTS,
            "limit_s": limit_s,
        }
        messages = self._run(job, self.settings.test_timeout_s)
        results = [_result(message, self.root) for message in messages if message["what"] == "test"]
        if not any(message["what"] == "collected" and message["tests"] for message in messages):
            why = next((m["text"] for m in messages if m["what"] == "broken"), "")
            last = why.strip().splitlines()[-1] if why.strip() else "no test was found"
            missing = re.search(r"No module named '(pytest|django)'", last)
            if missing:
                raise SelfhealError(
                    f"{self.project.python} has no {missing.group(1)}: name the interpreter of "
                    "the project's own environment in --tests"
                )
            raise SelfhealError(
                f"the tests cannot be collected ({last}): run {' '.join(self.project.tests)!r} "
                "by hand and check --tests"
            )
        return results

    def try_mutants(
        self,
        mutants: Sequence[Mapping[str, Any]],
        failing: Sequence[str],
        tests: Sequence[str],
        limits: Mapping[str, float],
        cpu_s: float,
        whole_files: Sequence[Mapping[str, Any]] = (),
        alone: int = 0,
    ) -> list[Trial]:
        """Run the tests (in their order) on each mutant until one fails, the `failing` ones first.

        Stops when `cpu_s` processor seconds are used. The first `alone` mutants get a process of
        their own even when they fail among others.
        """
        job = {
            "what": "mutants",
            "mutants": list(mutants),
            "whole_files": list(whole_files),
            "failing": list(failing),
            "tests": list(tests),
            "limits": dict(limits),
            "test_limit_s": max(limits.values(), default=1.0),
            "limit_s": min(120.0, 20.0 + 4 * sum(limits.get(t, 1.0) for t in tests)),
            "cpu_s": cpu_s,
            "alone": alone,
        }
        # processor time ends it; a loaded machine may need many times as long for that
        messages = self._run(job, cpu_s * 8 + 30)
        return [
            Trial(
                m["id"],
                m["outcome"],
                m.get("passed", 0),
                m.get("test", ""),
                m["seconds"],
                tuple(m["further"]) if m.get("further") else None,
            )
            for m in messages
            if m["what"] == "mutant"
        ]

    def _run(self, job: dict[str, Any], wall_s: float) -> list[dict[str, Any]]:
        if level().tier >= 3:
            raise SandboxUnavailableError(
                f"patches cannot be tried on this machine: {level().note}: {level().fix}"
            )
        inside = Path(str(files("selfheal_engine.repair.inside").joinpath("trials.py")))
        agent = Path(str(files("selfheal_agent"))).parent
        job |= {
            "root": self.root,
            "runner": self.runner,
            "arguments": list(self.arguments),
            "memory_bytes": 0,
        }
        run = run_walled(
            [self.project.python, "-B", str(inside)],
            project=self.project.root,
            stdin=json.dumps(job).encode(),
            env={
                **self.environment,
                "PYTHONPATH": os.pathsep.join([str(agent), *self._import_folders()]),
                "PYTHONHASHSEED": "0",
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            limits=Limits(
                wall_s=wall_s,
                memory_bytes=self.settings.sandbox_memory_mb * MIB,
                processes=self.settings.sandbox_processes,
                output_bytes=256 * MIB,
            ),
            read_only=(inside.parent, agent / "selfheal_agent"),
        )
        messages = list(_messages(run.stdout))
        used = [m["cpu_s"] for m in messages if m["what"] == "end"]
        self.cpu_s += used[0] if used else run.seconds
        if not messages:
            said = run.infrastructure or run.stderr.decode(errors="replace").strip()[-300:]
            raise SelfhealError(f"the tests could not be run in the sandbox: {said or 'no answer'}")
        return messages

    def _import_folders(self) -> list[str]:
        given = self.environment.get("PYTHONPATH", "").split(os.pathsep)
        return [os.path.normpath(os.path.join(self.root, folder)) for folder in given if folder]


def _messages(output: bytes) -> Iterable[dict[str, Any]]:
    for line in output.splitlines():
        try:
            message = json.loads(line)
        except ValueError:
            continue  # cut off where the sandbox was stopped
        if isinstance(message, dict) and "what" in message:
            yield message


def _result(message: dict[str, Any], root: str) -> TestResult:
    lines = {
        file[len(root) + 1 :]: frozenset(numbers)
        for file, numbers in message.get("lines", {}).items()
        if file.startswith(root + "/")
    }
    error = message.get("error")
    return TestResult(
        message["id"],
        message["outcome"],
        message["seconds"],
        message.get("cpu_s", 0.0),
        lines,
        message.get("text", ""),
        _occurrence(message["id"], error, message.get("imported", True)) if error else None,
        message.get("imported", True),
    )


def _occurrence(test: str, error: dict[str, Any], imported: bool) -> Occurrence:
    frames = []
    for raw in error["frames"]:
        values = tuple((n, from_plain(Value, v)) for n, v in raw.pop("locals", ()))
        frame = from_plain(Frame, raw)
        frames.append(Frame(**{**_fields(frame), "locals": values}))
    return Occurrence(
        id=test,
        kind="exception" if imported else "syntax",
        time_s=0.0,
        pid=0,
        exception=error["exception"],
        message=error["message"],
        frames=tuple(frames),
        caught_by="test",
    )


def _fields(frame: Frame) -> dict[str, Any]:
    return {name: getattr(frame, name) for name in Frame.__slots__}


def command_words(tests: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """(what the command sets in the environment, its words without that).

    Understands `NAME=value ...`, `env NAME=value ...` and one `sh -c "..."` around it all.
    """
    words = list(tests)
    if len(words) == 1 and " " in words[0]:
        words = shlex.split(words[0])
    if len(words) > 2 and os.path.basename(words[0]) in SHELLS and words[1] in ("-c", "-ec", "-lc"):
        words = shlex.split(words[2].replace("&&", " ; ").rpartition(" ; ")[2])
    if words[:1] == ["env"]:
        words = words[1:]
    environment: dict[str, str] = {}
    while words and re.fullmatch(r"[A-Za-z_]\w*=.*", words[0], re.DOTALL):
        name, _, value = words.pop(0).partition("=")
        environment[name] = value
    return environment, words


def runner_of(project: Project, settings: Settings) -> Runner:
    """How the project's test command is run test by test. Raises SelfhealError for others."""
    environment, words = command_words(project.tests)
    for name in ("pytest", "py.test"):
        at = next((i for i, word in enumerate(words) if os.path.basename(word) == name), None)
        if at is not None:
            return Runner(project, settings, "pytest", _kept(words[at + 1 :]), environment)
    if "unittest" in words:
        rest = [w for w in words[words.index("unittest") + 1 :] if w not in DROPPED_BY_UNITTEST]
        return Runner(project, settings, "unittest", tuple(rest), environment)
    manage = next((i for i, word in enumerate(words) if os.path.basename(word) == "manage.py"), -1)
    if manage >= 0 and words[manage + 1 : manage + 2] == ["test"]:
        labels = [word for word in words[manage + 2 :] if not word.startswith("-")]
        return Runner(project, settings, "django", (words[manage], *labels), environment)
    if not words:
        return Runner(project, settings, "pytest", (), environment)
    raise SelfhealError(
        f"{shlex.join(words)!r} runs no tests one by one: repair needs a pytest, unittest or "
        "`manage.py test` command"
    )


def _kept(words: Sequence[str]) -> tuple[str, ...]:
    """The command's arguments without those that stop early, run in parallel or report."""
    out: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in DROPPED_WITH_VALUE:
            skip = True
        elif word not in DROPPED and not word.startswith(
            tuple(f"{d}=" for d in DROPPED_WITH_VALUE)
        ):
            out.append(word)
    return tuple(out)
