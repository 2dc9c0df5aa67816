"""The safety score: gates first, then a logistic table over the evidence.

The score is P(a maintainer would call the patch correct) x 100, rounded. Gates give no score
at all. A patch is judged as the one that is shown first; those that another is shown before are
scored again (`behind`), since what ranks them holds more than their own evidence. The table is
`safety_table.json` beside this file: weights by feature, an intercept, how many labelled
candidates it was fitted on (0: an expert's weights, not yet fitted), the expert's weights that
the fit is drawn towards, and the command that makes it again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from selfheal_engine.model import Candidate, Check, Remark, Verdict
from selfheal_engine.sandbox_validator.manner import manner

TABLE = Path(__file__).with_name("safety_table.json")
UNCOVERED_CAP = 50
TIER_CAPS = {1: 100, 2: 85}

GATES = frozenset({"parses", "imports", "lint", "judge", "reproducer", "tests"})
WENT_WELL = "it went well before"
"""How the check of the neighbours tells of a regression."""

DOUBTED = 0.5
"""Patches of less confidence than this are wrong more often than a straight line would say."""


@lru_cache(maxsize=1)
def table() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    return loaded


def gated(checks: Sequence[Check]) -> bool:
    """Whether a gate failed: then there is no score."""
    return any(c.status == "failed" and c.name in GATES for c in checks)


def features(
    candidate: Candidate, checks: Sequence[Check], remarks: Sequence[Remark], follows: bool = False
) -> dict[str, float]:
    """The evidence as numbers; `follows`: another plausible patch is shown before it."""
    by_name = {check.name: check for check in checks}

    def passed(name: str) -> float:
        check = by_name.get(name)
        return 1.0 if check is not None and check.status == "passed" else 0.0

    def failed(name: str) -> float:
        check = by_name.get(name)
        return 1.0 if check is not None and check.status == "failed" else 0.0

    def count(name: str) -> float:
        check = by_name.get(name)
        return math.log1p(check.n) if check is not None and check.status == "passed" else 0.0

    changed = sum(
        line[:1] in "+-" and line[:3] not in ("+++", "---") for line in candidate.diff.splitlines()
    )
    return {
        "reproducer_passed": passed("reproducer"),
        "statement_only": statement_only(by_name.get("reproducer")),
        "tests_passed": passed("tests"),
        "tests_n": count("tests"),
        "good_calls_same": passed("good_calls"),
        "good_calls_n": count("good_calls"),
        "good_calls_differ": failed("good_calls"),
        "shape_kept": passed("shape"),
        "shape_broken": failed("shape"),
        "performance_worse": failed("performance"),
        "memory_worse": failed("memory"),
        "mutants_killed": passed("hardening"),
        "neighbours_crash": failed("neighbours"),
        "neighbours_broken": broken(by_name.get("neighbours")),
        "neighbours_n": count("neighbours"),
        "mutants_survive": failed("hardening"),
        **manner(candidate),
        "lint_minor": 1.0 if by_name.get("lint", Check("", "passed", "")).n else 0.0,
        "changed_lines": math.log1p(changed),
        "confidence": candidate.confidence,
        "doubt": max(0.0, DOUBTED - candidate.confidence),
        "follows": float(follows),
        "remarks": sum(remark.weight for remark in remarks),
    }


def statement_only(reproducer: Check | None) -> float:
    """1 where only the crashing statement was replayed: what follows it was never reached."""
    details = reproducer.details if reproducer is not None else ()
    return float(bool(details) and all(text.startswith("statement:") for text in details))


def broken(neighbours: Check | None) -> float:
    """1 where an input close to the recorded one went well before the patch and fails with it."""
    details = neighbours.details if neighbours is not None else ()
    return float(any(WENT_WELL in text for text in details))


def covered(checks: Sequence[Check]) -> bool:
    """Whether a test or a replay ran the changed lines.

    A decorator or a default has none that runs by itself: there the replay that shows the bug no
    more has shown the patch at work.
    """
    status = {check.name: check.status for check in checks}
    no_line = status.get("coverage") == "unknown"
    return status.get("coverage") == "passed" or (no_line and status.get("reproducer") == "passed")


def probability(
    values: Mapping[str, float], weights: Mapping[str, float], intercept: float
) -> float:
    """The logistic function of the weighted sum."""
    total = intercept + sum(weights.get(name, 0.0) * value for name, value in values.items())
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, total))))


def safety(
    candidate: Candidate,
    checks: Sequence[Check],
    remarks: Sequence[Remark],
    tier: int,
    follows: bool = False,
) -> int | None:
    """0-100, or None where a gate failed."""
    if gated(checks) or tier not in TIER_CAPS:
        return None
    known = table()
    chance = probability(
        features(candidate, checks, remarks, follows), known["weights"], float(known["intercept"])
    )
    score = round(100 * chance)
    if not covered(checks):
        score = min(score, UNCOVERED_CAP)
    return min(score, TIER_CAPS[tier])


def behind(candidate: Candidate, verdict: Verdict) -> Verdict:
    """The verdict on a patch that is shown behind another plausible one."""
    if verdict.safety is None:
        return verdict
    lower = safety(candidate, verdict.checks, verdict.remarks, verdict.tier, follows=True)
    return replace(verdict, safety=lower)
