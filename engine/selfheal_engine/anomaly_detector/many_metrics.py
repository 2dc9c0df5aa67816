"""Several metrics at once: one score in [0, 1] for how unlike the recent past the whole row is.

Three views, each a root mean square over the metrics of sigmas, so that 1 is an ordinary row
in all of them and their mean is the strength:

    jump     the row against the mean of the three rows before it
    relation what of the row the leading principal components of the recent past do not explain
             (Jackson & Mudholkar, Technometrics 1979), in sigmas of each metric's own residual
    change   the same of the difference to the row before

The leading components take `EXPLAINED` of the variance: what metrics usually do together
(traffic up, all up) is out, and what is left is a relation that broke. On servers whose
labelled faults are short and abrupt the jumps and changes lead, where faults shift levels the
relations; their mean does well on both kinds.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from selfheal_engine.anomaly_detector.tolerance import MOST

Floats = npt.NDArray[np.float64]

EXPLAINED = 0.3
WINDOW = 5000
"""Rows that the components are learned from."""
REFITS = (60, 120, 240)
REFIT_EVERY = 500
MEMORY = 2000
"""Rows of the exponential memory of spreads."""
LEARN_CLIP, SIGMA_CLIP = 5.0, 20.0
LEAST_SHARE = 0.01
"""Smallest spread of a metric, as a share of the range that it has shown."""
STRETCH, FIRST_STRETCH = 10.0, 1000.0
"""A row stretches a metric's range by so many ranges at most: one absurd value must not blind
the detector to all that follow. A metric that stood still: by so many times its level."""


class Multivariate:
    """`update(timestamp_s, row) -> score in [0, 1]`; NaN or None in a row: not measured.

    `strength` is the newest row's mean of the three views (1 is ordinary), `shares` how much
    each metric added to it.
    """

    def __init__(self, n_metrics: int) -> None:
        self._number = n_metrics
        self._seen = 0
        self._previous: list[Floats] = []
        self._low = self._high = np.zeros(n_metrics)
        self._jump = _Spread(n_metrics)
        self._rows = _Components(n_metrics)
        self._steps = _Components(n_metrics)
        self.strength = 0.0
        self.shares: Floats = np.zeros(n_metrics)

    def update(self, timestamp_s: float, row: npt.ArrayLike) -> float:
        """0 is ordinary, 0.5 three times, 0.9 nineteen times as strange as an ordinary row."""
        values = self._whole(row)
        self._low = np.minimum(self._low, values)
        self._high = np.maximum(self._high, values)
        floor = LEAST_SHARE * (self._high - self._low) + 1e-9
        self._seen += 1
        step = values - self._previous[-1]
        jump = self._jump.sigmas(
            values - (self._previous[0] + self._previous[1] + self._previous[2]) / 3, floor
        )
        parts = (jump, self._rows.residual(values), self._steps.residual(step))
        squares = [np.minimum(p * p, SIGMA_CLIP * SIGMA_CLIP) for p in parts]
        self.shares = squares[0] + squares[1] + squares[2]
        self.strength = sum(float(s.mean()) ** 0.5 for s in squares) / len(squares)
        self._rows.learn(values, floor)
        self._steps.learn(step, floor)
        self._previous = [*self._previous[1:], values]
        return max(0.0, 1.0 - 2.0 / (1.0 + self.strength))

    def _whole(self, row: npt.ArrayLike) -> Floats:
        """The row with its gaps filled by the one before, within reach of the range so far."""
        values: Floats = np.asarray(row, np.float64)
        if values.shape != (self._number,):
            raise ValueError(f"a row of {self._number} values is wanted, not {values.shape}")
        known = np.isfinite(values)
        if not known.all():
            last = self._previous[-1] if self._previous else np.zeros(self._number)
            values = np.where(known, values, last)
        if not self._previous:
            values = np.minimum(np.maximum(values, -MOST), MOST)
            self._previous = [values] * 3
            self._low = self._high = values
            return values
        spread = self._high - self._low
        still = FIRST_STRETCH * np.maximum(np.abs(self._high), 1.0)
        reach = np.minimum(np.where(spread > 0, STRETCH * spread, still), MOST)
        return np.minimum(np.maximum(values, self._low - reach), self._high + reach)


class _Spread:
    """Centre and spread of each metric with an exponential memory, learned from clipped steps."""

    def __init__(self, number: int) -> None:
        self._center: Floats = np.zeros(number)
        self._variance: Floats = np.zeros(number)
        self._seen = 0

    def sigmas(self, values: Floats, floor: Floats) -> Floats:
        """How many sigmas from the centre; then learns the values."""
        sigma = np.sqrt(self._variance) + floor
        deviation = values - self._center
        self._seen += 1
        rate = max(1.0 / MEMORY, 1.0 / self._seen)
        reach = LEARN_CLIP * sigma
        clipped = np.minimum(np.maximum(deviation, -reach), reach)
        self._center = self._center + rate * clipped
        self._variance = self._variance + rate * (clipped * clipped - self._variance)
        return deviation / sigma


class _Components:
    """Leading principal components of a sliding window, refitted now and then."""

    def __init__(self, number: int) -> None:
        self._window: Floats = np.zeros((256, number))
        self._seen = 0
        self._mean: Floats = np.zeros(number)
        self._scale: Floats = np.ones(number)
        self._rest: Floats | None = None
        self._spread: Floats = np.ones(number)

    def learn(self, values: Floats, floor: Floats) -> None:
        size = len(self._window)
        if self._seen >= size and size < WINDOW:
            grown = np.zeros((min(WINDOW, 4 * size), self._window.shape[1]))
            grown[:size] = self._window
            self._window = grown
        self._window[self._seen % len(self._window)] = values
        self._seen += 1
        if self._seen in REFITS or self._seen % REFIT_EVERY == 0:
            self._fit(floor)

    def residual(self, values: Floats) -> Floats:
        """The unexplained part of each metric, in sigmas of its own; zero before the first fit."""
        if self._rest is None:
            return np.zeros(len(values))
        scaled = (values - self._mean) / self._scale
        scaled = np.minimum(np.maximum(scaled, -SIGMA_CLIP), SIGMA_CLIP)
        residual: Floats = (scaled @ self._rest) / self._spread
        return residual

    def _fit(self, floor: Floats) -> None:
        window = self._window[: min(self._seen, len(self._window))]
        self._mean = window.mean(axis=0)
        self._scale = window.std(axis=0) + floor
        scaled = np.clip((window - self._mean) / self._scale, -10.0, 10.0)
        values, vectors = np.linalg.eigh(scaled.T @ scaled / len(scaled))
        shares = np.cumsum(values[::-1]) / max(float(values.sum()), 1e-12)
        leading = vectors[:, ::-1][:, : int(np.searchsorted(shares, EXPLAINED)) + 1]
        self._rest = np.eye(len(floor)) - leading @ leading.T
        self._spread = (scaled @ self._rest).std(axis=0) + 0.05


def multivariate(n_metrics: int) -> Multivariate:
    """A new detector of `n_metrics` metrics."""
    return Multivariate(n_metrics)
