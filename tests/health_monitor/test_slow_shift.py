"""Small lasting rises of services whose answers scatter."""

from __future__ import annotations

import math

import numpy as np
import pytest

from selfheal_engine.config import Settings
from selfheal_engine.health_monitor import HealthMonitor
from selfheal_engine.model import Reading, Sample

HOURS = 4


def told(factor: float, *, burst_s: float = 900.0) -> list[float]:
    """Seconds into the rise at which a warning came; one request a sample, scattered 2.2 times."""
    rng, monitor, times = np.random.default_rng(8), HealthMonitor(Settings()), []
    start = HOURS * 720
    for i in range(start + 720):
        rises = 0 <= 5.0 * (i - start) < burst_s
        took = 120.0 * math.exp(0.8 * float(rng.normal())) * (factor if rises else 1.0)
        sample = Sample(
            1e9 + 5.0 * i, 5.0, {"response_time": Reading(took)}, {"requests": 1.0, "errors": 0.0}
        )
        alerts = monitor.ingest(sample, in_incident=False)
        times += [5.0 * (i - start) for a in alerts if a.severity == "warning"]
    return times


def test_answers_four_times_as_slow_are_told_though_none_is_beyond_the_limits() -> None:
    times = told(4.0)
    assert times, "nothing was told"
    assert 0.0 < times[0] <= 300.0
    assert times[-1] <= 900.0 + 180.0


@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_a_nightly_job_that_slows_answers_by_half_is_left_alone(factor: float) -> None:
    assert told(factor) == []
