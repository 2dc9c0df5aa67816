"""The library as its README shows it: threads, asyncio, a real process behind it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from selfheal_engine import SelfHealingCoordinator
from selfheal_engine.config import Settings
from selfheal_engine.episodic_memory import EpisodicMemory
from selfheal_engine.errors import SelfhealError, TargetError
from selfheal_engine.model import METRICS, Episode, Event, Snapshot, Target

pytestmark = pytest.mark.e2e

SERVICE = """
import logging, time
logging.basicConfig()
def step(number):
    return 10 // (number % 3)
number = 0
while True:
    number += 1
    try:
        step(number)
    except ZeroDivisionError:
        logging.exception("step failed")
    time.sleep(0.05)
"""


@pytest.fixture
def service(tmp_path: Path) -> tuple[Settings, Target]:
    project = tmp_path / "project"
    project.mkdir()
    script = project / "daemon.py"
    script.write_text(SERVICE, encoding="utf-8")
    settings = Settings(
        project=str(project),
        state_dir=str(tmp_path / "state"),
        run_dir=str(tmp_path / "run"),
        interval_s=0.2,
    )
    return settings, Target(command=(sys.executable, str(script)))


def until(condition: Callable[[], bool], most_s: float = 30.0) -> None:
    deadline = time.monotonic() + most_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_report_holds_the_score_and_the_seven_metrics(service: tuple[Settings, Target]) -> None:
    with SelfHealingCoordinator(*service) as engine:
        until(lambda: engine.health_report().metrics["memory_usage"].value is not None)
        report = engine.health_report()
        stats = engine.healing_stats()
    assert tuple(report.metrics) == METRICS
    assert 0 <= report.health.score <= 100
    assert all(reading.value is not None or reading.reason for reading in report.metrics.values())
    assert stats.healed == 0


def test_a_logged_exception_of_a_plain_script_becomes_one_incident(
    service: tuple[Settings, Target],
) -> None:
    with SelfHealingCoordinator(*service) as engine:
        until(lambda: any(i.count > 3 for i in engine.snapshot().incidents))
        incidents = engine.snapshot().incidents
    assert len(incidents) == 1
    assert incidents[0].title.startswith("ZeroDivisionError, daemon.py")
    assert incidents[0].occurrence is not None
    assert incidents[0].occurrence.caught_by == "logging"


async def test_the_engine_is_an_async_context_manager_too(
    service: tuple[Settings, Target],
) -> None:
    async with SelfHealingCoordinator(*service) as engine:
        assert engine.snapshot().service.alive
    with pytest.raises(SelfhealError, match="not running"):
        engine.dismiss("x").result(0)


def test_commands_answer_with_a_sentence_when_there_is_nothing_to_decide(
    service: tuple[Settings, Target],
) -> None:
    with SelfHealingCoordinator(*service) as engine:
        for answer in (
            engine.approve("none", "c"),
            engine.reject("none"),
            engine.defer("none"),
            engine.dismiss("none"),
            engine.roll_back("none"),
            engine.export("none", "c"),
        ):
            with pytest.raises(SelfhealError, match="none"):
                answer.result(10)


def test_a_subscriber_that_raises_is_dropped_and_the_engine_goes_on(
    service: tuple[Settings, Target],
) -> None:
    told: list[Snapshot | Event] = []

    def broken(_: Snapshot | Event) -> None:
        raise RuntimeError("screen gone")

    engine = SelfHealingCoordinator(*service)
    engine.subscribe(broken)
    engine.subscribe(told.append)
    with engine:
        until(lambda: sum(isinstance(v, Event) and v.kind == "sample" for v in told) > 2)
    errors = [v for v in told if isinstance(v, Event) and v.kind == "error"]
    assert any("screen gone" in str(error.body["text"]) for error in errors)


def test_the_service_ends_with_the_engine_unless_told_otherwise(
    service: tuple[Settings, Target],
) -> None:
    import psutil

    engine = SelfHealingCoordinator(*service)
    engine.start()
    pid = engine.snapshot().service.processes[0].pid
    engine.stop()
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie")

    kept = SelfHealingCoordinator(*service)
    kept.start()
    pid = kept.snapshot().service.processes[0].pid
    kept.stop(stop_service=False)
    try:
        assert psutil.Process(pid).is_running()
    finally:
        psutil.Process(pid).kill()


def test_without_a_target_the_only_service_is_taken_or_the_choice_is_named(
    service: tuple[Settings, Target],
) -> None:
    settings, _ = service
    with pytest.raises(TargetError, match="no service on this machine"):
        SelfHealingCoordinator(settings).start()


def test_a_second_start_is_refused(service: tuple[Settings, Target]) -> None:
    with (
        SelfHealingCoordinator(*service) as engine,
        pytest.raises(SelfhealError, match="started already"),
    ):
        engine.start()


def test_what_was_healed_can_be_asked_before_the_start_and_after_the_end(
    service: tuple[Settings, Target],
) -> None:
    engine = SelfHealingCoordinator(*service)
    assert engine.healing_stats().incidents == 0
    memory = EpisodicMemory(service[0].state_path())
    memory.add(Episode("e1", "shop", 1, "t", "f", "unknown", "healed", mttr_s=3.0))
    memory.close()
    assert engine.healing_stats().mttr_median_s == 3.0
    assert [episode.id for episode in engine.history()] == ["e1"]
