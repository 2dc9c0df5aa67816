"""AnomalyDetector and IncidentTracker together with the monitor, on small lives of a service."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from selfheal_engine.anomaly_detector import AnomalyDetector, Assessment, IncidentTracker
from selfheal_engine.anomaly_detector.joint import JointScore
from selfheal_engine.config import Settings
from selfheal_engine.errors import ConfigError
from selfheal_engine.health_monitor import HealthMonitor
from selfheal_engine.model import Incident, Reading, Sample

START_S = 1_700_000_000.0
MB = 2.0**20
QUICK = frozenset({"forest"})
"""The forest's child has tests of its own."""


def life(number: int, interval_s: float = 5.0, seed: int = 1) -> Iterator[Sample]:
    """A quiet service."""
    rng = random.Random(seed)
    for i in range(number):
        readings = {
            "cpu_usage": Reading(30 + rng.gauss(0, 3)),
            "memory_usage": Reading(200 * MB + rng.gauss(0, MB)),
            "error_rate": Reading(0.0),
            "response_time": Reading(40 * 2.718 ** rng.gauss(0, 0.15)),
            "queue_depth": Reading(float(rng.random() < 0.1)),
            "deadlock_risk": Reading(0.0),
            "anomaly_score": Reading(None, "not scored yet"),
        }
        counters = {
            "requests": 40.0 * interval_s + rng.gauss(0, 6),
            "errors": 0.0,
            "memory_limit_bytes": 1024 * MB,
            "uptime_s": 500.0 + i * interval_s,
        }
        yield Sample(START_S + i * interval_s, interval_s, readings, counters)


def with_values(sample: Sample, counters: dict[str, float] | None = None, **v: float) -> Sample:
    readings = sample.readings | {name: Reading(value) for name, value in v.items()}
    return replace(sample, readings=readings, counters=sample.counters | (counters or {}))


class Watcher:
    """Monitor, detector and tracker wired as the coordinator wires them."""

    def __init__(self, interval_s: float = 5.0) -> None:
        settings = Settings(interval_s=interval_s)
        self.monitor, self.tracker = HealthMonitor(settings), IncidentTracker()
        self.detector = AnomalyDetector(settings, off=QUICK)
        self.last: Assessment | None = None

    def see(self, sample: Sample) -> list[Incident]:
        busy = any(not i.state.ended for i in self.tracker.incidents())
        alerts = self.monitor.ingest(sample, in_incident=busy)
        self.last = self.detector.ingest(sample, busy)
        self.monitor.set_anomaly(self.last.score, self.last.metrics)
        self.monitor.set_forecasts(self.last.forecasts)
        return self.tracker.observe(sample.time_s, [*alerts, *self.last.alerts], ())


@pytest.mark.parametrize("interval_s", [1.0, 5.0])
def test_a_quiet_service_gives_no_incident_and_low_scores(interval_s: float) -> None:
    watcher, scores = Watcher(interval_s), []
    for sample in life(1200, interval_s):
        watcher.see(sample)
        assert watcher.last is not None
        assert not watcher.last.leak_suspected
        assert not watcher.last.stall_suspected
        scores.append(watcher.last.score)
    assert watcher.tracker.incidents() == ()
    assert max(scores[:150]) == 0.0, "silent while learning"
    assert sum(s > 0.7 for s in scores) <= 4


def test_slow_answers_open_one_incident_within_thirty_seconds() -> None:
    watcher = Watcher()
    opened: list[tuple[float, Incident]] = []
    for i, sample in enumerate(life(500)):
        slow = with_values(sample, response_time=250.0) if i >= 300 else sample
        opened += [(i, incident) for incident in watcher.see(slow) if not opened]
    assert 300 <= opened[0][0] <= 306
    assert len(watcher.tracker.incidents()) == 1
    assert "response_time" in opened[0][1].title


def test_a_strange_row_scores_high() -> None:
    watcher = Watcher()
    for sample in life(400):
        watcher.see(sample)
    (odd,) = life(1, seed=9)
    watcher.see(with_values(replace(odd, time_s=START_S + 2000), cpu_usage=300.0))
    assert watcher.last is not None
    assert watcher.last.score > 0.5


def test_a_leak_is_suspected_before_it_is_announced() -> None:
    watcher = Watcher()
    suspected, announced = [], []
    for i, sample in enumerate(life(900)):
        grown = 200 * MB + 0.4 * MB * max(0, i - 300) * 5.0 * 0.2
        watcher.see(with_values(sample, memory_usage=grown))
        assert watcher.last is not None
        suspected += [i] if watcher.last.leak_suspected else []
        announced += [i for a in watcher.last.alerts if a.detector == "leak"]
    assert 300 < suspected[0] <= announced[0]
    state = watcher.monitor.states()[1]
    assert state.limit_name == "memory limit"
    assert state.time_to_limit_s is not None
    assert state.time_to_limit_s > 0


@pytest.mark.parametrize(
    "values", [{"deadlock_risk": 0.6}, {"response_time": 6000.0}], ids=lambda v: next(iter(v))
)
def test_a_stall_is_suspected_while_still_learning(values: dict[str, float]) -> None:
    watcher = Watcher(1.0)
    for i, sample in enumerate(life(25, 1.0)):
        watcher.see(with_values(sample, **values) if i >= 20 else sample)
    assert watcher.last is not None
    assert watcher.last.stall_suspected


def test_a_spike_of_traffic_is_no_incident() -> None:
    watcher = Watcher()
    for i, sample in enumerate(life(700)):
        factor = 5.0 if 400 <= i < 600 else 1.0
        busy = with_values(
            sample,
            {"requests": sample.counters["requests"] * factor},
            cpu_usage=30.0 * factor**0.8,
            response_time=40.0 * factor**0.5,
            queue_depth=1.5 * factor if factor > 1 else 0.0,
        )
        watcher.see(busy)
    assert watcher.tracker.incidents() == ()


def test_own_signatures_are_read_from_the_state_folder(tmp_path: Path) -> None:
    (tmp_path / "signatures.toml").write_text(
        '[[signature]]\nname = "carts"\ntitle = "{0} carts"\nseverity = "critical"\n'
        'when = [{ of = "carts", is = "level", above = 9 }]\n'
    )
    detector = AnomalyDetector(Settings(), tmp_path, off=QUICK)
    told = []
    for sample in life(10):
        told += detector.ingest(with_values(sample, {"carts": 20.0}), False).alerts
    assert [(a.detector, a.text) for a in told] == [("signature:carts", "20 carts")]
    (tmp_path / "signatures.toml").write_text("[[signature]]\nname = 3\n")
    with pytest.raises(ConfigError, match="signatures"):
        AnomalyDetector(Settings(), tmp_path)


def test_a_clock_that_jumps_is_a_remark() -> None:
    watcher = Watcher()
    told = []
    for i, sample in enumerate(life(200)):
        watcher.see(replace(sample, time_s=sample.time_s + (3600 if i >= 180 else 0)))
        assert watcher.last is not None
        told += [a for a in watcher.last.alerts if "clock" in a.text]
    assert [a.severity for a in told] == ["info"]
    assert watcher.tracker.incidents() == ()


@pytest.mark.parametrize("off", [frozenset({"forest"}), frozenset({"forest", "records"})])
def test_parts_of_the_score_can_be_left_out(off: frozenset[str]) -> None:
    joint = JointScore(off)
    for sample in life(200):
        joint.update(sample, learning=True)
    (odd,) = life(1, seed=5)
    score, _ = joint.update(with_values(odd, memory_usage=900 * MB), learning=True)
    assert score > 0.3
    joint.close()
