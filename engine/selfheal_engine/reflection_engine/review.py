"""Runs every rule over what a patch changes."""

from __future__ import annotations

from selfheal_engine.model import Candidate, Diagnosis, Occurrence, Remark
from selfheal_engine.project import Project
from selfheal_engine.reflection_engine.change import Change
from selfheal_engine.reflection_engine.rules import RULES

FAR_FROM_CAUSE = 0.4


def review(
    candidate: Candidate, diagnosis: Diagnosis, occurrence: Occurrence, project: Project
) -> tuple[Remark, ...]:
    """What a strict maintainer would say, the weightiest first; () when nothing.

    A rule speaks once for a patch, at its first place.
    """
    found: dict[str, Remark] = {}
    for path, content in candidate.files:
        change = _change(path, content, project)
        if change is None:
            continue
        for rule in RULES:
            for line, text in rule.findings(change):
                found.setdefault(rule.name, Remark(rule.name, text, rule.weight, line))
    far = _far_from_cause(candidate, diagnosis)
    if far is not None:
        found[far.rule] = far
    return tuple(sorted(found.values(), key=lambda remark: -remark.weight))


def _change(path: str, content: bytes, project: Project) -> Change | None:
    if not path.endswith(".py"):
        return None
    try:
        before = project.read(path)
    except OSError:
        before = b""
    try:
        return Change.of(before, content)
    except (SyntaxError, ValueError):
        return None


def _far_from_cause(candidate: Candidate, diagnosis: Diagnosis) -> Remark | None:
    """A patch none of whose places is among the suspects mends the symptom, if anything."""
    if not diagnosis.suspects:
        return None
    places = {(suspect.file, suspect.function) for suspect in diagnosis.suspects}
    files = {suspect.file for suspect in diagnosis.suspects}
    touched = {path for path, _ in candidate.files}
    named = {(path, name) for path in touched for name in candidate.functions}
    # a suspect outside any function (a syntax error, a constant) is the whole file's matter
    named |= {(path, name) for path in touched for name in ("", "<module>")}
    if touched & files and (not candidate.functions or named & places):
        return None
    text = "the patch is elsewhere than where the cause is suspected"
    return Remark("far_from_cause", text, FAR_FROM_CAUSE)
