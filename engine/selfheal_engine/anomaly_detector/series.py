"""The recent past of every metric and counter, in one array with a column for each name.

Signatures and features read windows of it. Bounded in time and in columns: names that
would be a column of their own for every bug (exceptions:<fingerprint>) are summed into one.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from selfheal_engine.model import Sample

KEPT_SAMPLES = 1024
MOST_COLUMNS = 96

Floats = npt.NDArray[np.float64]


class Series:
    """Ring of the newest samples; NaN where a name had no value."""

    def __init__(self) -> None:
        self._columns: dict[str, int] = {"time_s": 0}
        self._rows: Floats = np.full((2 * KEPT_SAMPLES, 1), np.nan)
        self._times: deque[float] = deque(maxlen=KEPT_SAMPLES)
        self._end = 0
        self._spans: dict[tuple[float, int, int], tuple[int, int]] = {}
        self._deploy: float | None = None
        self._deployed_s = float("-inf")

    def __len__(self) -> int:
        return min(self._end, KEPT_SAMPLES)

    def append(self, sample: Sample) -> None:
        """One sample, with what follows from it: clock_jump_s, since_deploy_s, ..."""
        self._spans.clear()
        values: dict[str, float] = {"time_s": sample.time_s}
        for name, reading in sample.readings.items():
            if reading.value is not None and name != "anomaly_score":
                values[name] = reading.value
        exceptions = 0.0
        for name, value in sample.counters.items():
            if name.startswith("exceptions:"):
                exceptions += value
            else:
                values[name] = value
        values.setdefault("exceptions", exceptions)
        if "descriptors" in values:  # the limit is each process's own
            values.setdefault("descriptors_worst", values["descriptors"])
        if self._end:
            passed = sample.time_s - float(self._rows[self._end - 1, 0])
            values["clock_jump_s"] = passed - sample.interval_s
        deploy = sample.counters.get("deploy")
        if deploy is not None:
            if self._deploy is not None and deploy != self._deploy:
                self._deployed_s = sample.time_s
            self._deploy = deploy
        values["since_deploy_s"] = min(sample.time_s - self._deployed_s, 1e9)
        self._write(values)

    def _write(self, values: dict[str, float]) -> None:
        new = [n for n in values if n not in self._columns]
        new = new[: max(0, MOST_COLUMNS - len(self._columns))]
        if new:
            for name in new:
                self._columns[name] = len(self._columns)
            empty = np.full((len(self._rows), len(new)), np.nan)
            self._rows = np.hstack([self._rows, empty])
        self._times.append(values["time_s"])
        if self._end == len(self._rows):
            self._rows[:KEPT_SAMPLES] = self._rows[-KEPT_SAMPLES:]
            self._rows[KEPT_SAMPLES:] = np.nan
            self._end = KEPT_SAMPLES
        row = self._rows[self._end]
        row[:] = np.nan
        for name, value in values.items():
            column = self._columns.get(name)
            if column is not None:
                row[column] = value
        self._end += 1

    def window(self, name: str, seconds: float, least: int, skip: int = 0) -> Floats | None:
        """Values of the newest `seconds`, `least` samples or more, without the newest `skip`.

        None when there are fewer than `least` values; NaN are left out.
        """
        column = self._columns.get(name)
        if column is None:
            return None
        first, end = self._span(seconds, least, skip)
        if end - first < least:
            return None
        values = self._rows[first:end, column]
        if np.isnan(values.sum()):
            values = values[~np.isnan(values)]
            if len(values) < least:
                return None
        return values

    def samples_in(self, seconds: float, least: int) -> int:
        """How many of the newest samples `window` would take."""
        first, end = self._span(seconds, least, 0)
        return end - first

    def _span(self, seconds: float, least: int, skip: int) -> tuple[int, int]:
        key = (seconds, least, skip)
        span = self._spans.get(key)
        if span is None:
            span = self._spans[key] = self._find_span(seconds, least, skip)
        return span

    def _find_span(self, seconds: float, least: int, skip: int) -> tuple[int, int]:
        oldest = max(0, self._end - KEPT_SAMPLES)
        end = self._end - skip
        if end <= oldest:
            return oldest, oldest
        # clocks may jump, so the window is counted back from the end, not searched for; most
        # windows are a few samples long, for which a list is faster than an array
        times, shift = self._times, len(self._times) - self._end
        since = times[end - 1 + shift] - seconds
        first = end
        while first > oldest and times[first - 1 + shift] > since:
            first -= 1
        return max(oldest, min(first, end - least)), end
