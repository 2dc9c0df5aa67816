"""How far the safety score can be believed, and the fit that makes it so.

    python tests/benchmarks/calibration.py [--fit] FILE...

FILE: results of tests/benchmarks/repair.py (`cases[].shown[]` with a label and the verdict);
without one, every file of bench-results/. Prints a reliability table and the expected
calibration error (Naeini et al. 2015) of the table in use and, each candidate left out in turn,
of a refitted one. `--fit` writes the refitted table. The fit is a logistic regression with a
ridge towards the expert's weights, so that few labels move them little.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from selfheal_engine.codec import from_plain
from selfheal_engine.model import Candidate, Check, Remark
from selfheal_engine.sandbox_validator import scoring

RIDGE = 4.0
"""Strength of the pull towards the expert's weights, in labelled candidates."""
BINS = 5
STEPS = 400

Labelled = tuple[dict[str, float], bool, int]
"""(features, correct, score that was shown)."""


def load(files: list[Path]) -> list[Labelled]:
    """Every labelled candidate once; those without a score were stopped by a gate."""
    found: dict[str, Labelled] = {}
    for file in files:
        try:
            cases = json.loads(file.read_text(encoding="utf-8"))["cases"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        for case in cases:
            for shown in case.get("shown", ()):
                label, verdict = shown.get("label"), shown.get("verdict") or {}
                if label is None or verdict.get("safety") is None:
                    continue
                found[f"{shown.get('diff', '')}"] = (
                    features(shown, verdict), label == "correct", int(verdict["safety"])
                )  # fmt: skip
    return list(found.values())


def features(shown: dict[str, Any], verdict: dict[str, Any]) -> dict[str, float]:
    checks = [from_plain(Check, check) for check in verdict["checks"]]
    remarks = [from_plain(Remark, remark) for remark in verdict.get("remarks", ())]
    candidate = Candidate(
        id="",
        strategy=shown.get("strategy", ""),
        template=shown.get("template", ""),
        title="",
        diff=shown.get("diff", ""),
        files=(),
        confidence=float(shown.get("confidence", 0.0)),
    )
    return scoring.features(candidate, checks, remarks)


def fit(labelled: list[Labelled], table: dict[str, Any]) -> tuple[dict[str, float], float]:
    """Weights and intercept that suit the labels and stay near the table's own (Newton steps)."""
    names = sorted(table["weights"])
    prior = np.array([*(table["weights"][name] for name in names), table["intercept"]])
    rows = np.array([[*(f.get(name, 0.0) for name in names), 1.0] for f, _, _ in labelled])
    correct = np.array([float(right) for _, right, _ in labelled])
    weights = prior.copy()
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-np.clip(rows @ weights, -30, 30)))
        slope = rows.T @ (chance - correct) + RIDGE * (weights - prior)
        bend = (rows * (chance * (1 - chance))[:, None]).T @ rows + RIDGE * np.eye(len(prior))
        step = np.linalg.solve(bend, slope)
        weights = weights - step
        if float(np.abs(step).max()) < 1e-9:
            break
    return dict(zip(names, map(float, weights[:-1]), strict=True)), float(weights[-1])


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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--fit", action="store_true", help="write the refitted table")
    given = parser.parse_args()
    root = Path(__file__).parents[2]
    labelled = load(given.files or sorted((root / "bench-results").glob("*.json")))
    if len(labelled) < 8:
        print(f"{len(labelled)} labelled candidates are too few to say anything")
        return 1
    table = scoring.table()
    correct = [right for _, right, _ in labelled]
    shown = [score / 100 for _, _, score in labelled]
    print(f"labelled candidates      {len(labelled)} ({sum(correct)} correct)")
    print(f"error of the shown score {calibration_error(shown, correct):.3f}")
    held_back = []
    for number, (one, _, _) in enumerate(labelled):
        weights, intercept = fit(labelled[:number] + labelled[number + 1 :], table)
        held_back.append(scoring.probability(one, weights, intercept))
    print(f"error when refitted      {calibration_error(held_back, correct):.3f} (held back)")
    for name, scores in (("shown", shown), ("refitted", held_back)):
        high = [right for score, right in zip(scores, correct, strict=True) if score >= 0.9]
        print(f"{name + ' at 90 or more':24} {sum(high)} of {len(high)} correct")
    if given.fit:
        weights, intercept = fit(labelled, table)
        new = {
            **table,
            "fitted_on": len(labelled),
            "intercept": round(intercept, 3),
            "weights": {name: round(weight, 3) for name, weight in weights.items()},
        }
        scoring.TABLE.write_text(json.dumps(new, indent=2) + "\n", encoding="utf-8")
        print(f"written to {scoring.TABLE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
