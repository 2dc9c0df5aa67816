"""Hours of a simulated service, as the month's benchmark plays them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
ABRUPT = ("error burst", "slow answers", "deadlock", "queue build-up", "retry storm")


@pytest.fixture(scope="module")
def month() -> ModuleType:
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module("detection_month")
    finally:
        sys.path.remove(str(FOLDER))


def test_four_healthy_hours_pass_in_silence(month: ModuleType) -> None:
    life = month.simulate(4 / 24, seed=11)
    told = month.report(life, month.watch(life, frozenset({"forest"})), False)
    assert (told["false_incidents"], told["false_leak_alarms"]) == (0, 0)
    assert told["share_below_95_health"] < 0.02


@pytest.mark.parametrize("name", ["small shop", "streaming"])
def test_other_services_are_left_alone_too(month: ModuleType, name: str) -> None:
    life = month.simulate_wild(2 / 24, 21, name=name)
    told = month.report(life, month.watch(life, frozenset({"forest"})), False)
    assert (told["false_incidents"], told["false_leak_alarms"]) == (0, 0)


def test_samples_a_second_apart_are_no_reason_for_alarms(month: ModuleType) -> None:
    life = month.simulate_wild(0.5 / 24, 22, name="small shop", step_s=1.0)
    told = month.report(life, month.watch(life, frozenset({"forest"})), False)
    assert told["false_incidents"] == 0


def test_faults_of_other_services_are_found(month: ModuleType) -> None:
    kinds = ("error burst", "deadlock", "queue build-up", "hang")
    life = month.simulate_wild(6 / 24, 23, 4, name="busy web", kinds=kinds)
    told = month.report(life, month.watch(life, frozenset({"forest"})), False)
    assert told["found"] == told["faults"] >= 3
    assert told["false_incidents"] == 0


def test_abrupt_faults_are_found_within_half_a_minute(month: ModuleType) -> None:
    life = month.simulate(5 / 24, 12, len(ABRUPT), ABRUPT, 3600.0)
    told = month.report(life, month.watch(life, frozenset({"forest"})), False)
    assert told["found"] == told["faults"] == len(ABRUPT)
    assert told["median_delay_s"] <= 30
    assert told["false_incidents"] == 0
