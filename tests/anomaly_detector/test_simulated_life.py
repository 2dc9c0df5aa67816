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


def test_abrupt_faults_are_found_within_half_a_minute(month: ModuleType) -> None:
    life = month.simulate(5 / 24, 12, len(ABRUPT), ABRUPT, 3600.0)
    told = month.report(life, month.watch(life, frozenset({"forest"})), False)
    assert told["found"] == told["faults"] == len(ABRUPT)
    assert told["median_delay_s"] <= 30
    assert told["false_incidents"] == 0
