"""The service's own tests: how they are started, what they said, what a regression is."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfheal_engine.project import Project
from selfheal_engine.sandbox_validator.jobs import Report, Workshop

RESOURCE_FAULTS = (
    "MemoryError",
    "No space left on device",
    "can't start new thread",
    "Cannot allocate memory",
    "Too many open files",
    "File too large",
)
"""Messages of a sandbox at its limits, not of a wrong patch."""
RUNNER_FAILED = 3
"""pytest's exit code for an internal error."""


@dataclass(frozen=True, slots=True)
class TestCommand:
    """How the tests are run: a runner that reports by id, or a plain command."""

    __test__ = False

    runner: str
    """pytest, unittest, module, script, command."""
    args: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TestRun:
    """One run of the tests."""

    __test__ = False

    outcomes: Mapping[str, str]
    """Test id -> passed, failed, skipped."""
    reasons: Mapping[str, str]
    seconds: float
    infrastructure: str = ""
    fault: str = ""
    """Why the run as a whole proves nothing: it died, a canary was wrong, records were forged."""
    changed: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    """Modules outside the project that the run had loaded at its end, when asked for."""
    covered: dict[str, list[int]] = field(default_factory=dict)
    """Those of the lines asked for that the tests ran."""
    stopped: str = ""
    """The expected test at whose failure the run was stopped."""
    late: bool = False
    """Whether it ended because its time was over, with tests left."""
    contexts: Mapping[str, Any] = field(default_factory=dict)
    """Which functions each test ran, when asked for: see inside/contexts.py."""

    def with_outcome(self, outcome: str) -> frozenset[str]:
        return frozenset(name for name, found in self.outcomes.items() if found == outcome)

    def missing(self, expected: frozenset[str]) -> frozenset[str]:
        """Those that should have passed and did not; of a run cut short, those that it reached."""
        reached = expected & self.outcomes.keys() if self.stopped or self.late else expected
        return reached - self.with_outcome("passed")


def command_of(project: Project) -> TestCommand | None:
    """The tests of a project; pytest where none are named but test files lie about."""
    words = list(project.tests)
    if len(words) == 1 and " " in words[0]:
        words = shlex.split(words[0])
    if not words:
        return TestCommand("pytest", ()) if _has_tests(project) else None
    if words[0] == "env":
        words = [word for word in words[1:] if "=" not in word]
    name = os.path.basename(words[0])
    if name in ("pytest", "py.test"):
        return TestCommand("pytest", tuple(words[1:]))
    if not name.startswith(("python", "pypy")):
        return TestCommand("command", tuple(words))
    rest = words[1:]
    while rest and rest[0] in ("-B", "-E", "-I", "-s", "-S", "-u", "-bb", "-b"):
        rest = rest[1:]
    if rest[:1] == ["-m"] and len(rest) > 1:
        if rest[1] in ("pytest", "unittest"):
            return TestCommand(rest[1], tuple(rest[2:]))
        return TestCommand("module", tuple(rest[1:]))
    if rest and rest[0].endswith(".py"):
        return TestCommand("script", tuple(rest))
    return TestCommand("command", (project.python, *words[1:]))


def _has_tests(project: Project) -> bool:
    return any(
        name.startswith("test_") or name.endswith("_test.py")
        for name in (Path(file).name for file in project.python_files())
    )


def run_tests(
    workshop: Workshop,
    command: TestCommand,
    files: Mapping[str, bytes],
    wall_s: float,
    orders: Mapping[str, Any],
) -> TestRun:
    """Run the tests with `files` in place, as the orders for inside/testing.py say.

    A plain command takes no orders.
    """
    if command.runner == "command":
        return _plain_run(workshop, command, files, wall_s)
    told = {"runner": command.runner, "args": list(command.args), **orders}
    return read(workshop.test(told, files, wall_s), float(orders["budget_s"]))


def _plain_run(
    workshop: Workshop, command: TestCommand, files: Mapping[str, bytes], wall_s: float
) -> TestRun:
    run = workshop.command(command.args, files, wall_s)
    name = " ".join(command.args)
    outcome = "passed" if run.returncode == 0 else "failed"
    said = (run.stdout + run.stderr)[-400:].decode(errors="replace")
    infrastructure = run.infrastructure or _at_limits(said if outcome == "failed" else "")
    return TestRun({name: outcome}, {name: said}, run.seconds, infrastructure, changed=run.changed)


def read(report: Report, budget_s: float = 0.0) -> TestRun:
    """What a report of inside/testing.py means. No run is out of time before its budget is."""
    outcomes: dict[str, str] = {}
    reasons: dict[str, str] = {}
    canaries: list[tuple[str, str]] = []
    end: dict[str, Any] | None = None
    forged = ""
    for record in report.records:
        if "forged" in record:
            forged = str(record["forged"])
        elif "canary" in record:
            canaries.append((record["canary"], record["outcome"]))
        elif "test" in record:
            name, outcome = str(record["test"]), str(record["outcome"])
            if outcomes.get(name, outcome) != outcome:
                outcome = "mixed"
            outcomes[name] = outcome
            if record.get("why"):
                reasons[name] = str(record["why"])
        elif "end" in record:
            end = record["end"]
    stopped = str((end or {}).get("stopped", ""))
    late = bool((end or {}).get("late"))
    fault = _fault(report, canaries, end, forged)
    if late and not 0.0 < budget_s <= report.seconds:
        fault = fault or "the test run ended before its time was over"
    limits = next(filter(None, map(_at_limits, reasons.values())), "")
    if fault and (end or {}).get("code") == RUNNER_FAILED:
        # at its limits the runner fails too, in the middle of reporting what a test met
        limits = limits or "the test runner itself failed: pytest ended with an internal error"
    return TestRun(
        outcomes,
        reasons,
        report.seconds,
        report.infrastructure or limits,
        fault,
        report.changed,
        tuple((end or {}).get("libraries", ())),
        dict((end or {}).get("covered", {})),
        stopped,
        late,
        dict((end or {}).get("contexts", {})),
    )


def _fault(
    report: Report, canaries: list[tuple[str, str]], end: dict[str, Any] | None, forged: str
) -> str:
    if forged:
        return "something other than the runner wrote test results"
    if report.timed_out:
        return f"the tests did not end within {report.seconds:.0f} s"
    if end is None:
        last = report.errors.strip().splitlines()[-1:] or [""]
        return f"the test run ended before its last test: {last[0][:200]}".rstrip(": ")
    # the last group never ran when it was stopped
    wanted = 1 if end.get("stopped") or end.get("late") else 2
    good = sum(kind == "p" and outcome == "passed" for kind, outcome in canaries)
    bad = sum(kind == "f" and outcome == "failed" for kind, outcome in canaries)
    if good + bad != len(canaries) or good < wanted or bad != 3 * good:
        return "canary tests did not end as they must: the runner cannot be believed"
    return ""


def _at_limits(text: str) -> str:
    for sign in RESOURCE_FAULTS:
        if sign in text:
            return f"a test ran into the sandbox's limits: {sign}"
    return ""
