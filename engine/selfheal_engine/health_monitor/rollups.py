"""The past of the seven metrics: full resolution, then 1 min and 15 min roll-ups, bounded.

Everything is float32 in arrays of fixed size: 12 hours of samples at 5 s, two weeks of
minutes and a year of quarters of an hour are about 8 MB. The roll-ups are written to one
file, replaced atomically, so that they survive restarts.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from selfheal_engine.model import METRICS

STATISTICS = ("min", "mean", "max", "p95")
RAW_SAMPLES = 8640
LEVELS: dict[str, tuple[float, int]] = {"1min": (60.0, 20_160), "15min": (900.0, 35_040)}
"""Name -> (seconds of one roll-up, how many are kept)."""

Table = npt.NDArray[np.float32]
Times = npt.NDArray[np.float64]


class _Ring:
    """Rows in order of time, the oldest overwritten; grows by doubling up to its bound."""

    __slots__ = ("_count", "_most", "_start", "rows", "times")

    def __init__(self, most: int, columns: tuple[int, ...]) -> None:
        self._most = most
        size = min(most, 256)
        self.times: Times = np.zeros(size)
        self.rows: Table = np.full((size, *columns), np.nan, np.float32)
        self._start = self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, time_s: float, row: npt.ArrayLike) -> None:
        size = len(self.times)
        if self._count == size < self._most:
            grown = min(self._most, 2 * size)
            self.times = np.concatenate([self.times, np.zeros(grown - size)])
            empty = np.full((grown - size, *self.rows.shape[1:]), np.nan, np.float32)
            self.rows = np.concatenate([self.rows, empty])
            size = grown
        at = (self._start + self._count) % size
        if self._count == size:
            self._start = (self._start + 1) % size
        else:
            self._count += 1
        self.times[at] = time_s
        self.rows[at] = row

    def last(self, number: int) -> tuple[Times, Table]:
        """The newest `number` rows, oldest first, copied."""
        number = min(number, self._count)
        places = (self._start + self._count - number + np.arange(number)) % len(self.times)
        return self.times[places], self.rows[places]


class Rollups:
    """Full resolution and both roll-ups of the seven metrics."""

    def __init__(self) -> None:
        self._raw = _Ring(RAW_SAMPLES, (len(METRICS),))
        self._levels = {
            name: _Ring(kept, (len(METRICS), len(STATISTICS))) for name, (_, kept) in LEVELS.items()
        }
        self._open: dict[str, tuple[int, list[npt.NDArray[np.float32]]]] = {}

    def append(self, time_s: float, values: Iterable[float | None]) -> None:
        """One sample; None where a metric could not be had."""
        row = np.array([np.nan if v is None else v for v in values], np.float32)
        self._raw.append(time_s, row)
        for name, (seconds, _) in LEVELS.items():
            bucket = int(time_s // seconds)
            held = self._open.get(name)
            if held is None or bucket != held[0]:
                if held is not None and held[1]:
                    self._levels[name].append(held[0] * seconds, _summary(held[1]))
                held = (bucket, [])
                self._open[name] = held
            held[1].append(row)

    def amend(self, metric: str, value: float) -> None:
        """Fills in the newest sample's metric that was only computed after it came."""
        column = METRICS.index(metric)
        size = len(self._raw.times)
        if len(self._raw):
            self._raw.rows[(self._raw._start + len(self._raw) - 1) % size, column] = value
        for _, rows in self._open.values():
            if rows:
                rows[-1][column] = value

    def raw(self, number: int) -> tuple[Times, Table]:
        """(times, samples x metrics) of the newest `number` samples; NaN where there was none."""
        return self._raw.last(number)

    def level(self, name: str, number: int = 10**9) -> tuple[Times, Table]:
        """(times, roll-ups x metrics x STATISTICS) of "1min" or "15min"."""
        return self._levels[name].last(number)

    def save(self, path: Path) -> None:
        """Writes both roll-ups; the file is replaced only once the new one is whole."""
        arrays: dict[str, npt.NDArray[np.generic]] = {}
        for name, ring in self._levels.items():
            arrays[f"{name}_times"], arrays[f"{name}_rows"] = ring.last(len(ring))
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        with draft.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        draft.replace(path)

    def load(self, path: Path) -> bool:
        """Takes the saved roll-ups in; False when there are none, or none that can be read."""
        try:
            with np.load(path, allow_pickle=False) as kept:
                for name, ring in self._levels.items():
                    times, rows = kept[f"{name}_times"], kept[f"{name}_rows"]
                    if rows.shape[1:] != ring.rows.shape[1:]:
                        return False
                    for time_s, row in zip(times, rows, strict=True):
                        ring.append(float(time_s), row)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return False
        return True


def _summary(rows: list[npt.NDArray[np.float32]]) -> Table:
    """min, mean, max and p95 of each metric; NaN for one that was never there."""
    block = np.stack(rows)
    out = np.full((block.shape[1], len(STATISTICS)), np.nan, np.float32)
    for column in range(block.shape[1]):
        values = block[:, column]
        values = np.sort(values[~np.isnan(values)])
        if len(values):
            p95 = values[min(len(values) - 1, int(0.95 * len(values)))]
            out[column] = (values[0], values.mean(), values[-1], p95)
    return out
