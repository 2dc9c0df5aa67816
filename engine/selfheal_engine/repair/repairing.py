"""Repairs a checkout with failing tests: localize, try many small edits, write the best few."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Literal

from selfheal_engine.config import Settings
from selfheal_engine.diagnosis import diagnose
from selfheal_engine.diagnosis.source_file import SourceFile, Sources
from selfheal_engine.diagnosis.spectrum import Crash, TestSpectrum, near_crashes, suspicion
from selfheal_engine.errors import PatchConflictError, SelfhealError
from selfheal_engine.model import Candidate, Check, Suspect, Verdict
from selfheal_engine.patch_generator import PatchGenerator
from selfheal_engine.patch_generator.conventions import is_test
from selfheal_engine.patch_generator.mutations import Mutation
from selfheal_engine.patch_generator.rewriting import RewriteError
from selfheal_engine.patch_generator.writing import write_candidate
from selfheal_engine.project import Project, sha256
from selfheal_engine.repair.searching import Say, Search, limits_of, search_edits, worth
from selfheal_engine.repair.trials import Runner, TestResult, Trial, command_words, runner_of

MOST_TEMPLATES = 24
WITNESSES = 3
"""Fewest tests that must reach what a patch changes for it to be offered as high."""
RIVAL = 0.8
"""Share of the first one's weight from which another plausible edit speaks against it."""


@dataclass(frozen=True)
class RepairReport:
    """What a repair found; candidates best first."""

    candidates: tuple[Candidate, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    failing: tuple[str, ...] = ()
    passing: int = 0
    tried: int = 0
    plausible: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    """Processor seconds of the sandboxes."""
    notes: tuple[str, ...] = ()
    tier: Literal["high", "medium", "diagnosis"] = "diagnosis"
    """high: enough tests speak for the first one, and nothing else would do as well."""


def project_of(root: Path, tests: Sequence[str]) -> Project:
    """The checkout as a project, with the interpreter that its test command names."""
    if not root.is_dir():
        raise SelfhealError(f"{root} is no folder: --project names the checkout to repair")
    return Project(root.resolve(), _python_of(root, tests), tuple(tests))


def _python_of(root: Path, tests: Sequence[str]) -> str:
    _, words = command_words(tests)
    first = words[0] if words else ""
    name = first.rpartition("/")[2]
    if name.startswith(("python", "pypy")):
        if "/" in first:
            return str((root / first).absolute() if not first.startswith("/") else Path(first))
        found = shutil.which(first)
        if found:
            return found
    for venv in (".venv", "venv"):
        python = root / venv / "bin" / "python"
        if python.exists():
            return str(python.absolute())
    return sys.executable


def repair_project(
    root: Path, tests: Sequence[str], failing: Sequence[str], settings: Settings, say: Say
) -> RepairReport:
    """Search for patches that make the failing tests pass and keep the others passing.

    `failing` names the tests to repair; empty: all that fail. Raises SelfhealError when the
    tests cannot be run or none of them fails.
    """
    started = time.monotonic()
    project = project_of(root, tests)
    runner = runner_of(project, settings)
    say("running the tests one by one")
    results = runner.first_run()
    search = _localized(runner, results, failing)
    say(f"{len(search.failing)} tests fail, {len(search.passing)} pass")
    suspects = _suspects(search)
    _try_templates(search, settings, say)
    search_edits(search, settings, say)
    candidates, verdicts = _written(search, settings, say)
    return RepairReport(
        candidates,
        verdicts,
        suspects,
        tuple(t.id for t in search.failing),
        len(search.passing),
        search.tried,
        len(search.plausible) + len(search.templates),
        time.monotonic() - started,
        runner.cpu_s,
        () if candidates else _hints(search),
        _tier(search, candidates),
    )


def _localized(runner: Runner, results: list[TestResult], wanted: Sequence[str]) -> Search:
    failing = [t for t in results if t.failed]
    passing = [t for t in results if t.outcome == "passed"]
    if wanted:
        named = [t for t in failing if any(_names(w, t) for w in wanted)]
        if not named:
            raise SelfhealError(f"{', '.join(wanted)} does not fail: check the test's id")
        failing = named
    if not failing:
        raise SelfhealError("no test fails: there is nothing to repair")
    spectra = [TestSpectrum(t.id, t.failed, _reached(t, runner)) for t in [*failing, *passing]]
    scores = {file: lines for file, lines in suspicion(spectra).items() if not is_test(file)}
    sources = Sources(runner.project)
    crashes = _crashes(failing, runner)
    scores = near_crashes(scores, crashes, sources)
    return Search(runner, sources, results, failing, passing, scores, crashes)


def _crashes(failing: Sequence[TestResult], runner: Runner) -> list[Crash]:
    """Own frames, innermost first, of the failing tests that the project's own code crashed."""
    found: list[Crash] = []
    for test in failing:
        if test.occurrence is None:
            continue
        frames = [(runner.project.relative(f.file), f.line) for f in test.occurrence.frames]
        own = [(path, line) for path, line in reversed(frames) if path is not None]
        # a failed comparison in the test itself is no crash of the code
        if own and not is_test(own[0][0]):
            places = tuple((path, line) for path, line in own if not is_test(path))
            found.append(Crash(test.occurrence.exception.rpartition(".")[2], places))
    return found


def _hints(search: Search) -> tuple[str, ...]:
    return tuple(
        f"{test} can be repaired alone, not with the other failing tests: --fail {test}"
        for test in sorted(search.alone)
    )


def _reached(test: TestResult, runner: Runner) -> Mapping[str, frozenset[int]]:
    """The lines that the test reached; of an import that failed, those on its way."""
    if test.imported or test.occurrence is None:
        return test.lines
    found: dict[str, set[int]] = {}
    for frame in test.occurrence.frames:
        path = runner.project.relative(frame.file)
        if path is not None:
            found.setdefault(path, set()).add(frame.line)
    return {path: frozenset(lines) for path, lines in found.items()}


def _names(wanted: str, test: TestResult) -> bool:
    """Whether the id asked for is this test's, or lies in this module that cannot be imported."""
    if not test.imported and wanted.startswith((f"{test.id}::", f"{test.id}.")):
        return True
    # a function names all that it is parametrized with, as it does for pytest
    plain = test.id.partition("[")[0]
    return any(
        known == wanted or known.endswith((f"/{wanted}", f"::{wanted}", f".{wanted}"))
        for known in (test.id, plain)
    )


def _suspects(search: Search) -> tuple[Suspect, ...]:
    ranked = sorted(
        (
            (score, file, line)
            for file, lines in search.scores.items()
            for line, score in lines.items()
        ),
        reverse=True,
    )
    found: list[Suspect] = []
    for score, path, line in ranked[:10]:
        file = search.sources.get(path)
        function = file.function_at(line) if file is not None else None
        name = file.qualified_name(function) if file and function is not None else "<module>"
        reason = "reached by the failing tests" if score < 0.99 else "reached by failing tests only"
        found.append(Suspect(path, line, name, round(min(1.0, score), 3), reason))
    return tuple(found)


def _try_templates(search: Search, settings: Settings, say: Say) -> None:
    """What the templates make of the failing tests' exceptions, as for a crash of a service."""
    crashes = [t.occurrence for t in search.failing if t.occurrence is not None]
    seen: set[str] = set()
    made: list[Candidate] = []
    generator = PatchGenerator(search.runner.project, settings)
    for occurrence in crashes[:2]:
        # a failed comparison in the test itself is no crash of the code
        inner = next((f for f in reversed(occurrence.frames) if f.own), None)
        if inner is None or is_test(search.runner.project.relative(inner.file) or "test"):
            continue
        diagnosis = diagnose(occurrence, search.runner.project)
        for candidate in generator.generate(occurrence, diagnosis, MOST_TEMPLATES):
            if candidate.id not in seen and candidate.template != "mutation":
                seen.add(candidate.id)
                made.append(candidate)
    if made:
        say(f"trying {len(made)} patches for the exception")
        confirmed = _confirmed(search, made)
        search.tried += len(made)
        search.templates = [c for c in made if c.id in confirmed]


def _written(
    search: Search, settings: Settings, say: Say
) -> tuple[tuple[Candidate, ...], tuple[Verdict, ...]]:
    ordered = sorted(search.plausible, key=lambda found: -worth(search, found))
    # a template knows the exception's meaning: where one passes all tests, it comes first
    candidates = search.templates[: settings.candidates - 1]
    seen = {candidate.id for candidate in candidates}
    for found in ordered:
        if len(candidates) == settings.candidates:
            break
        try:
            candidate = write_candidate(
                search.sources,
                [(mutation.file, edit) for mutation in found for edit in mutation.edits],
                strategy="logic_correction",
                template=found[0].kind,
                title="; ".join(_title(search.sources.get(m.file), m) for m in found),
                explanation="Found by trying small edits of the lines that failing tests reach.",
                confidence=round(min(0.9, *(m.weight for m in found)), 3),
            )
        except RewriteError:
            continue
        if candidate.id not in seen:
            seen.add(candidate.id)
            candidates.append(candidate)
    confirmed = _confirmed(search, candidates, tried=True)
    shown = [c for c in candidates if c.id in confirmed]
    return tuple(shown), tuple(confirmed[c.id] for c in shown)


def _confirmed(
    search: Search, candidates: Sequence[Candidate], tried: bool = False
) -> dict[str, Verdict]:
    """Run all tests on the files as they would be written: the last word before showing.

    `tried` candidates have passed all tests in the warm process already; where a loaded machine
    lets the time of this run run out, that stands.
    """
    accepted = ("passed", "timeout") if tried else ("passed",)
    # latin-1 carries any bytes through JSON unchanged
    jobs = [
        {"id": number, "files": {path: content.decode("latin-1") for path, content in c.files}}
        for number, c in enumerate(candidates)
    ]
    trials = (
        search.runner.try_mutants(
            [], [t.id for t in search.failing], search.tests, limits_of(search), 30.0, jobs
        )
        if jobs
        else []
    )
    return {
        candidates[trial.id].id: _verdict(search, candidates[trial.id], trial)
        for trial in trials
        if trial.outcome in accepted
    }


def _verdict(search: Search, candidate: Candidate, trial: Trial) -> Verdict:
    fixed, kept = len(search.failing), len(search.passing)
    checks = (
        Check("parses", "passed", "the new files parse", 1),
        Check("reproducer", "passed", f"{fixed} failing tests pass now", fixed),
        Check("tests", "passed", f"{kept} other tests pass as before", kept),
    )
    return Verdict(
        candidate.id, checks, min(95, 50 + 4 * (fixed + kept)), True, seconds=trial.seconds
    )


def _tier(
    search: Search, candidates: Sequence[Candidate]
) -> Literal["high", "medium", "diagnosis"]:
    """How much is promised with the first one.

    One test is passed by many an edit; several that reach the change leave few that pass all.
    """
    if not candidates:
        return "diagnosis"
    changed = {path: _changed_lines(search, path, new) for path, new in candidates[0].files}
    tests = [*search.failing, *search.passing]
    witnesses = [
        t for t in tests if any(lines & t.lines.get(path, set()) for path, lines in changed.items())
    ]
    weights = sorted((worth(search, found) for found in search.plausible), reverse=True)
    rivals = len(search.templates) or len([w for w in weights if w >= RIVAL * weights[0]])
    return "high" if len(witnesses) >= WITNESSES and rivals == 1 else "medium"


def _changed_lines(search: Search, path: str, new: bytes) -> set[int]:
    """Lines of the old file that the patch replaces, or between which it adds."""
    file = search.sources.get(path)
    if file is None:
        return set()
    after = new.decode(file.encoding, "replace").splitlines(keepends=True)
    found: set[int] = set()
    for tag, first, last, _, _ in SequenceMatcher(None, file.lines, after).get_opcodes():
        if tag != "equal":
            found |= set(range(first + 1, last + 1)) if last > first else {first, first + 1}
    return found


def _title(file: SourceFile | None, mutation: Mutation) -> str:
    what = mutation.kind.replace("_", " ")
    text = file.line(mutation.line)[:60] if file is not None else ""
    return f"{what} in `{text}`"


def apply_first(root: Path, report: RepairReport) -> list[str]:
    """Write the first candidate's files; the paths written.

    Raises PatchConflictError when a file is not what the patch was made for.
    """
    first = report.candidates[0]
    for path, wanted in first.original_hashes:
        file = root / path
        if sha256(file.read_bytes()) != wanted:
            raise PatchConflictError(f"{path} changed while it was repaired: run repair again")
    for path, content in first.files:
        target = (root / path).resolve()
        made = target.with_name(f".{target.name}.selfheal")
        made.write_bytes(content)
        shutil.copymode(target, made)
        made.replace(target)
    return [path for path, _ in first.files]
