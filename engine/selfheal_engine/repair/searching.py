"""The search of a repair: many small edits on the suspicious lines, tried on the tests.

First one edit inside of functions, in one warm process; then two that repair a part of the
failing tests each; then edits of what runs at import, for which the tests are loaded anew.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, combinations, repeat
from typing import TypeAlias

from selfheal_engine.config import Settings
from selfheal_engine.diagnosis.source_file import SourceFile, Sources
from selfheal_engine.diagnosis.spectrum import SAME_FUNCTION, Crash, Scores
from selfheal_engine.model import Candidate
from selfheal_engine.patch_generator.conventions import is_test
from selfheal_engine.patch_generator.edits import Edit
from selfheal_engine.patch_generator.mutations import Mutation, mutations_of
from selfheal_engine.patch_generator.quick_text import Region, region_of, spliced
from selfheal_engine.repair.losses import losses
from selfheal_engine.repair.trials import Runner, TestResult

Say = Callable[[str], None]
Edits: TypeAlias = tuple[Mutation, ...]
"""What is tried as one: a mutation, or two that belong together."""
Further: TypeAlias = tuple[int, str, int, str]
"""How many lines a test came further, and the file, line and exception of its failure now."""
MOST_MUTANTS = 24_000
MOST_LINES = 60
BATCHES = (500, 1500, 4000)
"""Sizes of the rounds, the last one again and again: the likeliest edits are tried alone first."""
TRIED_ALONE = 100
"""So many, the likeliest, get a process of their own: what others left behind cannot fail them."""
ENOUGH_PLAUSIBLE = 40
ENOUGH_WHOLE = 8
"""So many plausible edits that leave nothing without use: what is less likely comes behind them."""
MOST_OUTSIDE = 40
READ_FROM = 0.6
"""Share of a line's suspicion that what it reads from the module has."""
FIRST_SHARE = 0.75
"""Of the budget, what one edit gets before two are tried."""
MOST_FIRSTS = 12
MOST_SECONDS = 200
MOST_PLACES = 4
MOST_FAILING_ALONE = 4
MOST_ALONE = 2000
MOST_PARTS = 24


@dataclass
class Search:
    """The state of one repair."""

    runner: Runner
    sources: Sources
    results: list[TestResult]
    failing: list[TestResult]
    passing: list[TestResult]
    scores: Scores
    crashes: list[Crash] = field(default_factory=list)
    plausible: list[Edits] = field(default_factory=list)
    templates: list[Candidate] = field(default_factory=list)
    """Plausible patches of the templates for the failing tests' exceptions."""
    alone: set[str] = field(default_factory=set)
    """Failing tests that some edit repairs, though no patch was found for all of them."""
    further: dict[Mutation, Further] = field(default_factory=dict)
    """Edits after which the test fails in another way: half of a repair, perhaps."""
    tried: int = 0

    @property
    def tests(self) -> list[str]:
        """The tests that a patch must pass, in the order in which the runner has them."""
        wanted = {t.id for t in [*self.failing, *self.passing]}
        return [t.id for t in self.results if t.id in wanted]


def search_edits(search: Search, settings: Settings, say: Say) -> None:
    """Fill `search.plausible` with edits that pass all of its tests, within the budget."""
    mutations = _mutations(search)
    inside = [m for m in mutations if m.function is not None]
    budget = settings.search_s * 0.75
    if all(t.imported for t in search.failing):
        unplaced = _try_inside(search, inside, budget * FIRST_SHARE, say)
        if not search.plausible and not search.templates and len(search.failing) > 1:
            _try_together(search, inside, budget, say)
        if not search.plausible and not search.templates:
            _try_after(search, inside, budget, say)
        mutations = [m for m in mutations if m.function is None or m in unplaced]
    if not search.plausible and not search.templates:
        _try_outside(search, mutations[:MOST_OUTSIDE], budget, say)


def _try_inside(
    search: Search, mutations: list[Mutation], budget: float, say: Say
) -> set[Mutation]:
    """Edits of functions, on the functions of one warm process; those for which that is no way."""
    unplaced: set[Mutation] = set()
    failing = [t.id for t in sorted(search.failing, key=lambda t: t.cpu_s)]
    limits = limits_of(search)
    rest = mutations
    for size in chain(BATCHES, repeat(BATCHES[-1])):
        left = budget - search.runner.cpu_s
        if left < 1 or not rest or _enough(search):
            break
        batch = [(mutation,) for mutation in rest[:size]]
        mutants = _mutants(search, batch)
        say(f"trying {len(mutants)} small edits")
        alone = TRIED_ALONE if rest is mutations else 0
        for trial in search.runner.try_mutants(
            mutants, failing, search.tests, limits, left, alone=alone
        ):
            search.tried += 1
            if trial.outcome == "passed":
                search.plausible.append(batch[trial.id])
            elif trial.outcome == "unplaced":
                unplaced.update(batch[trial.id])
            elif trial.further is not None:
                search.further[batch[trial.id][0]] = trial.further
        rest = rest[size:]
    return unplaced


def _enough(search: Search) -> bool:
    if len(search.plausible) >= ENOUGH_PLAUSIBLE:
        return True
    whole = [found for found in search.plausible if worth(search, found) >= found[0].weight]
    return len(whole) >= ENOUGH_WHOLE


def worth(search: Search, found: Edits) -> float:
    """Weight of a plausible edit, less where it leaves something without use."""
    return math.prod(mutation.weight * _kept_whole(search, mutation) for mutation in found)


def _kept_whole(search: Search, mutation: Mutation) -> float:
    """Less than 1 where an edit leaves something without use: that is rarely what was meant."""
    file = search.sources.get(mutation.file)
    region = region_of(file, mutation.line) if file is not None else None
    if region is None:
        return 1.0
    before, after = "".join(region.lines), spliced(region, mutation.edits)
    return float(0.5 ** len(losses(before, after)))


def _try_together(search: Search, mutations: list[Mutation], budget: float, say: Say) -> None:
    """Two edits: those that repair a part of the failing tests each, in other places."""
    limits = limits_of(search)
    helps: dict[Mutation, set[str]] = {}
    most = sorted(search.failing, key=lambda t: t.cpu_s)[:MOST_FAILING_ALONE]
    alone = [(m,) for m in mutations[:MOST_ALONE]]
    for test in most:
        left = (budget - search.runner.cpu_s) / 2
        if left < 1:
            return
        say(f"trying {len(alone)} small edits for {test.id} alone")
        tests = [t.id for t in search.results if t in search.passing or t is test]
        for trial in search.runner.try_mutants(
            _mutants(search, alone), [test.id], tests, limits, left
        ):
            search.tried += 1
            if trial.outcome == "passed":
                helps.setdefault(alone[trial.id][0], set()).add(test.id)
                search.alone.add(test.id)
    ranked = sorted(helps, key=lambda m: (-len(helps[m]), -m.weight))[:MOST_PARTS]
    pairs = [
        (first, second)
        for first, second in combinations(ranked, 2)
        if helps[first] != helps[second] and _apart(first, second)
    ]
    pairs.sort(key=lambda pair: -(pair[0].weight * pair[1].weight))
    left = budget - search.runner.cpu_s
    if not pairs or left < 1:
        return
    say(f"trying {len(pairs)} pairs of them")
    failing = [t.id for t in search.failing]
    mutants = _mutants(search, pairs)
    for trial in search.runner.try_mutants(mutants, failing, search.tests, limits, left):
        search.tried += 1
        if trial.outcome == "passed":
            search.plausible.append(pairs[trial.id])


def _seconds(search: Search, further: Further) -> list[Mutation]:
    """Edits of the function that fails now; of all on the old traceback, where the test does."""
    _, path, line, exception = further
    places = [(path, line)]
    if is_test(path):
        exception = ""
        places = list(dict.fromkeys(place for crash in search.crashes for place in crash.places))
    found: list[Mutation] = []
    for path, line in places[:MOST_PLACES]:
        file = search.sources.get(path)
        function = file.function_at(line) if file is not None else None
        if file is None or function is None:
            continue
        last = function.end_lineno or function.lineno
        lines = dict.fromkeys(range(function.lineno, last + 1), SAME_FUNCTION)
        if exception:
            lines[line] = 1.0
        found += mutations_of(file, lines, {line: exception} if exception else None)
    return sorted(found, key=lambda m: -m.weight)[:MOST_SECONDS]


def _gain(further: Further) -> int:
    """2 when the test comes further, 1 when only its own comparison fails now."""
    lines, path, _, _ = further
    return 2 if lines > 0 else int(is_test(path))


def _try_after(search: Search, mutations: list[Mutation], budget: float, say: Say) -> None:
    """Two edits, one after the other: the second where the test fails once the first is made."""
    # an edit that fails itself is no half of a repair
    reached = [m for m, found in search.further.items() if found[1:3] != (m.file, m.line)]
    reached.sort(key=lambda m: (-_gain(search.further[m]), -m.weight))
    pairs: list[Edits] = []
    for first in reached[:MOST_FIRSTS]:
        beside = [m for m in mutations if m.function is first.function][: MOST_SECONDS // 2]
        seconds = [*_seconds(search, search.further[first]), *beside]
        pairs += [(first, second) for second in dict.fromkeys(seconds) if _apart(first, second)]
    pairs.sort(key=lambda pair: -(pair[0].weight * pair[1].weight))
    left = budget - search.runner.cpu_s
    if not pairs or left < 1:
        return
    say(f"trying {len(pairs)} pairs of edits, one after the other")
    failing = [t.id for t in sorted(search.failing, key=lambda t: t.cpu_s)]
    mutants = _mutants(search, pairs)
    for trial in search.runner.try_mutants(mutants, failing, search.tests, limits_of(search), left):
        search.tried += 1
        if trial.outcome == "passed":
            search.plausible.append(pairs[trial.id])


def _apart(first: Mutation, second: Mutation) -> bool:
    """Whether no line is changed by both."""

    def lines(mutation: Mutation) -> set[int]:
        return {n for e in mutation.edits for n in range(e.span.line, max(e.span.end_line, 1) + 1)}

    return first.file != second.file or not lines(first) & lines(second)


def _try_outside(search: Search, mutations: list[Mutation], budget: float, say: Say) -> None:
    """Edits of what runs at import: each needs its module, and so the tests, loaded anew."""
    jobs: list[dict[str, object]] = []
    for number, mutation in enumerate(mutations):
        file = search.sources.get(mutation.file)
        region = region_of(file, mutation.line) if file is not None else None
        if file is not None and region is not None:
            head, tail = file.lines[: region.first - 1], file.lines[region.last :]
            text = "".join([*head, spliced(region, mutation.edits), *tail])
            coded = text.encode(file.encoding).decode("latin-1")
            jobs.append({"id": number, "files": {mutation.file: coded}})
    left = budget - search.runner.cpu_s
    if not jobs or left < 1:
        return
    say(f"trying {len(jobs)} edits of what runs at import")
    failing = [t.id for t in search.failing]
    for trial in search.runner.try_mutants(
        [], failing, search.tests, limits_of(search), left, jobs
    ):
        search.tried += 1
        if trial.outcome == "passed":
            search.plausible.append((mutations[trial.id],))


def limits_of(search: Search) -> dict[str, float]:
    """Processor seconds for each test on a mutant, from its own time or the passing tests'."""
    usual = min(max((t.cpu_s for t in search.passing), default=0.01), 1.0)
    return {
        t.id: 0.05 + 6 * (t.cpu_s if t.outcome == "passed" else usual)
        for t in [*search.failing, *search.passing]
    }


def _mutants(search: Search, edits: Sequence[Edits]) -> list[dict[str, object]]:
    made = [_mutant(search, number, mutations) for number, mutations in enumerate(edits)]
    return [mutant for mutant in made if mutant is not None]


def _mutant(search: Search, number: int, mutations: Edits) -> dict[str, object] | None:
    regions: dict[tuple[str, int], Region] = {}
    edits: dict[tuple[str, int], list[Edit]] = {}
    for mutation in mutations:
        file = search.sources.get(mutation.file)
        region = region_of(file, mutation.line) if file is not None else None
        if region is None:
            return None
        regions[mutation.file, region.first] = region
        edits.setdefault((mutation.file, region.first), []).extend(mutation.edits)
    parts = [
        {
            "file": path,
            "source": "".join(region.headers) + spliced(region, edits[path, first]),
            "line": region.first - len(region.headers),
            "annotations": "from __future__ import annotations" in region.file.text,
        }
        for (path, first), region in regions.items()
    ]
    return {"id": number, "parts": parts}


def _mutations(search: Search) -> list[Mutation]:
    """Mutations of the most suspicious lines of all files, heaviest first."""
    ranked = sorted(
        (
            (score, file, line)
            for file, lines in search.scores.items()
            for line, score in lines.items()
            if score > 0
        ),
        reverse=True,
    )[:MOST_LINES]
    by_file: dict[str, dict[int, float]] = {}
    for score, path, line in ranked:
        by_file.setdefault(path, {})[line] = score
    found: list[Mutation] = []
    raised = {place: crash.exception for crash in search.crashes for place in crash.places}
    for path, lines in by_file.items():
        file = search.sources.get(path)
        if file is not None:
            lines |= {n: s for n, s in _read_from(file, lines).items() if n not in lines}
            here = {line: name for (at, line), name in raised.items() if at == path}
            found += mutations_of(file, lines, here)
    found.sort(key=lambda m: -m.weight)
    return found[:MOST_MUTANTS]


def _read_from(file: SourceFile, suspicion: Mapping[int, float]) -> dict[int, float]:
    """Lines of the module's own assignments whose names the suspicious lines read."""
    readers: dict[str, float] = {}
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            score = suspicion.get(node.lineno, 0.0)
            readers[node.id] = max(readers.get(node.id, 0.0), score)
    found: dict[int, float] = {}
    for statement in file.tree.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names = [t.id for t in targets if isinstance(t, ast.Name)]
            score = max((readers.get(name, 0.0) for name in names), default=0.0)
            if score > 0:
                found[statement.lineno] = READ_FROM * score
    return found
