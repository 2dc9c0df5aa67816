"""A sample as the row of numbers that the joint detectors look at. Our own score is not in it."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import numpy.typing as npt

from selfheal_engine.health_monitor.transforms import RULES, to_chart
from selfheal_engine.model import METRICS, Sample

Floats = npt.NDArray[np.float64]

SCORED = tuple(m for m in METRICS if m != "anomaly_score")
COUNTERS = (
    "requests",
    "errors",
    "exceptions",
    "p50_ms",
    "p99_ms",
    "threads",
    "descriptors",
    "gc_collections",
    "loop_lag_ms",
)
"""Counters of the probe that say something about every service; all on a log scale."""
FEATURES = (*SCORED, *COUNTERS)
SLOPES = ("memory_usage", "queue_depth", "threads", "descriptors")
"""Features whose climb over the last minute is a feature of its own for the forest."""
SLOPE_SAMPLES = 12


class FeatureRows:
    """`row(sample)`: FEATURES, NaN where not measured; `forest_row`: whole, with slopes."""

    def __init__(self) -> None:
        self._recent: deque[Floats] = deque(maxlen=SLOPE_SAMPLES)
        self._last: Floats = np.zeros(len(FEATURES))

    def row(self, sample: Sample) -> Floats:
        out = np.empty(len(FEATURES))
        for place, name in enumerate(SCORED):
            value = sample.value(name)
            out[place] = math.nan if value is None else to_chart(RULES[name], value)
        counters = sample.counters
        for place, name in enumerate(COUNTERS, len(SCORED)):
            count = counters.get(name)
            out[place] = math.nan if count is None else math.log1p(max(count, 0.0))
        return out

    def forest_row(self, row: Floats) -> Floats:
        """Levels and slopes, every one a number."""
        whole = np.where(np.isfinite(row), row, self._last)
        self._last = whole
        self._recent.append(whole)
        slopes = (whole - self._recent[0])[_SLOPE_PLACES]
        return np.concatenate([whole, slopes])


_SLOPE_PLACES = np.array([FEATURES.index(name) for name in SLOPES])
FOREST_COLUMNS = len(FEATURES) + len(SLOPES)
