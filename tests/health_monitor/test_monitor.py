"""HealthMonitor as the coordinator and the screens use it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from selfheal_engine.config import Settings
from selfheal_engine.health_monitor import HealthMonitor
from selfheal_engine.health_monitor.baseline import WARM_UP
from selfheal_engine.model import METRICS, Alert, Reading, Sample

START_S = 1_700_000_000.0


def samples(
    number: int, *, interval_s: float = 5.0, seed: int = 1, start: int = 0
) -> Iterator[Sample]:
    """A quiet service: 200 requests a sample, no errors."""
    rng = random.Random(seed)
    for i in range(start, start + number):
        readings = {
            "cpu_usage": Reading(30 + rng.gauss(0, 3)),
            "memory_usage": Reading(300e6 + rng.gauss(0, 2e6)),
            "error_rate": Reading(0.0),
            "response_time": Reading(40 * 2.718 ** rng.gauss(0, 0.15)),
            "queue_depth": Reading(float(rng.random() < 0.1)),
            "deadlock_risk": Reading(0.0),
            "anomaly_score": Reading(None, "not scored yet"),
        }
        counters = {"requests": 200.0, "errors": 0.0, "deploy": 1.0}
        yield Sample(START_S + i * interval_s, interval_s, readings, counters)


def changed(sample: Sample, counters: dict[str, float] | None = None, **values: float) -> Sample:
    readings = sample.readings | {name: Reading(v) for name, v in values.items()}
    return replace(sample, readings=readings, counters=sample.counters | (counters or {}))


def play(monitor: HealthMonitor, life: Iterator[Sample], **more: float) -> list[Alert]:
    out: list[Alert] = []
    for sample in life:
        counters = {k: v for k, v in more.items() if k not in METRICS}
        values = {k: v for k, v in more.items() if k in METRICS}
        out += monitor.ingest(changed(sample, counters, **values), in_incident=False)
    return out


@pytest.fixture
def monitor() -> HealthMonitor:
    return HealthMonitor(Settings())


def test_a_healthy_service_is_silent_and_at_a_hundred(monitor: HealthMonitor) -> None:
    assert play(monitor, samples(1500)) == []
    assert monitor.health().score == 100.0


def test_the_panels_say_how_much_is_still_to_learn(monitor: HealthMonitor) -> None:
    play(monitor, samples(50))
    states = monitor.states()
    assert tuple(s.name for s in states) == METRICS
    assert states[0].learning_left == WARM_UP - 50
    assert states[0].limits is None
    play(monitor, samples(WARM_UP, start=50))
    limits = monitor.states()[0].limits
    assert limits is not None
    assert limits.lower < 30 < limits.upper


def test_a_metric_that_cannot_be_had_is_shown_with_the_reason(monitor: HealthMonitor) -> None:
    (sample,) = samples(1)
    readings = sample.readings | {"queue_depth": Reading(None, "needs the probe")}
    monitor.ingest(replace(sample, readings=readings), in_incident=False)
    state = monitor.states()[METRICS.index("queue_depth")]
    assert (state.reading.value, state.reading.reason) == (None, "needs the probe")
    assert state.history == (None,)


def test_slow_answers_are_told_within_five_samples(monitor: HealthMonitor) -> None:
    play(monitor, samples(300))
    (alert,) = play(monitor, samples(5, start=300), response_time=200.0)
    assert (alert.detector, alert.severity, alert.metrics) == (
        "control_chart",
        "warning",
        ("response_time",),
    )
    assert "200 ms, usually 4" in alert.text


def test_a_busy_processor_alone_is_a_remark(monitor: HealthMonitor) -> None:
    play(monitor, samples(300))
    alerts = play(monitor, samples(8, start=300), cpu_usage=180.0)
    assert [a.severity for a in alerts] == ["info"]


def test_slower_answers_under_five_times_the_traffic_are_no_fault(monitor: HealthMonitor) -> None:
    play(monitor, samples(300))
    alerts = play(monitor, samples(60, start=300), response_time=120.0, requests=1000.0)
    assert [a for a in alerts if a.severity != "info"] == []


def test_the_usual_errors_under_four_times_the_traffic_are_no_fault() -> None:
    def told(errors: float, requests: float) -> list[Alert]:
        monitor = HealthMonitor(Settings())
        usual = {"errors": 1.0, "error_rate": 12.0, "requests": 200.0}
        play(monitor, samples(300), **usual)
        more = {"errors": errors, "error_rate": 12.0 * errors, "requests": requests}
        alerts = play(monitor, samples(30, start=300), **more)
        return [a for a in alerts if a.severity != "info"]

    assert told(4.0, 800.0) == []
    assert told(4.0, 200.0) != []


def test_failing_requests_are_told_even_while_learning(monitor: HealthMonitor) -> None:
    play(monitor, samples(5))
    alerts = play(monitor, samples(4, start=5), errors=40.0, error_rate=480.0)
    assert [a.metrics for a in alerts] == [("error_rate",)]
    assert monitor.health().score < 60


def test_a_queue_that_only_grows_costs_points_while_limits_are_learned(
    monitor: HealthMonitor,
) -> None:
    for sample in samples(20):
        monitor.ingest(sample, in_incident=False)
    assert monitor.health().score == 100
    for number, sample in enumerate(samples(12, start=20), 1):
        monitor.ingest(changed(sample, queue_depth=40.0 * number), in_incident=False)
    assert monitor.health().causes[0].name == "work piling up"
    assert monitor.health().score < 75


def test_learning_pauses_in_an_incident(monitor: HealthMonitor) -> None:
    play(monitor, samples(300))
    before = monitor.states()[0].limits
    for sample in samples(500, start=300):
        monitor.ingest(changed(sample, cpu_usage=90.0), in_incident=True)
    after = monitor.states()[0].limits
    assert before is not None
    assert after is not None
    assert after.center == pytest.approx(before.center, rel=1e-3)
    assert after.samples == before.samples


def test_a_harmless_new_level_is_normal_after_an_hour(monitor: HealthMonitor) -> None:
    play(monitor, samples(300))
    alerts = play(monitor, samples(760, start=300), cpu_usage=75.0)
    assert any("new normal" in a.text for a in alerts)
    assert not monitor.states()[0].beyond_limits


def test_a_deploy_is_said_and_everything_learned_anew(monitor: HealthMonitor) -> None:
    play(monitor, samples(300))
    (told,) = play(monitor, samples(1, start=300), deploy=2.0)
    assert (told.detector, told.severity) == ("deploy", "info")
    assert monitor.states()[0].learning_left == WARM_UP - 1


def test_health_comes_back_when_the_incident_is_healed(monitor: HealthMonitor) -> None:
    play(monitor, samples(50))
    play(monitor, samples(6, start=50), errors=100.0, error_rate=1200.0)
    play(monitor, samples(1, start=56))
    assert monitor.health().score < 60
    monitor.note_healed(START_S + 57 * 5.0)
    play(monitor, samples(1, start=58))
    assert monitor.health().score == 100.0


def test_the_anomaly_score_is_filled_into_the_newest_sample(monitor: HealthMonitor) -> None:
    play(monitor, samples(2))
    monitor.set_anomaly(0.7, ("memory_usage",))
    state = monitor.states()[-1]
    assert state.history == (None, 0.7)
    assert state.reading.value == 0.7


def test_history_times_and_recent_samples_line_up(monitor: HealthMonitor) -> None:
    play(monitor, samples(30))
    assert len(monitor.times()) == len(monitor.states()[0].history) == 30
    assert [s.time_s for s in monitor.recent(3)] == list(monitor.times()[-3:])
    assert monitor.recent(0) == ()


def test_rollups_come_back_after_a_restart(tmp_path: Path) -> None:
    first = HealthMonitor(Settings(), tmp_path)
    play(first, samples(200))
    first.save()
    times, _ = HealthMonitor(Settings(), tmp_path).rollups("1min")
    assert len(times) >= 15


@pytest.mark.parametrize("interval_s", [1.0, 5.0])
def test_a_climb_is_shown_as_a_trend(interval_s: float) -> None:
    monitor = HealthMonitor(Settings(interval_s=interval_s))
    for i, sample in enumerate(samples(80, interval_s=interval_s)):
        monitor.ingest(changed(sample, memory_usage=1e8 + 1e6 * i), in_incident=False)
    trend = monitor.states()[1].trend_per_min
    assert trend == pytest.approx(60e6 / interval_s, rel=0.1)
