"""The order in which validated candidates are shown, and how much is promised with them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from selfheal_engine.model import Candidate, Diagnosis, Verdict
from selfheal_engine.patch_generator.priors import Priors, prior_of

HIGH_SAFETY = 80
HIGH_CONFIDENCE = 0.5
FEWEST_SHOWN = 3
FLAWLESS = Verdict("", (), 100, True)
"""The best that can be said of a patch that is still being judged."""


def rank(
    candidates: Sequence[Candidate], verdicts: Sequence[Verdict], priors: Priors, limit: int
) -> tuple[tuple[Candidate, ...], tuple[Verdict, ...]]:
    """Plausible candidates, best first, one for each observed behaviour, at most `limit`."""
    by_id = {verdict.candidate: verdict for verdict in verdicts}
    plausible = [c for c in candidates if c.id in by_id and by_id[c.id].plausible]
    # what changes a call that went well is a regression, shown only when nothing else stands
    kept = [c for c in plausible if not changes_good_calls(by_id[c.id])]
    ordered = sorted(kept or plausible, key=lambda c: -score(c, by_id[c.id], priors))
    shown: list[Candidate] = []
    clusters: set[str] = set()
    for candidate in ordered:
        if candidate.cluster not in clusters or not candidate.cluster:
            clusters.add(candidate.cluster)
            shown.append(candidate)
    # a second patch of one behaviour only where too few ideas stand beside it
    rest = [c for c in ordered if c not in shown]
    shown = shown[:limit] + rest[: max(0, min(limit, FEWEST_SHOWN) - len(shown))]
    return tuple(shown), tuple(by_id[c.id] for c in shown)


def score(candidate: Candidate, verdict: Verdict, priors: Priors) -> float:
    """Confidence, moved by the prior, the sandbox's evidence and what the diff loses."""
    learned = prior_of(candidate.strategy, candidate.template, priors)
    evidence = (verdict.safety if verdict.safety is not None else 40) / 100
    found = candidate.confidence * 0.5 + learned * 0.1 + evidence * 0.4
    found -= 0.05 * sum(remark.weight for remark in verdict.remarks)
    added, removed = _changes(candidate.diff)
    found -= 0.01 * max(0, len(added) - 3)
    text = "\n".join(added)
    if re.search(r"except[^\n]*:\n\s*pass\b", text):
        found -= 0.3
    if re.search(r"^\s*return\s*$", text, re.MULTILINE):
        found -= 0.03
    if removed and not added:
        found -= 0.15
    return found


def changes_good_calls(verdict: Verdict) -> bool:
    """Whether recorded calls that went well end differently with the patch."""
    check = verdict.check("good_calls")
    return check is not None and check.status == "failed"


def tier(
    candidates: Sequence[Candidate], verdicts: Sequence[Verdict], diagnosis: Diagnosis
) -> Literal["high", "medium", "diagnosis"]:
    """high only where a replay or test proves the first one and nothing speaks against it."""
    if not candidates:
        return "diagnosis"
    first, verdict = candidates[0], verdicts[0]
    if changes_good_calls(verdict):
        return "diagnosis"
    replayed = verdict.check("reproducer")
    proven = replayed is not None and replayed.status == "passed"
    safe = verdict.safety is not None and verdict.safety >= HIGH_SAFETY
    if proven and safe and first.confidence >= HIGH_CONFIDENCE and diagnosis.reproducers:
        return "high"
    return "medium"


def _changes(diff: str) -> tuple[list[str], list[str]]:
    added = [x[1:] for x in diff.splitlines() if x.startswith("+") and not x.startswith("+++")]
    removed = [x[1:] for x in diff.splitlines() if x.startswith("-") and not x.startswith("---")]
    return added, removed
