"""100 x product of (1 - weight x damage), with a named cause for every lost point."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfheal_engine.health_monitor.health_score import (
    HALF_LIFE_S,
    WEIGHTS,
    Recovery,
    Vital,
    damages,
    score,
)
from selfheal_engine.model import METRICS

WELL = {name: Vital(0.0) for name in METRICS}


def test_nothing_wrong_is_a_hundred() -> None:
    assert score(damages(WELL, failed_share=0.0)).score == 100.0


def test_all_requests_failing_is_zero_whatever_else_is_well() -> None:
    result = score(damages(WELL, failed_share=1.0))
    assert result.score == 0.0
    assert [c.name for c in result.causes] == ["failed requests"]


def test_two_causes_cost_less_than_their_sum() -> None:
    one, other = score({"slow answers": 1.0}), score({"threads stuck": 0.5})
    both = score({"slow answers": 1.0, "threads stuck": 0.5})
    assert both.score == pytest.approx(one.score * other.score / 100)
    assert 100 - both.score < (100 - one.score) + (100 - other.score)


@given(st.dictionaries(st.sampled_from(sorted(WEIGHTS)), st.floats(0.02, 1.0), max_size=6))
def test_the_causes_account_for_every_lost_point(damage: dict[str, float]) -> None:
    result = score(damage)
    assert 0 <= result.score <= 100
    assert sum(c.points for c in result.causes) == pytest.approx(100 - result.score, abs=1e-6)
    points = [c.points for c in result.causes]
    assert points == sorted(points, reverse=True)


@given(st.floats(0, 1), st.floats(0, 1))
def test_more_failing_requests_never_look_healthier(a: float, b: float) -> None:
    low, high = sorted((a, b))
    worse = score(damages(WELL, failed_share=high)).score
    assert worse <= score(damages(WELL, failed_share=low)).score


def test_slow_answers_count_from_the_edge_of_their_limits() -> None:
    def points(value: float) -> float:
        vitals = WELL | {"response_time": Vital(value, 50.0, 90.0, beyond=value > 90)}
        return 100 - score(damages(vitals)).score

    assert points(85) == 0
    assert 0 < points(200) < points(250) < points(5000) == pytest.approx(45)


def test_memory_counts_when_it_nears_its_limit() -> None:
    assert damages(WELL, memory_share=0.8) == {}
    assert damages(WELL, memory_share=1.0) == {"memory running out": 1.0}


def test_the_score_drops_at_once_and_comes_back_with_the_half_life() -> None:
    recovery = Recovery()
    assert recovery.update(0, {"failed requests": 0.8}).score == pytest.approx(20)
    assert recovery.update(1, {}).score < 21
    later = recovery.update(1 + HALF_LIFE_S, {}).score
    assert later == pytest.approx(60, abs=1)
    assert recovery.update(1 + 10 * HALF_LIFE_S, {}).score == 100.0
