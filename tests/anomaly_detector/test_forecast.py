"""Leaks and limits: suspected early, announced when sure, silent on warm-ups and sawteeth."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from selfheal_engine.anomaly_detector.forecast import Forecast, Forecaster, Suspicion
from selfheal_engine.anomaly_detector.growth import largest_step, measure_growth, rises_evenly
from selfheal_engine.model import Reading, Sample

MB = 2.0**20
LIMIT = 1024 * MB


def follow(
    level: Callable[[float], float],
    minutes: float,
    *,
    interval_s: float = 5.0,
    key: str = "memory_usage",
    limits: dict[str, float] | None = None,
    noise: float = 0.3 * MB,
) -> tuple[list[float], list[float], list[tuple[float, Forecast]]]:
    """Seconds at which a leak was suspected, announced, and all forecasts."""
    rng = np.random.default_rng(1)
    forecaster = Forecaster()
    suspected, leaking, forecasts = [], [], []
    limits = {"memory_limit_bytes": LIMIT} if limits is None else limits
    for i in range(int(minutes * 60 / interval_s)):
        at = i * interval_s
        value = level(at) + float(rng.normal(0, noise))
        readings = {key: Reading(value)} if key in ("memory_usage", "queue_depth") else {}
        counters = limits if readings else limits | {key: value}
        sample = Sample(1e9 + at, interval_s, readings, counters)
        found, leaks, early = forecaster.ingest(sample)
        if early:
            suspected.append(at)
        if leaks:
            leaking.append(at)
        forecasts += [(at, f) for f in found.values()]
    return suspected, leaking, forecasts


@pytest.mark.parametrize(("interval_s", "most_s"), [(1.0, 35), (5.0, 60)])
def test_a_fast_leak_is_suspected_within_the_minute(interval_s: float, most_s: float) -> None:
    suspected, _, _ = follow(
        lambda s: 70 * MB + 0.4 * MB * max(0.0, s - 30), 2, interval_s=interval_s, noise=2e4
    )
    assert 30 < suspected[0] <= 30 + most_s


def test_a_leak_is_announced_long_before_the_limit() -> None:
    _, leaking, forecasts = follow(lambda s: 200 * MB + 0.2 * MB * max(0.0, s - 3600), 120)
    full_s = 3600 + 824 / 0.2
    assert full_s - leaking[0] > 45 * 60
    at, forecast = forecasts[-1]
    assert forecast.time_to_limit_s == pytest.approx(full_s - at, rel=0.1)
    assert forecast.soonest_s <= forecast.time_to_limit_s <= forecast.latest_s
    assert "memory grows by 12" in forecast.text


def test_a_slow_leak_is_seen_over_hours() -> None:
    _, leaking, _ = follow(
        lambda s: 200 * MB + 25 * MB * s / 3600, 12 * 60, interval_s=20, noise=2 * MB
    )
    assert leaking
    assert leaking[0] < 11 * 3600


@pytest.mark.parametrize("tau_s", [20.0, 120.0, 480.0])
def test_a_cache_that_fills_and_levels_off_is_not_announced(tau_s: float) -> None:
    _, leaking, forecasts = follow(lambda s: 200 * MB + 150 * MB * (1 - math.exp(-s / tau_s)), 180)
    assert leaking == []
    assert forecasts == []


def refill(seconds: float) -> float:
    """A day at 350 MB, then a restart after which an hour and a half fills the cache again."""
    since = seconds - 86_400
    return 350 * MB if since < 0 else 200 * MB + 150 * MB * (1 - math.exp(-since / 5400))


def test_growth_below_what_the_service_is_used_to_is_a_cache_that_refills() -> None:
    _, leaking, _ = follow(refill, 36 * 60, interval_s=20, noise=MB)
    assert leaking == []


def test_a_leak_after_the_restart_is_announced_once_it_passes_the_usual() -> None:
    def leaks(seconds: float) -> float:
        return refill(seconds) + 60 * MB * max(0.0, seconds - 86_400) / 3600

    _, leaking, _ = follow(leaks, 36 * 60, interval_s=20, noise=MB)
    passed = next(s for s in range(86_400, 130_000, 60) if leaks(s) > 1.05 * 350 * MB)
    assert leaking
    assert passed - 900 < leaking[0] < passed + 2.5 * 3600


def test_descriptors_that_follow_the_traffic_are_no_leak() -> None:
    rng = np.random.default_rng(4)
    forecaster, told = Forecaster(), []
    for i in range(2000):
        traffic = 1.0 + 4.0 * min(max(i - 800, 0) / 700, 1.0)
        counters = {
            "descriptors": 60.0 * traffic + float(rng.normal(0, 2)),
            "descriptors_limit": 1024.0,
            "requests": 100.0 * traffic,
        }
        _, leaks, _ = forecaster.ingest(Sample(1e9 + 5.0 * i, 5.0, {}, counters))
        told += leaks
    assert told == []


def test_the_descriptor_limit_is_each_process_s_own() -> None:
    told = {}
    for workers in (1, 20):
        forecaster, first = Forecaster(), math.inf
        for i in range(600):
            fullest = 60.0 + 0.5 * i
            counters = {
                "descriptors": fullest + 60.0 * (workers - 1),
                "descriptors_worst": fullest,
                "descriptors_limit": 1024.0,
            }
            found, _, _ = forecaster.ingest(Sample(1e9 + 5.0 * i, 5.0, {}, counters))
            if found and math.isinf(first):
                first = i
                told[workers] = found["memory_usage"].time_to_limit_s / (5.0 * (1928 - i))
    assert told == {1: pytest.approx(1.0, abs=0.1), 20: pytest.approx(1.0, abs=0.1)}


def test_a_short_warm_up_is_not_even_suspected() -> None:
    suspected, _, _ = follow(
        lambda s: 100 * MB + 60 * MB * (1 - math.exp(-s / 12)), 10, interval_s=1
    )
    assert suspected == []


@pytest.mark.parametrize("tooth_s", [90.0, 240.0, 540.0])
def test_a_collector_s_sawtooth_is_no_leak(tooth_s: float) -> None:
    suspected, leaking, _ = follow(
        lambda s: 300 * MB + 34 * MB * (s % tooth_s) / tooth_s, 240, noise=0.5 * MB
    )
    assert leaking == []
    assert all(at <= tooth_s for at in suspected), "only the first tooth can look like a climb"


def test_a_queue_that_will_be_full_is_told_minutes_ahead() -> None:
    _, _, forecasts = follow(
        lambda s: max(0.0, s - 600) * 1.5,
        25,
        key="queue_depth",
        limits={"queue_limit": 1000.0},
        noise=1.0,
    )
    full_s = 600 + 1000 / 1.5
    assert full_s - forecasts[0][0] > 5 * 60
    assert forecasts[0][1].limit_name == "queue limit"


def test_a_queue_without_a_known_limit_is_measured_against_a_thousand() -> None:
    _, _, forecasts = follow(
        lambda s: max(0.0, s - 600) * 1.5, 25, key="queue_depth", limits={}, noise=1.0
    )
    assert {f.limit_name for _, f in forecasts} == {"1000 waiting"}
    assert max(at for at, _ in forecasts) < 600 + 1000 / 1.5 + 10, "what is reached is no forecast"


def test_descriptors_that_are_never_closed_are_told() -> None:
    _, leaking, forecasts = follow(
        lambda s: 60 + 0.2 * max(0.0, s - 1200),
        80,
        key="descriptors",
        limits={"descriptors_limit": 1024.0},
        noise=2.0,
    )
    assert leaking
    assert leaking[0] < 3600
    assert forecasts[0][1].metric == "memory_usage"


def test_disk_runs_out_downwards() -> None:
    _, _, forecasts = follow(
        lambda s: 5e9 - 5e5 * s, 150, key="disk_free_bytes", limits={}, noise=1e5
    )
    at, forecast = forecasts[-1]
    assert forecast.time_to_limit_s == pytest.approx(1e4 - at, rel=0.1)


def test_a_restart_starts_over() -> None:
    _, leaking, _ = follow(lambda s: 200 * MB + 0.15 * MB * (s % 1500), 240)
    assert leaking == []


def test_a_clock_set_back_breaks_nothing() -> None:
    forecaster = Forecaster()
    for at in (*range(0, 3000, 5), *range(2000, 5000, 5)):
        sample = Sample(1e9 + at, 5.0, {"memory_usage": Reading(200 * MB)}, {})
        assert forecaster.ingest(sample) == ({}, (), ())


def test_growth_on_white_noise_is_found_in_one_of_a_hundred_at_most() -> None:
    rng = np.random.default_rng(3)
    points = [[(float(t), float(h)) for t, h in enumerate(rng.normal(size=30))] for _ in range(400)]
    assert sum(measure_growth(p) is not None for p in points) <= 12


def test_one_step_is_a_change_of_level_and_a_staircase_is_growth() -> None:
    def points(jumps: int) -> list[tuple[float, float]]:
        return [(60.0 * i, 500.0 + 0.3 * i + 300.0 * (i * jumps // 30)) for i in range(30)]

    assert largest_step([h for _, h in points(2)]) == pytest.approx(299.0, abs=2.0)
    for jumps in (2, 6, 10):
        growth = measure_growth(points(jumps))
        assert growth is not None
        assert growth.steady == (jumps > 2), jumps


def test_a_level_that_it_came_down_from_before_is_no_leak() -> None:
    _, leaking, _ = follow(
        lambda s: 300 * MB + 90 * MB * (s % 2700.0) / 2700.0, 600, noise=0.5 * MB
    )
    assert [at for at in leaking if at > 2 * 2700.0] == []


def test_a_second_leak_is_announced_though_the_first_went_to_the_limit() -> None:
    """Workers are recycled meanwhile, so that the slow growth shows only now and then."""
    forecaster, told = Forecaster(), []
    rng = np.random.default_rng(6)
    for i in range(48 * 120):
        hours = i / 120
        level = 300.0 + float(rng.normal(0, 1.0))
        if 12 <= hours < 32:
            level += 85.0 * (hours - 12)
        elif hours >= 42:
            level += 300.0 * (hours - 42)
        counters = {"memory_limit_bytes": 2048 * MB, "uptime_s": 30.0 * (i % 600)}
        sample = Sample(1e9 + 30.0 * i, 30.0, {"memory_usage": Reading(level * MB)}, counters)
        _, leaks, _ = forecaster.ingest(sample)
        told += [hours] if leaks else []
    assert [at for at in told if at < 12] == []
    assert [at for at in told if 42 <= at < 44]


def test_the_slope_withstands_a_third_of_outliers() -> None:
    rng = np.random.default_rng(4)
    points = [(float(t), 2.0 * t + (500 if rng.random() < 0.2 else 0)) for t in range(60)]
    growth = measure_growth(points)
    assert growth is not None
    assert growth.slope == pytest.approx(2.0, rel=0.1)
    assert growth.flattest <= growth.slope <= growth.steepest


def test_a_straight_climb_is_even_and_a_bend_is_not() -> None:
    assert rises_evenly([(float(t), 3.0 * t) for t in range(20)])
    assert not rises_evenly([(float(t), 60 * (1 - math.exp(-t / 8))) for t in range(20)])
    assert not rises_evenly([(float(t), 5.0) for t in range(20)])


def test_closer_looks_come_less_and_less_often_while_nothing_comes_of_them() -> None:
    suspicion = Suspicion()
    looks = [at for at in range(0, 1200, 5) if suspicion.due(float(at), True)]
    assert looks == [0, 60, 180, 420, 900]
    assert not suspicion.due(1205.0, False)
    assert suspicion.due(1200.0 + 4 * 3600, True)
