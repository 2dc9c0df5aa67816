"""Judges candidates: the baseline of the unpatched tree once, then each patch against it.

Checks run cheapest first and a patch that fails one is not run further: syntax and names,
then one walled run that imports the project and replays the recorded input and the good
calls, then the service's own tests. Candidates are judged side by side on the cores there are.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

from selfheal_engine.config import Settings
from selfheal_engine.errors import SandboxUnavailableError
from selfheal_engine.model import Candidate, Check, Diagnosis, Occurrence, Remark, Verdict
from selfheal_engine.project import Project
from selfheal_engine.reflection_engine import review
from selfheal_engine.sandbox_validator import (
    findings,
    hardening,
    lowering,
    refusals,
    replays,
    scoring,
    static_checks,
)
from selfheal_engine.sandbox_validator.baselines import Baseline, Tests
from selfheal_engine.sandbox_validator.freezing import live_files
from selfheal_engine.sandbox_validator.jobs import Report, Steps, Workshop
from selfheal_engine.sandbox_validator.limits import MIB, Limits
from selfheal_engine.sandbox_validator.own_tests import Lines, OwnTests
from selfheal_engine.sandbox_validator.wall import level, sweep
from selfheal_engine.sandbox_validator.warm import WarmServer

HARDENING_S = 1.5
"""Seconds after which no further mutant of a patch is begun: somebody waits for the verdict."""
ASKED_AGAIN_S = 2.0
"""The unpatched tree is asked for its good calls again no sooner than this."""
QUICK_TESTS_S = 0.8
"""Tests that take longer are not run for every mutant."""


class SandboxValidator:
    """Validates patches for one project. Use from one thread; close() when done."""

    def __init__(self, project: Project, settings: Settings) -> None:
        sweep()
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
        self._own = OwnTests(project, settings, self._workshop)
        self._baseline = Baseline()
        self._asking = threading.Lock()

    def close(self) -> None:
        """Stop what still runs; nothing is left behind."""
        self._stop.set()
        if self._workshop.warm is not None:
            self._workshop.warm.close()
        self._pool.shutdown(wait=True, cancel_futures=True)

    # ------------------------------------------------------------------ the unpatched tree
    def prepare(self) -> None:
        """Learn what needs no occurrence: which tests pass, which libraries are loaded.

        Kept on disk while the tree stands, so that calling it early makes `baseline` short.
        Raises SandboxUnavailableError where this machine cannot isolate.
        """
        if self.tier >= 3:
            raise SandboxUnavailableError(f"patches cannot be tried on this machine: {self.note}")
        self._own.learn(self._pool, self._warm_up)

    def baseline(self, diagnosis: Diagnosis, occurrence: Occurrence) -> None:
        """Learn what the unpatched tree does: which reproducers show the bug, which tests pass.

        Raises SandboxUnavailableError where this machine cannot isolate.
        """
        self.prepare()
        self._workshop.frozen = live_files(self.project.root)
        found = self._replay_baseline(diagnosis, occurrence)
        found.caught = refusals.caught_names(self.project)
        found.command, found.tests = self._own.command, self._own.known or Tests()
        self._warm_up(found.libraries)
        self._baseline = found

    def _warm_up(self, libraries: Sequence[str]) -> None:
        """Start the warm server; without it everything works as well, only slower."""
        if self._workshop.warm is None and libraries and not self._stop.is_set():
            workshop = self._workshop
            workshop.warm = WarmServer(
                self.project,
                tuple(dict.fromkeys(libraries)),
                workshop.limits,
                self._jobs + 1,
                workshop.paths(),
                workshop.env,
            )

    def _replay_baseline(self, diagnosis: Diagnosis, occurrence: Occurrence) -> Baseline:
        goods = replays.good_steps(occurrence, self.project)
        wanted = list(enumerate(diagnosis.reproducers))
        steps = [
            replays.step_for(number, reproducer, self.project, occurrence)
            for number, reproducer in wanted
            if reproducer.kind != "test"
        ]
        # good calls first, in a tree of their own each time: what they write is the same then
        twin = (
            self._pool.submit(self._workshop.replay, self._job(goods, [], ()), {})
            if goods
            else None
        )
        measured = [*steps, *replays.neighbours_step(steps), *replays.cost_step(goods)]
        report = self._workshop.replay(self._job(goods, measured, ()), {})
        again = twin.result() if twin else None
        imported = report.outcome("imports")
        found = Baseline(
            infrastructure=report.infrastructure,
            imports=imported["ended"] == "returned",
            libraries=tuple(imported.get("libraries", ())),
        )
        shown = []
        for number, reproducer in wanted:
            if reproducer.kind == "test":
                if self._own.known and reproducer.test in self._own.known.failing:
                    shown.append((number, reproducer, {"ended": "raised", "exception": "test"}))
                continue
            outcome = report.outcome(findings.step_name(number, reproducer))
            if replays.same_fault(reproducer, outcome):
                shown.append((number, reproducer, outcome))
            else:
                note = findings.why_not(reproducer, outcome)
                found.reproducer_note = found.reproducer_note or note
        found.reproducers = tuple(shown)
        on_stack = {(self.project.relative(f.file), f.function) for f in occurrence.frames}
        places = {(suspect.file, suspect.function) for suspect in diagnosis.suspects}
        found.makers = frozenset(f"{file}:{name}" for file, name in places - on_stack)
        found.batch = report.outcome("goods")
        found.neighbours = report.outcome("neighbours")
        found.cost = report.outcome("cost")
        for name in (str(step["id"]) for step in goods):
            outcome = report.outcome(name)
            twin_outcome = again.outcome(name) if again else outcome
            failed = outcome.get("status", 0) >= 500  # what leaks may run out among them
            if outcome["ended"] == twin_outcome["ended"] == "returned" and not failed:
                found.goods[name] = replays.stable(outcome, twin_outcome)
        found.good_steps = tuple(goods) if found.goods else ()
        return found

    # ------------------------------------------------------------------ the candidates
    def validate(
        self,
        candidates: Sequence[Candidate],
        diagnosis: Diagnosis,
        occurrence: Occurrence,
        on_verdict: Callable[[Verdict], None],
    ) -> list[Verdict]:
        """Judge the candidates side by side; `on_verdict` hears each, in this thread.

        What it raises ends the validation: what is not begun yet will not be.
        """
        futures = {
            self._pool.submit(self._judge, candidate, diagnosis, occurrence): candidate
            for candidate in candidates
        }
        verdicts: dict[str, Verdict] = {}
        try:
            for future in as_completed(futures):
                verdict = future.result()
                verdicts[futures[future].id] = verdict
                on_verdict(verdict)
        finally:
            for future in futures:
                future.cancel()
        return [verdicts[candidate.id] for candidate in candidates]

    def _judge(self, candidate: Candidate, diagnosis: Diagnosis, occurrence: Occurrence) -> Verdict:
        started = time.monotonic()
        checks: list[Check] = []
        infrastructure = self._baseline.infrastructure
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
        gated = scoring.gated(checks)
        remarks: tuple[Remark, ...] = ()
        if not gated:
            remarks = review(candidate, diagnosis, occurrence, self.project)
        safety = scoring.safety(candidate, checks, remarks, self.tier)
        return Verdict(
            candidate=candidate.id,
            checks=tuple(checks),
            safety=None if infrastructure else safety,
            plausible=not infrastructure and not gated and _same_goods(candidate, checks),
            tier=self.tier,
            remarks=remarks,
            seconds=time.monotonic() - started,
            infrastructure=infrastructure,
        )

    def _checks(self, candidate: Candidate, occurrence: Occurrence) -> Iterator[Check]:
        """The checks, cheapest killer first; the caller stops at a gate that fails."""
        yield static_checks.parses(candidate)
        yield static_checks.untouched_judge(candidate, self.project)
        yield static_checks.lint(candidate, self.project)
        ran: list[Lines] = []
        wanted = findings.changed_lines(candidate, self.project)
        yield from self._replays(candidate, occurrence, wanted, ran)
        # watching lines costs time, and the replays may have run them
        replayed = findings.coverage(wanted, ran, self._baseline).status == "passed"
        yield from self._own.judge(candidate, self._baseline, {} if replayed else wanted, ran)
        yield findings.coverage(wanted, ran, self._baseline)
        yield from self._measured(candidate)
        yield from self._hardened(candidate, occurrence, wanted)

    def _replays(
        self, candidate: Candidate, occurrence: Occurrence, wanted: Lines, ran: list[Lines]
    ) -> Iterator[Check]:
        base = self._baseline
        steps = [
            replays.step_for(number, reproducer, self.project, occurrence, before)
            for number, reproducer, before in base.reproducers
            if reproducer.kind != "test"
        ]
        if base.neighbours.get("ended") == "returned":
            steps += replays.neighbours_step(steps, base.neighbours)
        report = self._replayed(candidate, steps, wanted)
        if report.infrastructure:
            yield Check("imports", "infrastructure", report.infrastructure)
            return
        ran += [r["outcome"].get("covered", {}) for r in report.records if "outcome" in r]
        yield findings.imports(report, base)
        reproduced = findings.reproduced(report, base, self.project, candidate)
        if reproduced is not None:
            yield reproduced
        if base.goods:
            yield self._goods(report, candidate)
        elif occurrence.good_calls:
            yield Check("good_calls", "unknown", "the recorded good calls could not be replayed")
        shape = findings.shape(report, base, occurrence)
        if shape is not None:
            yield shape
        near = findings.neighbours(report, base, self.project)
        if near is not None:
            yield near

    def _goods(self, report: Report, candidate: Candidate) -> Check:
        """Whether good calls go as before; where they do not, the unpatched tree is asked again.

        What hangs on the clock, as an entry that has expired, goes another way there by now, too.
        """
        base = self._baseline
        check = findings.goods(report, base, self.project, candidate)
        if check.status != "failed":
            return check
        with self._asking:
            if time.monotonic() - base.goods_asked_s >= ASKED_AGAIN_S:
                again = self._workshop.replay(self._job(base.good_steps, [], ()), {})
                base.goods_asked_s = time.monotonic()
                if not again.infrastructure:
                    base.goods = {
                        name: replays.still(wanted, again.outcome(name))
                        for name, wanted in base.goods.items()
                    }
        return findings.goods(report, base, self.project, candidate)

    def _replayed(self, candidate: Candidate, steps: list[dict[str, Any]], wanted: Lines) -> Report:
        """The good calls and the recorded input on the patch; growth on one of lower bounds."""
        changed, files = list(static_checks.python_files(candidate)), dict(candidate.files)
        low = lowering.lowered(candidate, self.project)
        apart = [step for step in steps if step["kind"] == "growth" and low != files]
        rest = [step for step in steps if step not in apart]
        job = self._job(self._baseline.good_steps, rest, changed, wanted)
        report = self._workshop.replay(job, files)
        if not apart or report.infrastructure:
            return report
        more = self._workshop.replay(self._job([], apart, changed, wanted), low)
        records = (*report.records, *more.records)
        return replace(report, records=records, infrastructure=more.infrastructure)

    def _measured(self, candidate: Candidate) -> Iterator[Check]:
        """What good calls cost with the patch; only survivors get so far."""
        cost, goods = self._baseline.cost, self._baseline.good_steps
        steps = replays.cost_step(goods, cost)
        if cost.get("ended") == "returned" and steps:
            steps += replays.duel_step(goods, cost, candidate, self.project)
            report = self._workshop.replay(self._job([], steps, ()), dict(candidate.files))
            yield from findings.cost(report, self._baseline)

    def _hardened(
        self, candidate: Candidate, occurrence: Occurrence, wanted: Lines
    ) -> Iterator[Check]:
        """Whether small mutants of the changed lines would be noticed, as time allows."""
        quick = ("call", "request", "statement", "iteration")
        if any(r.kind not in quick for _, r, _ in self._baseline.reproducers):
            return  # what is measured over seconds is too slow to be measured for each mutant
        started = time.monotonic()
        noticed, survivors = 0, []
        for mutant in hardening.mutants(candidate, wanted):
            if time.monotonic() - started > HARDENING_S or self._stop.is_set():
                break
            if self._is_noticed(replace(candidate, files=tuple(mutant.files.items())), occurrence):
                noticed += 1
            else:
                survivors.append(mutant.text)
        check = hardening.check(noticed, survivors)
        if check is not None:
            yield replace(check, seconds=time.monotonic() - started)

    def _is_noticed(self, mutant: Candidate, occurrence: Occurrence) -> bool:
        """By the replays, or by the tests where these are quick."""
        if any(check.status == "failed" for check in self._replays(mutant, occurrence, {}, [])):
            return True
        base = self._baseline
        if base.command is None or not base.tests.passing or base.tests.seconds > QUICK_TESTS_S:
            return False
        run = self._own.run(dict(mutant.files), expected=base.tests.passing)
        return bool(run.fault or base.tests.passing - run.with_outcome("passed"))

    def _job(
        self,
        goods: Sequence[dict[str, Any]],
        steps: Sequence[dict[str, Any]],
        changed: Sequence[str],
        cover: Lines | None = None,
    ) -> Steps:
        modules = [self.project.module_of(path) for path in changed]
        modules += [str(step["module"]) for step in steps if step["kind"] == "import"]
        preload = [str(step["module"]) for step in (*goods, *steps) if step.get("module")]
        apps = [str(step["app"]) for step in (*goods, *steps) if step.get("app")]
        preload += [app.partition(":")[0] for app in apps]
        run = [step for step in steps if step["kind"] != "import"]
        scripts = [str(name) for step in steps for name in step.get("scripts", ())]
        return Steps(
            scripts=tuple(dict.fromkeys(scripts)),
            whole=tuple(str(step["module"]) for step in steps if step["kind"] == "import"),
            argv=next((tuple(step["argv"]) for step in steps if step.get("argv")), ()),
            modules=tuple(dict.fromkeys(filter(None, modules))),
            preload=tuple(dict.fromkeys(preload)),
            compile=tuple(changed),
            steps=(
                *replays.batch(goods, self._baseline.batch),
                *run,
            ),
            cover=cover or {},
        )


def _same_goods(candidate: Candidate, checks: Sequence[Check]) -> bool:
    """Good calls must go as before, unless it was their result that was wrong."""
    differ = any(check.name == "good_calls" and check.status == "failed" for check in checks)
    return not differ or candidate.strategy == "logic_correction"
