"""The search for patches of one occurrence: best first, written only when asked for.

Two layers. First the templates, on the scene of the crash and of its callers, ordered by
prior(template) x fit x location x P(bug type). Then small mutations near the crash, which only
tests and replays can tell apart, so they come last and weigh less.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice

from selfheal_engine.config import Settings
from selfheal_engine.diagnosis.diagnosing import Findings, examine
from selfheal_engine.diagnosis.failure import Failure, find_failure
from selfheal_engine.diagnosis.keeping import keepers
from selfheal_engine.diagnosis.source_file import Sources
from selfheal_engine.errors import SelfhealError
from selfheal_engine.model import Candidate, Diagnosis, Frame, Occurrence
from selfheal_engine.patch_generator.conventions import Conventions, is_test
from selfheal_engine.patch_generator.external import ProposerError, proposed
from selfheal_engine.patch_generator.mutations import mutations_of
from selfheal_engine.patch_generator.priors import Priors, prior_of
from selfheal_engine.patch_generator.rewriting import RewriteError
from selfheal_engine.patch_generator.rules import Draft, Rule, Scene
from selfheal_engine.patch_generator.sites import asks_again
from selfheal_engine.patch_generator.strategies import all_rules
from selfheal_engine.patch_generator.writing import content_hash, write_candidate
from selfheal_engine.project import Project

DEPTH_WEIGHT = (1.0, 0.7, 0.45)
"""By distance from the innermost own frame; deeper frames are not searched."""
LEAST_LOGIC = 0.4
"""Share of logic_correction in the diagnosis below which no mutations are tried."""
MOST_MUTATIONS = 60
_SAME_TYPES = frozenset({"off_by_one", "boundary"})
"""Mutations that leave the operands' types as they are: no TypeError goes away by them."""


@dataclass(frozen=True)
class Scored:
    """A draft with the rule it came from and its place in the order."""

    rule: Rule
    draft: Draft
    score: float
    confidence: float


class Mutation(Rule):
    """Changes one expression or statement near the failure."""

    name = "mutation"
    strategy = "logic_correction"


_MUTATION = Mutation()


class PatchGenerator:
    """Generates the candidates of one project; keeps parsed files between calls."""

    def __init__(self, project: Project, settings: Settings, priors: Priors | None = None) -> None:
        self.project = project
        self.settings = settings
        self.priors = priors or {}
        self.sources = Sources(project)
        self.conventions = Conventions(self.sources)

    def generate(
        self, occurrence: Occurrence, diagnosis: Diagnosis, limit: int
    ) -> Iterator[Candidate]:
        """At most `limit` different candidates, likeliest first, written as they are drawn."""
        findings = examine(occurrence, self.sources)
        seen: set[str] = set()
        given = 0
        for candidate in self._all(occurrence, diagnosis, findings):
            if given >= limit:
                return
            if content_hash(dict(candidate.files)) in seen:
                continue
            seen.add(content_hash(dict(candidate.files)))
            given += 1
            yield candidate

    def _all(
        self, occurrence: Occurrence, diagnosis: Diagnosis, findings: Findings
    ) -> Iterator[Candidate]:
        """Our own first three, then those of the external proposer, then the rest."""
        own = self._ordered(occurrence, diagnosis, findings)
        written = (self._write(scored, occurrence) for scored in own)
        ours = (candidate for candidate in written if candidate is not None)
        yield from islice(ours, 3)
        if self.settings.proposer:
            # a proposer that fails must not cost our own patches
            with suppress(ProposerError):
                yield from proposed(occurrence, diagnosis, self.sources, self.settings)
        yield from ours

    def _ordered(
        self, occurrence: Occurrence, diagnosis: Diagnosis, findings: Findings
    ) -> Iterator[Scored]:
        types = dict(diagnosis.ranked_types)
        found: list[Scored] = []
        for scene in self._scenes(occurrence, findings):
            for rule in all_rules():
                if occurrence.kind not in rule.kinds or (scene.placeless and not rule.searches):
                    continue
                share = 0.35 + 0.65 * types.get(rule.strategy, 0.0)
                where = DEPTH_WEIGHT[scene.depth]
                prior = prior_of(rule.strategy, rule.name, self.priors)
                same: dict[int, int] = {}
                for draft in rule.drafts(scene):
                    if asks_again(scene, draft):
                        continue
                    # the second idea of a rule for the same line waits for other rules' first
                    again = same[draft.line] = same.get(draft.line, -1) + 1
                    score = prior * draft.weight * share * where * 0.8**again
                    confidence = min(0.95, prior * min(1.4, draft.weight) * (0.6 + 0.4 * share))
                    found.append(Scored(rule, draft, score, confidence))
        found.sort(key=lambda s: -s.score)
        yield from found
        # the second layer is enumerated only when the first one is used up
        yield from self._mutated(occurrence, findings, types.get("logic_correction", 0.0))

    def _mutated(
        self, occurrence: Occurrence, findings: Findings, share: float
    ) -> Iterator[Scored]:
        """Small edits within three lines of the crash, where a slip in the logic is likely."""
        failure = findings.failure
        if failure is None or share < LEAST_LOGIC or occurrence.kind == "syntax":
            return
        near = {failure.frame.line + i: 1.0 - 0.2 * abs(i) for i in range(-3, 4)}
        mutations = mutations_of(failure.file, near)
        inside = [m for m in mutations if m.function is failure.function]
        if occurrence.exception == "TypeError":
            inside = [m for m in inside if m.kind not in _SAME_TYPES]
        for mutation in inside[:MOST_MUTATIONS]:
            line = failure.file.line(mutation.line)[:60]
            draft = Draft(
                tuple((mutation.file, edit) for edit in mutation.edits),
                f"{mutation.kind.replace('_', ' ')} in `{line}`",
                mutation.weight,
                "A small edit near the failure; only the replays speak for it.",
                "medium",
                mutation.line,
            )
            weight = mutation.weight * share
            yield Scored(_MUTATION, draft, weight * 0.3, round(min(0.45, 0.4 * weight), 3))

    def _scenes(self, occurrence: Occurrence, findings: Findings) -> Iterator[Scene]:
        """The crash's scene, then its callers' with the argument that carried the bad value."""
        if findings.failure is None:
            yield from self._placeless(occurrence, findings)
            return
        yield Scene(occurrence, findings, self.sources, findings.failure, self.conventions)
        own = findings.own_frames
        if occurrence.kind == "leak":
            known = {(self.project.relative(frame.file), frame.line) for frame in own}
            for keeper in keepers(occurrence, self.sources)[:2]:
                if (keeper.file.path, keeper.frame.line) not in known:
                    yield Scene(occurrence, findings, self.sources, keeper, self.conventions)
        for depth in range(1, min(len(DEPTH_WEIGHT), len(own))):
            failure = self._caller_failure(findings, depth, occurrence)
            if failure is not None:
                yield Scene(occurrence, findings, self.sources, failure, self.conventions, depth)

    def _placeless(self, occurrence: Occurrence, findings: Findings) -> Iterator[Scene]:
        """No own frame was seen: rules that look through the whole project still can."""
        for file in self.sources.all():
            if file.tree.body and not is_test(file.path):
                first = file.tree.body[0]
                path = str(self.project.root / file.path)
                frame = Frame(path, first.lineno, "<module>", own=True)
                failure = Failure(file, frame, first, first, None)
                yield Scene(
                    occurrence, findings, self.sources, failure, self.conventions, placeless=True
                )
                return

    def _caller_failure(
        self, findings: Findings, depth: int, occurrence: Occurrence
    ) -> Failure | None:
        frame = findings.own_frames[-1 - depth]
        file = self.sources.get(frame.file)
        if file is None:
            return None
        failure = find_failure(file, frame, "", "")
        if failure is None:
            return None
        # in a caller the culprit is the argument that the data flow came through
        for step in findings.origin:
            if (
                step.kind == "argument"
                and step.file is file
                and step.line == getattr(failure.node, "lineno", frame.line)
            ):
                return failure
        return replace(failure, is_none=failure.is_none and bool(findings.origin))

    def _write(self, scored: Scored, occurrence: Occurrence) -> Candidate | None:
        draft, rule = scored.draft, scored.rule
        try:
            candidate = write_candidate(
                self.sources,
                draft.edits,
                strategy=rule.strategy,
                template=rule.name,
                title=draft.title,
                explanation=draft.explanation or _first_sentence(rule),
                confidence=round(scored.confidence, 3),
                risk=draft.risk,
            )
        except RewriteError:
            return None
        except SelfhealError:
            return None
        cluster = f"{rule.strategy}/{rule.name}:{draft.edits[0][0]}:{draft.line}"
        return replace(candidate, impact=_impact(occurrence), cluster=cluster)


def _first_sentence(rule: Rule) -> str:
    return " ".join((type(rule).__doc__ or "").split("\n\n")[0].split())


def _impact(occurrence: Occurrence) -> float:
    """Share of what was observed that passes the changed code: failing against good calls."""
    good = len(occurrence.good_calls)
    return round(min(1.0, occurrence.count / max(1, occurrence.count + good)), 3)
