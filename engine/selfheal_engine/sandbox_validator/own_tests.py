"""The service's own tests: which pass on the unpatched tree, and what a patch does to them.

A suite that is quicker than `test_budget_s` is run whole for every patch, in its own order. Of a
slower one those tests come first that run what the patch changes, by the contexts which one run
of the unpatched tree has recorded; the others follow until the time is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from selfheal_engine.config import Settings
from selfheal_engine.model import Candidate, Check
from selfheal_engine.project import Project
from selfheal_engine.sandbox_validator import baselines, findings, test_runs
from selfheal_engine.sandbox_validator.baselines import Baseline, Tests
from selfheal_engine.sandbox_validator.jobs import Workshop
from selfheal_engine.sandbox_validator.static_checks import python_files
from selfheal_engine.sandbox_validator.test_runs import TestCommand, TestRun

RETRIES = 6
"""How often a test that newly fails is run again: with 10 % random failures, six in a row are
one in a million, so a flaky test never rejects a good patch."""
ROUNDS = 3
"""Most times that a run is begun again because moody tests ended it early."""
SHARE_OF_TIMEOUT = 0.7
"""No test is begun after this share of the time-out, so that a long run still has an end."""

Lines = dict[str, list[int]]


@dataclass(slots=True)
class OwnTests:
    """Runs the tests of one project. The results on the unpatched tree are learned once."""

    project: Project
    settings: Settings
    workshop: Workshop
    command: TestCommand | None = None
    known: Tests | None = None

    def learn(self, threads: Executor, warm_up: Callable[[Sequence[str]], None]) -> None:
        """Which tests pass on the unpatched tree, in two runs; kept on disk while it stands.

        `warm_up` is told the libraries that they load, between the two runs.
        """
        if self.known is not None:
            return
        self.command = command = test_runs.command_of(self.project)
        if command is None:
            self.known = Tests(note="the project has no tests that were found")
            return
        kept = baselines.Kept(self.settings.state_path() / "baselines")
        name = baselines.key(self.project, command)
        known = kept.load(name)
        if known is None:
            longest_s = self._longest_s()
            first = kept.load_first(name)
            if first is None:
                first = threads.submit(self.run, budget_s=longest_s, libraries=True).result()
                kept.save_first(name, first)
            warm_up(first.libraries)
            watched = self._is_slow(first)
            second = threads.submit(self.run, budget_s=longest_s, contexts=watched).result()
            known = baselines.learn(first, second)
            kept.save(name, known)
        warm_up(known.libraries)
        self.known = known

    def run(
        self,
        files: Mapping[str, bytes] | None = None,
        *,
        expected: frozenset[str] = frozenset(),
        only: tuple[str, ...] = (),
        first: tuple[str, ...] = (),
        budget_s: float = 0.0,
        repeat: int = 1,
        libraries: bool = False,
        contexts: bool = False,
        cover: Lines | None = None,
    ) -> TestRun:
        """One run of the tests with `files` in place of the project's own."""
        assert self.command is not None
        orders = {
            "expected": sorted(expected),
            "only": list(only),
            "first": list(first),
            "budget_s": budget_s,
            "repeat": repeat,
            "libraries": libraries,
            "contexts": contexts,
            "cover": cover or {},
        }
        limit = self.settings.test_timeout_s
        return test_runs.run_tests(self.workshop, self.command, files or {}, limit, orders)

    def judge(
        self, candidate: Candidate, base: Baseline, wanted: Lines, ran: list[Lines]
    ) -> Iterator[Check]:
        """What a patch does to the tests; `ran` gets those of the `wanted` lines that they run."""
        known = base.tests
        if base.command is None or not (known.passing or known.failing):
            why = known.note or "no test passed before the patch"
            yield Check("tests", "skipped", why)
            return
        started = time.monotonic()
        run, confirmed, moody = self._settled(candidate, base, wanted)
        ran.append(run.covered)
        check = findings.tests(run, base, confirmed, moody)
        yield replace(check, seconds=time.monotonic() - started)
        healed = findings.healed_tests(run, base)
        if healed is not None:
            yield healed

    def _settled(
        self, candidate: Candidate, base: Baseline, wanted: Lines
    ) -> tuple[TestRun, frozenset[str], frozenset[str]]:
        """A run, and of the tests that newly fail those that fail always and those that do not."""
        files, known = dict(candidate.files), base.tests
        slow = self._is_slow(known)
        first = (*findings.failing_tests(base), *touched(candidate, known)) if slow else ()
        budget_s = min(self.settings.test_budget_s, self._longest_s()) if slow else 0.0
        moody: frozenset[str] = frozenset()
        for _ in range(ROUNDS):
            run = self.run(
                files,
                expected=known.passing - moody,
                first=first,
                budget_s=budget_s,
                cover=wanted,
            )
            missing = run.missing(known.passing) - moody
            if run.fault or run.infrastructure or not missing:
                break
            confirmed = self._confirmed(missing, files, reordered=bool(first))
            moody |= missing - confirmed
            if confirmed:
                return run, confirmed, moody
            if not run.stopped:
                break  # else it ended early over moody tests: the rest is still to be run
        return run, frozenset(), moody

    def _is_slow(self, seen: TestRun | Tests) -> bool:
        return seen.late or seen.seconds > self.settings.test_budget_s

    def _longest_s(self) -> float:
        return SHARE_OF_TIMEOUT * self.settings.test_timeout_s

    def _confirmed(
        self, missing: frozenset[str], files: dict[str, bytes], *, reordered: bool
    ) -> frozenset[str]:
        """Those that fail however often they are tried; the others are moody, and excused.

        For this candidate alone: what one patch does to a test says nothing of the next one.
        Of a run in another order those are excused as well that need the tests before them,
        and fail by themselves without the patch too.
        """
        assert self.command is not None
        only = tuple(sorted(missing)) if self.command.runner == "pytest" else ()
        again = self.run(files, only=only, repeat=RETRIES)
        if again.fault or again.infrastructure:
            return missing
        confirmed = missing - (again.with_outcome("passed") | again.with_outcome("mixed"))
        if confirmed and reordered and only:
            alone = self.run(only=tuple(sorted(confirmed)))
            confirmed -= alone.with_outcome("failed")
        return confirmed


def touched(candidate: Candidate, known: Tests) -> tuple[str, ...]:
    """The tests that ran what the patch changes, in the order of the suite."""
    functions = {name.rpartition(".")[2] for name in candidate.functions}
    patched = python_files(candidate).keys()
    numbers: set[int] = set()
    for key, tests in known.runs.items():
        path, _, function = key.rpartition(":")
        if path in patched and (function in functions or not functions):
            numbers.update(tests)
    return tuple(known.ran[number] for number in sorted(numbers))
