"""The visible base: limits, persistence, run lengths, rules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfheal_engine.health_monitor.baseline import MEMORY, REGIME_S, WARM_UP, Baseline
from selfheal_engine.health_monitor.control_chart import (
    ControlChart,
    average_run_length,
    describe_rule,
    ewma_limit,
    nelson_rule,
)
from selfheal_engine.health_monitor.transforms import RULES, MetricRule, from_chart, to_chart

PLAIN = MetricRule(least_sigma=1e-6)


def learned(values: np.ndarray, rule: MetricRule = PLAIN) -> Baseline:
    baseline = Baseline(rule)
    for value in values:
        baseline.learn(float(value))
    return baseline


def test_the_baseline_counts_its_warm_up_in_samples() -> None:
    baseline = learned(np.ones(WARM_UP - 1))
    assert (baseline.ready, baseline.learning_left) == (False, 1)
    baseline.learn(1.0)
    assert (baseline.ready, baseline.learning_left) == (True, 0)


def test_center_and_sigma_of_a_normal_metric_are_found() -> None:
    rng = np.random.default_rng(1)
    baseline = learned(rng.normal(50, 4, 5000))
    assert baseline.center == pytest.approx(50, abs=0.6)
    assert baseline.sigma == pytest.approx(4, rel=0.2)


def test_a_tenth_of_outliers_in_the_warm_up_does_not_widen_the_limits() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(50, 4, WARM_UP)
    values[::10] = 500
    assert learned(values).sigma < 8


def test_one_outlier_moves_the_baseline_no_more_than_three_sigma_would() -> None:
    rng = np.random.default_rng(3)
    baseline = learned(rng.normal(50, 4, 1000))
    before = baseline.center
    baseline.learn(1e9)
    assert abs(baseline.center - before) <= 3.01 * baseline.sigma / MEMORY


def test_a_sawtooth_is_inside_its_own_limits() -> None:
    teeth = np.tile(np.linspace(100, 130, 60), 20)
    baseline = learned(teeth)
    assert baseline.center + 3 * baseline.sigma > 130


def test_a_level_that_has_stood_for_an_hour_is_the_new_normal() -> None:
    baseline = learned(np.random.default_rng(4).normal(10, 1, 500))
    adopted = [baseline.stand(1000 + 5.0 * i, 30.0) for i in range(int(REGIME_S / 5) + 2)]
    assert adopted.index(True) == pytest.approx(REGIME_S / 5, abs=1)
    assert baseline.center == pytest.approx(30, abs=0.1)


def test_an_interrupted_level_is_no_new_normal() -> None:
    baseline = learned(np.random.default_rng(5).normal(10, 1, 500))
    for i in range(3000):
        if i % 300 == 299:
            baseline.interrupt()
        assert not baseline.stand(1000 + 5.0 * i, 30.0)


def test_three_of_five_samples_beyond_are_needed() -> None:
    chart = ControlChart()
    told = [chart.update(z).beyond for z in (0, 4, 0, 4, 0, 4, 0, 0, 0)]
    assert told == [False, False, False, False, False, True, False, False, False]


def test_a_single_point_only_nominates() -> None:
    point = ControlChart().update(9.0)
    assert point.nominated
    assert not point.beyond


def test_a_small_lasting_shift_is_seen_that_never_crosses_three_sigma() -> None:
    chart = ControlChart()
    points = [chart.update(1.5) for _ in range(30)]
    assert points[-1].shifted
    assert not any(p.nominated for p in points)
    assert "shift" in chart.rule(points[-1])


def test_the_run_length_on_normal_samples_is_what_simulation_says() -> None:
    shift, rng = 2.0, np.random.default_rng(6)
    runs = []
    for _ in range(1500):
        chart, steps = ControlChart(), 1
        while not chart.update(float(rng.normal(shift))).beyond:
            steps += 1
        runs.append(steps)
    assert np.mean(runs) == pytest.approx(average_run_length(shift), rel=0.1)


def test_healthy_metrics_alarm_less_than_once_in_ten_million_samples() -> None:
    assert average_run_length(0.0) > 1e7
    assert average_run_length(4.0) < 4.5


@pytest.mark.parametrize(
    ("z", "words"),
    [
        ((4.0,), "1 sample beyond"),
        ((0.5,) * 9, "one side"),
        ((-0.3, 0.1, 0.4, 0.5, 0.7, 0.9), "rising or falling"),
        ((1.2, -1.2) * 7, "alternating"),
        ((0.1, 2.5, 2.5), "2 of 3"),
        ((1.5, 1.4, -0.2, 1.5, 1.3), "4 of 5"),
        ((0.4, -0.5, -0.2, 0.3, 0.5) * 3, "within 1 sigma"),
        ((1.2, -1.1, 1.3, 1.4, -1.6, -1.2, 1.9, -1.2), "outside 1 sigma"),
        ((0.4, -1.2), ""),
    ],
)
def test_nelsons_rules_are_told(z: tuple[float, ...], words: str) -> None:
    assert words in nelson_rule(z)
    assert bool(nelson_rule(z)) == bool(words)


def test_falling_below_the_limits_is_told_as_such() -> None:
    assert "below" in describe_rule((-4.0, -4.0, -4.0), shifted=False, level=-3.0)


def test_the_ewma_limit_widens_to_its_asymptote() -> None:
    assert ewma_limit(1) < ewma_limit(5) < ewma_limit(500) == pytest.approx(1.0, abs=0.01)


@given(
    st.sampled_from(list(RULES.values())),
    st.floats(min_value=0, max_value=1e12, allow_nan=False),
)
def test_the_charted_scale_can_be_read_back(rule: MetricRule, value: float) -> None:
    assert from_chart(rule, to_chart(rule, value)) == pytest.approx(value, rel=1e-6, abs=1e-6)
