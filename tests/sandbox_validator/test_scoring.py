"""The safety score: what it is made of, and whether its table is what the evidence says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfheal_engine.model import Candidate, Check, Verdict
from selfheal_engine.sandbox_validator import scoring
from tests.benchmarks import calibration

PROVED = tuple(
    Check(name, "passed", "", n=3) for name in ("imports", "reproducer", "good_calls", "coverage")
)
DIFF = "--- a/m.py\n+++ b/m.py\n@@ -1 +1 @@\n-x = d['a']\n+x = d.get('a', E)\n"


def patch(confidence: float = 0.6) -> Candidate:
    return Candidate("c", "null_check", "t", "t", DIFF, (), confidence=confidence)


def verdict(candidate: Candidate, *checks: Check) -> Verdict:
    made = checks or PROVED
    return Verdict(candidate.id, made, scoring.safety(candidate, made, (), 1), True)


@pytest.mark.parametrize("confidence", [0.2, 0.45, 0.6, 0.9])
def test_a_patch_behind_another_one_counts_less_for_the_same_evidence(confidence: float) -> None:
    shown_first = verdict(patch(confidence))
    shown_later = scoring.behind(patch(confidence), shown_first)
    assert shown_first.safety is not None
    assert shown_later.safety is not None
    assert shown_later.safety < shown_first.safety
    assert replace(shown_later, safety=shown_first.safety) == shown_first


def test_a_patch_without_a_score_gets_none_behind_another_one() -> None:
    refused = verdict(patch(), *PROVED, Check("tests", "failed", "one fails"))
    assert refused.safety is None
    assert scoring.behind(patch(), refused).safety is None


def test_doubt_begins_below_an_even_chance() -> None:
    assert scoring.features(patch(0.5), PROVED, ())["doubt"] == 0.0
    assert scoring.features(patch(0.2), PROVED, ())["doubt"] == pytest.approx(0.3)


def test_no_evidence_counts_to_the_other_side_than_the_expert_says() -> None:
    known = scoring.table()
    assert known["weights"].keys() == known["expert"]["weights"].keys()
    assert known["weights"].keys() == scoring.features(patch(), PROVED, ()).keys()
    for name, weight in known["weights"].items():
        assert weight * known["expert"]["weights"][name] >= 0.0, name


def test_the_table_is_what_the_kept_evidence_gives() -> None:
    known, table = calibration.load([calibration.KEPT]), scoring.table()
    weights, intercept = calibration.fit(known, table)
    assert table["fitted_on"] == len(known)
    assert intercept == pytest.approx(table["intercept"], abs=0.002)
    assert weights == pytest.approx(table["weights"], abs=0.002)


# a score that means just what it says would err by half as much again once in ten times,
# by the luck of so few labels
@pytest.mark.parametrize(("first_alone", "most"), [(False, 0.05), (True, 0.065)])
def test_on_the_kept_evidence_the_score_means_what_it_says(first_alone: bool, most: float) -> None:
    known = [one for one in calibration.load([calibration.KEPT]) if one.first or not first_alone]
    error = calibration.calibration_error(
        [one.now for one in known], [one.correct for one in known]
    )
    assert error <= most


def test_each_case_of_the_kept_evidence_has_one_first_patch() -> None:
    known = calibration.load([calibration.KEPT])
    firsts = [one.case for one in known if one.first]
    assert sorted(firsts) == sorted({one.case for one in known})


@pytest.mark.parametrize(
    ("coverage", "reproducer", "covered"),
    [
        ("passed", "unknown", True),
        ("failed", "passed", False),
        ("unknown", "passed", True),
        ("unknown", "unknown", False),
    ],
)
def test_a_patch_without_a_line_that_runs_is_covered_where_the_replay_shows_its_work(
    coverage: str, reproducer: str, covered: bool
) -> None:
    checks = (Check("coverage", coverage, ""), Check("reproducer", reproducer, ""))  # type: ignore[arg-type]
    assert scoring.covered(checks) is covered
