"""How far the safety score can be believed, and the fit that makes it so.

    python tests/benchmarks/calibration.py [--fit] FILE...

FILE: results of tests/benchmarks/repair.py (`cases[].shown[]` with a label and the verdict), or
such candidates one a line with their case (`.jsonl`), as tests/benchmarks/labelling.py writes
them; without one, the evidence that is kept in labelled_evidence.jsonl beside this file.
Prints the expected calibration error (Naeini et al. 2015) and what share was correct in each band
of scores, of the table in use and, each case left out in turn, of a refitted one: candidates for
one bug are much alike. The same for each case's first patch alone, the only one that is ever
applied without a person. `--keep` keeps the evidence. `--fit` writes the refitted table.
The fit is a logistic regression with a ridge towards the expert's weights, so that few labels
move them little, and no weight changes its side: that more tests pass is never held against a
patch, whatever chance has to say in a few hundred labels.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from selfheal_engine.codec import from_plain
from selfheal_engine.model import Candidate, Check, Remark
from selfheal_engine.sandbox_validator import scoring

RIDGE = 1.0
"""Strength of the pull towards the expert's weights, in labelled candidates."""
BINS = 5
KEPT = Path(__file__).with_name("labelled_evidence.jsonl")
STEPS = 400

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Labelled:
    """One candidate that got a score, with the hidden tests' word on it."""

    case: str
    features: dict[str, float]
    correct: bool
    now: float
    """P(correct) by the table in use, caps included."""
    most: float
    """What coverage and tier cap it at."""

    @property
    def first(self) -> bool:
        """Whether it is what was shown first of its case."""
        return not self.features.get("follows")


def load(files: list[Path]) -> list[Labelled]:
    """Every labelled candidate once; those without a score were stopped by a gate.

    Of each case they come in the order in which they are shown.
    """
    found: dict[tuple[str, str], Labelled] = {}
    for file in files:
        seen: set[str] = set()
        for case, shown in candidates(file):
            if "features" in shown:
                found[case, str(len(found))] = labelled(
                    case, shown["features"], shown["correct"], shown["most"]
                )
                continue
            label, verdict = shown.get("label"), shown.get("verdict") or {}
            if label is None or verdict.get("safety") is None:
                continue
            found[case, str(shown.get("diff", ""))] = labelled(
                case, features(shown, verdict, case in seen), label == "correct", cap(verdict)
            )
            seen.add(case)
    return list(found.values())


def labelled(case: str, evidence: dict[str, float], correct: bool, most: float) -> Labelled:
    table = scoring.table()
    chance = scoring.probability(evidence, table["weights"], float(table["intercept"]))
    return Labelled(case, evidence, correct, min(chance, most), most)


def keep(known: list[Labelled]) -> None:
    """Write the evidence, cases by number, without what would not change a fit."""
    cases = sorted(
        {one.case for one in known}, key=lambda case: (not case.isdigit(), len(case), case)
    )
    numbers = {case: number for number, case in enumerate(cases)}
    lines = []
    for one in sorted(known, key=lambda one: (numbers[one.case], not one.first, -one.now)):
        evidence = {name: round(value, 4) for name, value in one.features.items() if value}
        row = {"case": numbers[one.case], "correct": one.correct, "most": one.most}
        lines.append(json.dumps({**row, "features": evidence}) + "\n")
    KEPT.write_text("".join(lines), encoding="utf-8")
    print(f"written to {KEPT}")


def candidates(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(case, candidate) of one file of results; nothing for a file of another kind."""
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".jsonl":
            yield from ((str(one["case"]), one) for one in map(json.loads, text.splitlines()))
        else:
            for case in json.loads(text)["cases"]:
                yield from ((case["case"], shown) for shown in case.get("shown", ()))
    except (OSError, ValueError, KeyError, TypeError) as why:
        print(f"{file} is left out: {why!r}", file=sys.stderr)


def cap(verdict: dict[str, Any]) -> float:
    """The highest P(correct) that a verdict's coverage and tier allow."""
    checks = [from_plain(Check, check) for check in verdict["checks"]]
    most = 100 if scoring.covered(checks) else scoring.UNCOVERED_CAP
    return min(most, scoring.TIER_CAPS[verdict.get("tier", 1)]) / 100


def features(shown: dict[str, Any], verdict: dict[str, Any], follows: bool) -> dict[str, float]:
    checks = [from_plain(Check, check) for check in verdict["checks"]]
    remarks = [from_plain(Remark, remark) for remark in verdict.get("remarks", ())]
    candidate = Candidate(
        id="",
        strategy=shown.get("strategy", ""),
        template=shown.get("template", ""),
        title="",
        diff=shown.get("diff", ""),
        files=tuple((path, text.encode()) for path, text in shown.get("files", {}).items()),
        confidence=float(shown.get("confidence", 0.0)),
    )
    return scoring.features(candidate, checks, remarks, follows)


def fit(known: list[Labelled], table: dict[str, Any]) -> tuple[dict[str, float], float]:
    """Weights and intercept that suit the labels, stay near the expert's and on their side."""
    expert = table["expert"]
    names = sorted(expert["weights"])
    prior = np.array([*(expert["weights"][name] for name in names), expert["intercept"]])
    rows = np.array([[*(one.features.get(n, 0.0) for n in names), 1.0] for one in known])
    correct = np.array([float(one.correct) for one in known])
    weights, free = prior.copy(), np.ones(len(prior), dtype=bool)
    while True:
        weights = _nearest(rows, correct, prior, weights, free)
        crossed = free & (weights * prior < 0)
        crossed[-1] = False  # the intercept is no evidence
        if not crossed.any():
            return dict(zip(names, map(float, weights[:-1]), strict=True)), float(weights[-1])
        free &= ~crossed
        weights[crossed] = 0.0


def _nearest(rows: Array, correct: Array, prior: Array, weights: Array, free: Array) -> Array:
    """The least loss with the `free` weights alone moved: Newton's steps, halved where too long."""

    def loss(tried: Array) -> float:
        total = rows @ tried
        pull = RIDGE / 2 * np.sum((tried - prior) ** 2)
        return float(np.sum(np.logaddexp(0.0, total) - correct * total) + pull)

    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-np.clip(rows @ weights, -30, 30)))
        slope = rows.T @ (chance - correct) + RIDGE * (weights - prior)
        bend = (rows * (chance * (1 - chance))[:, None]).T @ rows + RIDGE * np.eye(len(prior))
        step = np.zeros(len(prior))
        step[free] = np.linalg.solve(bend[np.ix_(free, free)], slope[free])
        while loss(weights - step) > loss(weights) and float(np.abs(step).max()) > 1e-9:
            step /= 2
        weights = weights - step
        if float(np.abs(step).max()) < 1e-9:
            break
    return weights


def calibration_error(scores: list[float], correct: list[bool]) -> float:
    """Expected calibration error: mean distance of score and share of correct, by bins."""
    total = 0.0
    for number in range(BINS):
        low, high = number / BINS, (number + 1) / BINS
        inside = [
            (score, right)
            for score, right in zip(scores, correct, strict=True)
            if low <= score < high or (number == BINS - 1 and score == 1.0)
        ]
        if inside:
            mean = math.fsum(score for score, _ in inside) / len(inside)
            share = sum(right for _, right in inside) / len(inside)
            total += len(inside) / len(scores) * abs(mean - share)
    return total


def reliability(scores: list[float], correct: list[bool]) -> None:
    """Print what share was correct in each band of scores."""
    for low in (0.0, 0.2, 0.4, 0.6, 0.8, 0.9):
        high = {0.8: 0.9, 0.9: 1.01}.get(low, low + 0.2)
        inside = [right for s, right in zip(scores, correct, strict=True) if low <= s < high]
        if inside:
            band = f"{100 * low:.0f}-{min(100, 100 * high):.0f}"
            print(f"  {band:8} {sum(inside):3} of {len(inside):3} correct")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--fit", action="store_true", help="write the refitted table")
    parser.add_argument("--keep", action="store_true", help="keep the evidence as the fit's data")
    given = parser.parse_args()
    known = load(given.files or [KEPT])
    if len(known) < 8:
        print(f"{len(known)} labelled candidates are too few to say anything")
        return 1
    if given.keep:
        keep(known)
    table = scoring.table()
    correct = [one.correct for one in known]
    shown = [one.now for one in known]
    cases = sorted({one.case for one in known})
    print(f"labelled candidates: {len(known)} of {len(cases)} cases ({sum(correct)} correct)")
    held_back = [0.0] * len(known)
    for case in cases:
        weights, intercept = fit([one for one in known if one.case != case], table)
        for number, one in enumerate(known):
            if one.case == case:
                chance = scoring.probability(one.features, weights, intercept)
                held_back[number] = min(chance, one.most)
    firsts = [number for number, one in enumerate(known) if one.first]
    for name, scores in (("the table in use", shown), ("refitted, case held back", held_back)):
        for which, of in (("", range(len(known))), (", first of each case", firsts)):
            chosen, right = [scores[n] for n in of], [correct[n] for n in of]
            print(f"{name}{which}: error {calibration_error(chosen, right):.3f}")
            reliability(chosen, right)
    if given.fit:
        weights, intercept = fit(known, table)
        new = {
            **table,
            "fitted_on": len(known),
            "intercept": round(intercept, 3),
            "weights": {name: round(weight, 3) for name, weight in weights.items()},
        }
        scoring.TABLE.write_text(json.dumps(new, indent=2) + "\n", encoding="utf-8")
        print(f"written to {scoring.TABLE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
