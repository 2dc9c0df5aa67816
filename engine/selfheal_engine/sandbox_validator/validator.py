"""Judges candidates: the baseline of the unpatched tree once, then each patch against it.

Checks run cheapest first and a patch that fails one is not run further: syntax and names,
then one walled run that imports the project and replays the recorded input and the good
calls, then the service's own tests. Candidates are judged side by side on the cores there are.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from selfheal_engine.config import Settings
from selfheal_engine.errors import SandboxUnavailableError
from selfheal_engine.model import (
    Candidate,
    Check,
    Diagnosis,
    Occurrence,
    Remark,
    Reproducer,
    Verdict,
)
from selfheal_engine.project import Project
from selfheal_engine.reflection_engine import review
from selfheal_engine.sandbox_validator import replays, scoring, static_checks, test_runs
from selfheal_engine.sandbox_validator.jobs import Outcome, Report, Steps, Workshop
from selfheal_engine.sandbox_validator.limits import MIB, Limits
from selfheal_engine.sandbox_validator.test_runs import TestCommand, TestRun
from selfheal_engine.sandbox_validator.wall import level
from selfheal_engine.sandbox_validator.warm import WarmServer

log = logging.getLogger(__name__)

RETRIES = 6
"""How often a test that newly fails is run again: with 10 % random failures, six in a row are
one in a million, so a flaky test never rejects a good patch."""


@dataclass(slots=True)
class Baseline:
    """What the unpatched tree does."""

    reproducers: tuple[tuple[int, Reproducer, Outcome], ...] = ()
    """Those whose bug shows: (number, reproducer, outcome)."""
    reproducer_note: str = ""
    goods: dict[str, str] = field(default_factory=dict)
    """Good calls that give the same twice: step -> what must stay the same."""
    good_steps: tuple[dict[str, object], ...] = ()
    imports: bool = True
    libraries: tuple[str, ...] = ()
    """What the project had loaded besides its own modules when it was imported."""
    command: TestCommand | None = None
    passing: frozenset[str] = frozenset()
    flaky: frozenset[str] = frozenset()
    tests_note: str = ""
    tests_seconds: float = 0.0
    changed: frozenset[str] = frozenset()
    infrastructure: str = ""


class SandboxValidator:
    """Validates patches for one project. Use from one thread; close() when done."""

    def __init__(self, project: Project, settings: Settings) -> None:
        isolation = level()
        self.tier = isolation.tier
        self.note = isolation.note if isolation.tier < 3 else f"{isolation.note}: {isolation.fix}"
        self.project = project
        self.settings = settings
        self._stop = threading.Event()
        limits = Limits(
            memory_bytes=settings.sandbox_memory_mb * MIB,
            disk_bytes=settings.sandbox_disk_mb * MIB,
            processes=settings.sandbox_processes,
        )
        extra = tuple(Path(path).expanduser() for path in settings.sandbox_paths)
        self._workshop = Workshop(project, limits, extra, cancelled=self._stop.is_set)
        self._jobs = settings.sandbox_jobs or os.cpu_count() or 1
        # sandboxes die with the thread that started them, so the threads live as long as we do
        self._pool = ThreadPoolExecutor(self._jobs, thread_name_prefix="sandbox")
        self._baseline = Baseline()

    def close(self) -> None:
        """Stop what still runs; nothing is left behind."""
        self._stop.set()
        if self._workshop.warm is not None:
            self._workshop.warm.close()
        self._pool.shutdown(wait=True, cancel_futures=True)

    # ------------------------------------------------------------------ the unpatched tree
    def baseline(self, diagnosis: Diagnosis, occurrence: Occurrence) -> None:
        """Learn what the unpatched tree does: which reproducers show the bug, which tests pass.

        Raises SandboxUnavailableError where this machine cannot isolate.
        """
        if self.tier >= 3:
            raise SandboxUnavailableError(f"patches cannot be tried on this machine: {self.note}")
        command = test_runs.command_of(self.project)
        first = self._pool.submit(self._tests, command, libraries=True) if command else None
        found = self._replay_baseline(diagnosis, occurrence)
        found.command = command
        cold = first.result() if first else None
        self._warm_up((*found.libraries, *(cold.libraries if cold else ())))
        if command and cold:
            _learn_tests(found, cold, self._pool.submit(self._tests, command).result())
        else:
            found.tests_note = "the project has no tests that were found"
        self._baseline = found

    def _warm_up(self, libraries: Sequence[str]) -> None:
        """Start the warm server; without it everything works as well, only slower."""
        if self._workshop.warm is None and not self._stop.is_set():
            workshop = self._workshop
            self._workshop.warm = WarmServer(
                self.project,
                tuple(dict.fromkeys(libraries)),
                workshop.limits,
                self._jobs,
                workshop.paths(),
                workshop.env,
            )

    def _replay_baseline(self, diagnosis: Diagnosis, occurrence: Occurrence) -> Baseline:
        goods = replays.good_steps(occurrence, self.project)
        wanted = [r for r in diagnosis.reproducers if r.kind != "test"]
        goods_seen = occurrence.good_calls
        steps = [replays.step_for(n, r, goods_seen, self.project) for n, r in enumerate(wanted)]
        twice = goods + [{**step, "id": str(step["id"]) + "again"} for step in goods]
        report = self._workshop.replay(self._job(steps + twice, ()), {})
        found = Baseline(infrastructure=report.infrastructure)
        imported = report.outcome("imports")
        found.imports = imported["ended"] == "returned"
        found.libraries = tuple(imported.get("libraries", ()))
        shown = []
        for number, reproducer in enumerate(wanted):
            name = "imports" if reproducer.kind == "import" else f"reproducer{number}"
            outcome = report.outcome(name)
            if replays.same_fault(reproducer, outcome):
                shown.append((number, reproducer, outcome))
            else:
                found.reproducer_note = found.reproducer_note or _why_not(reproducer, outcome)
        found.reproducers = tuple(shown)
        for step in goods:
            first = replays.comparable(report.outcome(str(step["id"])))
            again = replays.comparable(report.outcome(str(step["id"]) + "again"))
            if first == again and report.outcome(str(step["id"]))["ended"] == "returned":
                found.goods[str(step["id"])] = first
        found.good_steps = tuple(s for s in goods if str(s["id"]) in found.goods)
        return found

    def _tests(self, command: TestCommand, *, libraries: bool = False) -> TestRun:
        limit = self.settings.test_timeout_s
        return test_runs.run_tests(self._workshop, command, {}, limit, libraries=libraries)

    # ------------------------------------------------------------------ the candidates
    def validate(
        self,
        candidates: Sequence[Candidate],
        diagnosis: Diagnosis,
        occurrence: Occurrence,
        on_verdict: Callable[[Verdict], None],
    ) -> list[Verdict]:
        """Judge the candidates side by side; `on_verdict` hears each, in this thread."""
        futures = {
            self._pool.submit(self._judge, candidate, diagnosis, occurrence): candidate
            for candidate in candidates
        }
        verdicts: dict[str, Verdict] = {}
        for future in as_completed(futures):
            verdict = future.result()
            verdicts[futures[future].id] = verdict
            on_verdict(verdict)
        return [verdicts[candidate.id] for candidate in candidates]

    def _judge(self, candidate: Candidate, diagnosis: Diagnosis, occurrence: Occurrence) -> Verdict:
        started = time.monotonic()
        checks: list[Check] = []
        infrastructure = ""
        try:
            for check in self._checks(candidate, occurrence):
                checks.append(check)
                if check.status == "infrastructure":
                    infrastructure = check.text
                    break
                if check.status == "failed" and check.name in scoring.GATES:
                    break
        except OSError as why:
            infrastructure = f"the sandbox could not be used: {why}"
        remarks: tuple[Remark, ...] = ()
        if not scoring.gated(checks):
            remarks = review(candidate, diagnosis, occurrence, self.project)
        safety = scoring.safety(candidate, checks, remarks, self.tier)
        return Verdict(
            candidate=candidate.id,
            checks=tuple(checks),
            safety=None if infrastructure else safety,
            plausible=not infrastructure and _plausible(candidate, checks),
            tier=self.tier,
            remarks=remarks,
            seconds=time.monotonic() - started,
            infrastructure=infrastructure,
        )

    def _checks(self, candidate: Candidate, occurrence: Occurrence) -> Iterable[Check]:
        """The checks, cheapest killer first; the caller stops at a gate that fails."""
        yield static_checks.parses(candidate)
        yield static_checks.untouched_judge(candidate, self.project)
        yield static_checks.lint(candidate, self.project)
        yield from self._replays(candidate, occurrence)
        yield self._own_tests(candidate)

    def _replays(self, candidate: Candidate, occurrence: Occurrence) -> Iterable[Check]:
        base = self._baseline
        steps = [
            replays.step_for(number, reproducer, occurrence.good_calls, self.project, before)
            for number, reproducer, before in base.reproducers
        ]
        files = dict(candidate.files)
        changed = list(static_checks.python_files(candidate))
        report = self._workshop.replay(self._job([*steps, *base.good_steps], changed), files)
        if report.infrastructure:
            yield Check("imports", "infrastructure", report.infrastructure)
            return
        yield _imports(report, base)
        yield from _reproduced(report, base)
        if base.goods:
            yield _goods(report, base)
        elif occurrence.good_calls:
            yield Check("good_calls", "unknown", "the recorded good calls could not be replayed")

    def _job(self, steps: Sequence[dict[str, object]], changed: Sequence[str]) -> Steps:
        modules = [replays.module_of(self.project, path) for path in changed]
        modules += [str(step["module"]) for step in steps if step["kind"] == "import"]
        preload = [str(step["module"]) for step in steps if step.get("module")]
        preload += [str(step["app"]).partition(":")[0] for step in steps if step.get("app")]
        return Steps(
            modules=tuple(dict.fromkeys(filter(None, modules))),
            preload=tuple(dict.fromkeys(preload)),
            compile=tuple(changed),
            steps=tuple(step for step in steps if step["kind"] != "import"),
        )

    def _own_tests(self, candidate: Candidate) -> Check:
        base = self._baseline
        if base.command is None or not base.passing:
            return Check("tests", "skipped", base.tests_note or "no test passed before the patch")
        started = time.monotonic()
        files = dict(candidate.files)
        run = test_runs.run_tests(
            self._workshop,
            base.command,
            files,
            self.settings.test_timeout_s,
            expected=base.passing,
        )
        check = _tests_check(run, base)
        for _ in range(len(base.passing)):  # each round quarantines one more flaky test
            if not run.stopped or check.status != "failed":
                break
            again = test_runs.run_tests(
                self._workshop,
                base.command,
                files,
                self.settings.test_timeout_s,
                only=(run.stopped,),
                repeat=RETRIES,
            )
            if again.outcomes.get(run.stopped) not in ("mixed", "passed"):
                break
            base.passing -= {run.stopped}
            base.flaky |= {run.stopped}
            run = test_runs.run_tests(
                self._workshop,
                base.command,
                files,
                self.settings.test_timeout_s,
                expected=base.passing,
            )
            check = _tests_check(run, base)
        seconds = time.monotonic() - started
        return Check(check.name, check.status, check.text, check.n, seconds, check.details)


def _plausible(candidate: Candidate, checks: Sequence[Check]) -> bool:
    if scoring.gated(checks):
        return False
    differ = any(check.name == "good_calls" and check.status == "failed" for check in checks)
    return not differ or candidate.strategy == "logic_correction"


def _why_not(reproducer: Reproducer, outcome: Outcome) -> str:
    seen = replays.fault(reproducer, outcome)
    return f"the recorded {reproducer.kind} did not show the bug again" + (
        f" ({seen.text})" if seen.text else ""
    )


def _learn_tests(found: Baseline, first: TestRun, second: TestRun) -> None:
    """Passing in both runs counts; passing in one only is quarantined by name."""
    fault = first.infrastructure or second.infrastructure or first.fault or second.fault
    if fault:
        found.tests_note = f"the tests cannot be used: {fault}"
        return
    one, two = first.with_outcome("passed"), second.with_outcome("passed")
    found.passing = one & two
    found.flaky = (one | two) - found.passing
    found.tests_seconds = min(first.seconds, second.seconds)
    found.changed = frozenset(first.changed) | frozenset(second.changed)
    if not found.passing:
        found.tests_note = "no test passes on the unpatched tree"


def _imports(report: Report, base: Baseline) -> Check:
    outcome = report.outcome("imports")
    if outcome["ended"] == "returned":
        return Check("imports", "passed", "the changed modules compile and import", n=1)
    if not base.imports and not any(r.kind == "import" for _, r, _ in base.reproducers):
        return Check("imports", "unknown", "the project did not import before the patch either")
    seen = replays.fault(Reproducer("import"), outcome)
    return Check("imports", "failed", f"importing fails: {seen.text}")


def _reproduced(report: Report, base: Baseline) -> Iterable[Check]:
    """The verdict of the reproducers: none of them may show any fault now."""
    if not base.reproducers:
        why = base.reproducer_note or "nothing was recorded that shows the bug again"
        yield Check("reproducer", "unknown", why)
        return
    details: list[str] = []
    failed, known, request_passed = [], 0, False
    for number, reproducer, before in base.reproducers:
        name = "imports" if reproducer.kind == "import" else f"reproducer{number}"
        outcome = report.outcome(name)
        seen = replays.fault(reproducer, outcome)
        if not seen.known:
            details.append(f"{reproducer.kind}: {seen.text}")
            continue
        known += 1
        was = replays.fault(reproducer, before).text
        details.append(f"{reproducer.kind}: before {was}; after {seen.text or _ended(outcome)}")
        if seen.present:
            failed.append((reproducer, outcome, seen))
        elif reproducer.kind == "request":
            request_passed = True
    # an exception that the request turns into a proper answer is the patch's intention
    blocking = [
        seen
        for reproducer, outcome, seen in failed
        if not request_passed or replays.same_fault(reproducer, outcome)
    ]
    if blocking:
        yield Check("reproducer", "failed", blocking[0].text, known, details=tuple(details))
    elif not known:
        yield Check(
            "reproducer",
            "unknown",
            "the recording could not be replayed on the patch",
            details=tuple(details),
        )
    else:
        text = "the recorded input showed the bug before and shows none now"
        yield Check("reproducer", "passed", text, known, details=tuple(details))


def _ended(outcome: Outcome) -> str:
    if "status" in outcome:
        return f"answered with {outcome['status']}"
    value = str(outcome.get("value", ""))
    return f"returns {value[:80]}" if value else "no fault"


def _goods(report: Report, base: Baseline) -> Check:
    differing = []
    for step in base.good_steps:
        name = str(step["id"])
        outcome = report.outcome(name)
        if replays.comparable(outcome) != base.goods[name]:
            now = replays.fault(Reproducer("call"), outcome).text or _ended(outcome)
            differing.append(f"{step['function']}: {now} instead of what it returned before")
    if differing:
        return Check(
            "good_calls", "failed", differing[0], len(base.goods), details=tuple(differing)
        )
    text = f"{len(base.goods)} recorded good calls give what they gave before"
    return Check("good_calls", "passed", text, len(base.goods))


def _tests_check(run: TestRun, base: Baseline) -> Check:
    if run.infrastructure:
        return Check("tests", "infrastructure", run.infrastructure)
    if run.fault:
        return Check("tests", "failed", run.fault)
    passed = run.with_outcome("passed")
    missing = sorted(base.passing - passed)
    meddled = [
        name
        for name in sorted(set(run.changed) - base.changed)
        if name.endswith((".py", ".ini", ".cfg", ".toml", ".pth"))
    ]
    if meddled:
        return Check("tests", "failed", f"running the patch changed {meddled[0]}")
    if missing:
        first = run.stopped or missing[0]
        why = run.reasons.get(first, "").splitlines()[:1]
        text = f"{first} passed before and does not now" + (f": {why[0]}" if why else "")
        return Check("tests", "failed", text, len(base.passing), details=tuple(missing[:20]))
    text = f"{len(base.passing)} tests pass as before"
    if base.flaky:
        text += f"; {len(base.flaky)} flaky ones are left out"
    return Check("tests", "passed", text, len(base.passing), details=tuple(sorted(base.flaky)[:20]))
