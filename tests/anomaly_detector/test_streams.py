"""The streaming detectors by themselves: one metric, several, and the tails beneath them."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from selfheal_engine.anomaly_detector import multivariate, univariate
from selfheal_engine.anomaly_detector.one_metric import VIEWS
from selfheal_engine.anomaly_detector.records import (
    BLOCK,
    MovingMean,
    RangeRecord,
    Rise,
    Season,
)
from selfheal_engine.anomaly_detector.tail import Tail, fit_pareto

NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)
ANYTHING = st.one_of(
    st.none(),
    st.floats(),
    st.sampled_from([0.0, 7.0, 1e308, -1e308, 5e-324, 10**400, True]),
    st.integers(-3, 3),
)
"""What sources hand in sooner or later."""
MOMENTS = st.sampled_from([5.0, 5.0, 5.0, 5.0, 0.0, -3600.0, 86_400.0, 1e12])
"""Steps of a clock that is set forward and back."""


# ---------------------------------------------------------------- records
def brute_force(values: list[float], window: int) -> list[float]:
    """The record's definition, block for block, without any bookkeeping."""
    out = []
    blocks = max(1, window // BLOCK)
    for i, value in enumerate(values):
        start = max(0, i // BLOCK - blocks) * BLOCK
        past = values[start:i]
        excess = 0.0
        if i > 5 and (value > max(past) or value < min(past)):
            spread = max(past) - min(past)
            beyond = max(value - max(past), min(past) - value)
            excess = beyond / spread if spread > 0 else 1.0
        out.append(excess)
    return out


@settings(max_examples=40)
@given(st.lists(st.integers(-20, 20), max_size=400), st.sampled_from([50, 100, 200, 1000]))
def test_a_record_is_what_leaves_the_range_of_the_window(raw: list[int], window: int) -> None:
    values = [float(v) for v in raw]
    record = RangeRecord(window)
    assert [record.update(v) for v in values] == pytest.approx(brute_force(values, window))


def test_records_get_rare_without_any_threshold() -> None:
    rng = np.random.default_rng(1)
    record = RangeRecord()
    hits = [record.update(float(v)) > 0 for v in rng.normal(size=8000)]
    assert sum(hits[4000:]) < 8


def test_a_young_mean_climbs_from_zero() -> None:
    mean = MovingMean(4)
    assert [mean.update(8.0) for _ in range(6)] == [2, 4, 6, 8, 8, 8]


def test_what_is_usual_at_this_hour_is_no_surprise() -> None:
    season = Season(86_400.0, 96, 0.2)
    off = [season.update(900.0 * i, 100.0 if i % 96 == 40 else 10.0) for i in range(96 * 6)]
    assert off[:96] == [None] * 96
    assert all(o == 0.0 for o in off[96:])


def test_a_burst_is_let_through_once() -> None:
    rise = Rise(shortest=20)
    assert [rise.update(s) for s in (0, 5, 4, 5, 0, 3)] == [0, 5, 0, 0, 0, 0]
    assert [rise.update(0) for _ in range(30)] == [0] * 30
    assert rise.update(3) == 3


# ---------------------------------------------------------------- one metric
@settings(max_examples=25)
@given(st.lists(NUMBERS, min_size=1, max_size=300))
def test_scores_of_any_numbers_are_between_zero_and_one(values: list[float]) -> None:
    detector = univariate()
    for i, value in enumerate(values):
        score = detector.update(300.0 * i, value)
        assert 0.0 <= score <= 1.0
        assert math.isfinite(score)


def test_a_value_that_is_no_number_is_passed_over() -> None:
    detector = univariate()
    for i in range(300):
        detector.update(60.0 * i, math.nan if i % 7 == 3 else 10.0 + i % 5)
    assert detector.update(60.0 * 300, math.inf) == 0.0
    assert detector.update(60.0 * 301, 500.0) > 0.5


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(MOMENTS, ANYTHING), min_size=1, max_size=300), st.integers(0, 250))
def test_nothing_that_a_source_hands_in_breaks_the_stream(
    steps: list[tuple[float, float | None]], ordinary: int
) -> None:
    detector, now_s = univariate(), 1.7e9
    for i in range(ordinary):
        detector.update(now_s + 5.0 * i, 40.0 + i % 7)
    for step_s, value in steps:
        now_s += step_s
        score = detector.update(now_s, value)
        assert 0.0 <= score <= 1.0


@pytest.mark.parametrize("moment", [math.nan, math.inf, None, -1e300])
def test_a_time_that_is_none_is_taken_for_the_last_one(moment: float) -> None:
    detector = univariate()
    for i in range(200):
        assert 0.0 <= detector.update(moment if i % 9 == 4 else 60.0 * i, float(i % 5)) <= 1.0


def test_a_mean_forgets_an_absurd_value_whole() -> None:
    mean = MovingMean(36)
    for i in range(200):
        mean.update(1e100 if i == 50 else 50.0 + i % 2)
    assert mean.update(50.0) == pytest.approx(50.5, abs=0.1)


def test_a_spike_gets_votes_in_most_views_and_noise_in_few() -> None:
    rng = np.random.default_rng(2)
    detector = univariate()
    noise = [detector.update(300.0 * i, 50 + float(rng.normal())) for i in range(3000)]
    spike = detector.update(300.0 * 3000, 90.0)
    assert spike * len(VIEWS) > 5
    assert sum(score > 0.3 for score in noise[500:]) <= 3


def test_a_lost_season_is_noticed_inside_the_usual_range() -> None:
    detector = univariate()
    rng = np.random.default_rng(3)
    scores = []
    for i in range(288 * 10):
        hour = i % 288 / 12
        level = 60.0 if 8 <= hour < 18 and i < 288 * 9 else 20.0
        scores.append(detector.update(300.0 * i, level + float(rng.normal())))
    assert max(scores[288 * 9 + 90 :]) > 2 * max(scores[288 * 6 : 288 * 9 + 90])


def test_nothing_of_the_future_is_used() -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(size=600)
    whole, part = univariate(), univariate()
    all_scores = [whole.update(60.0 * i, float(v)) for i, v in enumerate(values)]
    part_scores = [part.update(60.0 * i, float(v)) for i, v in enumerate(values[:400])]
    assert all_scores[:400] == part_scores


# ---------------------------------------------------------------- several metrics
def test_a_broken_relation_is_stranger_than_both_metrics_moving_together() -> None:
    rng = np.random.default_rng(5)

    def after(first: float, second: float) -> float:
        detector = multivariate(4)
        shared = np.random.default_rng(5).normal(size=1500)
        for i, common in enumerate(shared):
            noise = rng.normal(0, 0.1, 4)
            detector.update(60.0 * i, np.array([common, common, 0.3 * common, 0.0]) + noise)
        return detector.update(60.0 * 1500, np.array([first, second, 0.0, 0.0]))

    assert after(2.5, -2.5) > after(2.5, 2.5)


def test_a_sudden_step_scores_high_and_names_its_metric() -> None:
    rng = np.random.default_rng(6)
    detector = multivariate(5)
    usual = [detector.update(60.0 * i, rng.normal(10, 1, 5)) for i in range(1000)]
    strange = detector.update(60.0 * 1000, np.array([10, 10, 10, 60, 10.0]))
    assert strange > max(usual[300:])
    assert int(detector.shares.argmax()) == 3


@settings(max_examples=25, deadline=None)
@given(arrays(np.float64, (90, 3), elements=st.floats(allow_nan=True, allow_infinity=True)))
def test_rows_of_anything_give_scores_between_zero_and_one(rows: np.ndarray) -> None:
    detector = multivariate(3)
    with np.errstate(all="ignore"):
        for i, row in enumerate(rows):
            score = detector.update(60.0 * i, np.clip(row, -1e9, 1e9))
            assert 0.0 <= score <= 1.0


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([1, 2, 5, 40, 200]), st.integers(0, 10_000))
def test_rows_of_any_width_with_gaps_and_absurd_values_are_survived(width: int, seed: int) -> None:
    detector, rng = multivariate(width), random.Random(seed)
    odd = (None, math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324)
    for i in range(150):
        row: list[float | None] = [rng.gauss(3, 1) if rng.random() < 0.9 else 3.0] * width
        if rng.random() < 0.3:
            row[rng.randrange(width)] = rng.choice(odd)
        when = rng.choice([5.0 * i, 0.0, math.nan])
        assert 0.0 <= detector.update(when, row) <= 1.0


def test_one_absurd_row_does_not_blind_the_detector() -> None:
    rng = np.random.default_rng(11)
    detector = multivariate(3)
    scores = []
    for i in range(3000):
        row = rng.normal(10, 1, 3)
        if i == 500:
            row[1] = 1e300
        scores.append(detector.update(60.0 * i, row))
    strange = detector.update(60.0 * 3000, np.array([10.0, 60.0, 10.0]))
    assert strange > max(scores[2000:])


def test_a_row_of_the_wrong_width_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="a row of 3 values"):
        multivariate(3).update(0.0, [1.0, 2.0])


def test_a_metric_that_is_not_measured_counts_as_unchanged() -> None:
    rng = np.random.default_rng(7)
    detector = multivariate(3)
    scores = []
    for i in range(800):
        row = rng.normal(10, 1, 3)
        row[2] = math.nan
        scores.append(detector.update(60.0 * i, row))
    assert max(scores[400:]) < 0.8


# ---------------------------------------------------------------- tails
def test_the_tail_of_exponential_strengths_is_right_beyond_what_was_seen() -> None:
    rng = np.random.default_rng(8)
    tail = Tail(4000)
    for value in rng.exponential(size=4000):
        tail.learn(float(value))
    for far in (5.0, 10.0, 14.0):
        assert tail.rarity(far) == pytest.approx(far / math.log(10), rel=0.35)


def test_rarity_never_falls_as_strength_grows() -> None:
    rng = np.random.default_rng(9)
    tail = Tail(500)
    for value in rng.lognormal(size=900):
        tail.learn(float(value))
    rarities = [tail.rarity(x) for x in np.linspace(0, 100, 400)]
    assert all(b >= a - 1e-9 for a, b in pairwise(rarities))


def test_nothing_is_rare_before_anything_was_seen() -> None:
    assert Tail().rarity(5.0) == 0.0


def test_pareto_fits_recover_scale_and_shape() -> None:
    rng = np.random.default_rng(10)
    scale, shape = fit_pareto(2.0 * ((1 - rng.random(20_000)) ** -0.25 - 1) / 0.25)
    assert scale == pytest.approx(2.0, rel=0.15)
    assert shape == pytest.approx(0.25, abs=0.08)
