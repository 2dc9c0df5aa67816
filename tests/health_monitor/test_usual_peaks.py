"""What a chart's level usually reaches, in one metric and by schedule."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from selfheal_engine.health_monitor.control_chart import ControlChart
from selfheal_engine.health_monitor.recurring import Recurring
from selfheal_engine.health_monitor.subgroups import LONGEST_S, Subgroup
from selfheal_engine.health_monitor.usual_peaks import HIGHEST, LOWEST, SETTLED, YOUNG, UsualPeaks

HOUR_S = 3600.0


def lived(draw: Callable[[np.random.Generator], float], hours: float, seed: int = 1) -> UsualPeaks:
    peaks, chart, rng = UsualPeaks(), ControlChart(), np.random.default_rng(seed)
    for i in range(int(hours * 720)):
        peaks.update(5.0 * i, chart.update(draw(rng)).level, calm=True)
    return peaks


def test_little_is_believed_before_two_hours() -> None:
    assert lived(lambda rng: rng.normal(), 1.5).limit == YOUNG


def test_a_quiet_metric_may_have_a_low_limit_after_a_day() -> None:
    assert lived(lambda rng: 0.5 * rng.normal(), 6).limit == SETTLED
    assert LOWEST <= lived(lambda rng: 0.5 * rng.normal(), 26).limit < SETTLED


def test_a_heavy_tail_gets_the_limit_that_it_needs() -> None:
    limit = lived(lambda rng: 2.0 * rng.standard_t(2.0), 12).limit
    assert SETTLED + 0.5 < limit <= HIGHEST


def test_counts_that_are_mostly_zero_are_not_told_again_and_again() -> None:
    chart, peaks, rng = ControlChart(), UsualPeaks(), np.random.default_rng(3)
    told = []
    for i in range(4 * 17_280):
        level = chart.update(4.0 if rng.random() < 0.06 else -0.2).level
        told += [i] if level >= peaks.limit else []
        peaks.update(5.0 * i, level, calm=True)
    assert len(told) <= 2


def test_what_an_incident_touched_is_no_measure() -> None:
    peaks = lived(lambda rng: 2.0 * rng.normal(), 6)
    peaks.update(6 * HOUR_S, 0.5, calm=False)
    before = peaks.limit
    for i in range(1, 720):
        peaks.update(6 * HOUR_S + 5.0 * i, 6.0, calm=False)
    assert peaks.limit == before


# ---------------------------------------------------------------- subgroups
def test_at_five_seconds_every_sample_is_a_subgroup() -> None:
    group = Subgroup()
    assert [group.add(z, 5.0, None) for z in (1.0, 2.0)] == [1.0, 2.0]


def test_samples_a_second_apart_are_charted_by_their_mean() -> None:
    group = Subgroup()
    points = [group.add(float(z), 1.0, None) for z in range(8)]
    assert [p for p in points if p is not None] == [1.5, 5.25]  # each counts 6 sigma at most


def test_few_requests_are_gathered_and_many_weigh_more() -> None:
    group = Subgroup()
    assert group.add(0.0, 5.0, 6.0) is None
    assert group.add(4.0, 5.0, 2.0) == 1.0
    waited = 0.0
    while group.add(1.0, 5.0, 0.0) is None:
        waited += 5.0
    assert waited < LONGEST_S


def test_means_are_told_in_sigmas_of_such_means() -> None:
    rng, group = np.random.default_rng(5), Subgroup()
    points = [group.add(float(rng.normal()), 5.0, 1.0) for _ in range(8 * 400)]
    settled = [p for p in points if p is not None][100:]
    assert np.std(settled) == pytest.approx(1.0, abs=0.15)
    lifted = [group.add(1.5 + float(rng.normal()), 5.0, 1.0, learning=False) for _ in range(80)]
    assert np.median([p for p in lifted if p is not None]) > 3.0


def test_a_few_requests_that_are_far_too_slow_are_not_waited_with() -> None:
    group = Subgroup()
    assert [group.add(4.0, 5.0, 1.0) for _ in range(3)][-1] is not None


# ---------------------------------------------------------------- schedules
def play(bursts: Recurring, starts_s: list[float], *, harmful: bool = False) -> list[float | None]:
    """Bursts of two minutes; what each was taken for at its end."""
    told = []
    end = max(starts_s) + 200.0
    for i in range(int(end / 5)):
        now = 5.0 * i
        inside = [s for s in starts_s if s <= now < s + 120.0]
        bursts.update(now, 3.0 if inside else 1.0, beyond=bool(inside), harmful=harmful)
        if inside and now + 5.0 >= inside[0] + 120.0:
            told.append(bursts.period_s())
    return told


def test_the_third_burst_of_an_hourly_job_is_expected() -> None:
    assert play(Recurring(), [600, 600 + HOUR_S, 630 + 2 * HOUR_S]) == [None, None, HOUR_S]


def test_bursts_of_many_hours_are_no_schedule_unless_they_follow_the_clock() -> None:
    apart = 4.4 * HOUR_S
    assert play(Recurring(), [600, 600 + apart, 630 + 2 * apart])[2] is None


def test_even_distances_that_no_clock_knows_are_a_schedule_too() -> None:
    assert play(Recurring(), [600, 600 + 5000, 630 + 2 * 5000])[2] == pytest.approx(5000, abs=60)


def test_a_job_that_was_too_small_to_see_once_is_still_expected() -> None:
    assert play(Recurring(), [600, 600 + 2 * HOUR_S, 600 + 5 * HOUR_S])[2] == HOUR_S


@pytest.mark.parametrize("starts_s", [[600, 5100, 11_300], [600, 4000, 11_000]])
def test_bursts_at_odd_times_are_no_schedule(starts_s: list[float]) -> None:
    assert play(Recurring(), starts_s) == [None] * 3


def test_bursts_in_which_requests_fail_are_no_schedule() -> None:
    hours = [600.0, 600 + HOUR_S, 600 + 2 * HOUR_S]
    assert play(Recurring(), hours, harmful=True) == [None] * 3


def test_a_burst_that_goes_on_is_no_longer_the_schedules() -> None:
    bursts = Recurring()
    play(bursts, [600, 600 + HOUR_S])
    told = []
    for i in range(120):
        now = 600 + 2 * HOUR_S + 5.0 * i
        bursts.update(now, 3.0, beyond=True, harmful=False)
        told.append(bursts.period_s())
    assert told[10] == HOUR_S
    assert told[-1] is None


def test_what_somebody_had_to_heal_is_no_schedule() -> None:
    bursts = Recurring()
    play(bursts, [600, 600 + HOUR_S])
    bursts.healed()
    bursts.update(600 + 2 * HOUR_S, 3.0, beyond=True, harmful=False)
    assert bursts.period_s() is None


def test_the_limit_is_a_number_whatever_the_levels() -> None:
    peaks = UsualPeaks()
    for i in range(3000):
        peaks.update(60.0 * i, 0.0, calm=True)
    assert math.isfinite(peaks.limit)
