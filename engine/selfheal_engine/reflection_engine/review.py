"""Runs every rule over what a patch changes."""

from __future__ import annotations

from selfheal_engine.model import Candidate, Diagnosis, Occurrence, Remark
from selfheal_engine.project import Project
from selfheal_engine.reflection_engine.rules import RULES, Change


def review(
    candidate: Candidate, diagnosis: Diagnosis, occurrence: Occurrence, project: Project
) -> tuple[Remark, ...]:
    """What a strict maintainer would say, the weightiest first; () when nothing."""
    found: list[Remark] = []
    for path, content in candidate.files:
        if not path.endswith(".py"):
            continue
        try:
            before = project.read(path)
        except OSError:
            before = b""
        try:
            change = Change.of(before, content)
        except (SyntaxError, ValueError):
            continue
        for rule in RULES:
            for line, text in rule.findings(change):
                found.append(Remark(rule.name, text, rule.weight, line))
    return tuple(sorted(found, key=lambda remark: -remark.weight))
