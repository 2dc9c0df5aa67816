"""Several metrics at once: one score in [0, 1] for how unlike the past the whole row is."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from selfheal_engine.anomaly_detector.tail import Tail

FULL_SCALE = 12.0

Floats = npt.NDArray[np.float64]


class Multivariate:
    """`update(timestamp_s, row) -> score in [0, 1]`; NaN in a row means not measured."""

    def __init__(self, n_metrics: int) -> None:
        self._number = n_metrics
        self._mean: Floats = np.zeros(n_metrics)
        self._variance: Floats = np.zeros(n_metrics)
        self._seen = 0
        self._tail = Tail()
        self.shares: Floats = np.zeros(n_metrics)
        """What each metric contributed to the newest score."""

    def update(self, timestamp_s: float, row: npt.ArrayLike) -> float:
        values = np.asarray(row, float)
        values = np.where(np.isfinite(values), values, self._mean)
        self._seen += 1
        if self._seen == 1:
            self._mean = values.copy()
            return 0.0
        sigma = np.sqrt(self._variance) + 1e-9 + 0.01 * np.abs(self._mean)
        z = np.clip((values - self._mean) / sigma, -20, 20)
        self.shares = np.abs(z)
        strength = math.sqrt(float(np.sort(z * z)[-2:].mean()))
        rarity = self._tail.rarity(strength)
        self._tail.learn(strength)
        rate = max(1.0 / self._seen, 1.0 / 720)
        step = np.clip(values - self._mean, -5 * sigma, 5 * sigma)
        self._mean = self._mean + rate * step
        self._variance = self._variance + rate * (step * step - self._variance)
        return min(1.0, max(0.0, rarity) / FULL_SCALE)


def multivariate(n_metrics: int) -> Multivariate:
    """A new detector of `n_metrics` metrics."""
    return Multivariate(n_metrics)
