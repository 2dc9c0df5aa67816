"""How rare is this? The tail probability of a strength, by its own past.

The bulk is read off the past itself; beyond the highest few per cent, where the past has
little to say, a generalised Pareto tail fitted by probability-weighted moments carries on
(Pickands 1975; Hosking & Wallis, Technometrics 1987).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Tail:
    """Keeps a sample of past strengths and answers with -log10 of the tail probability.

    The past is a reservoir of `size` values with exponential forgetting: once full, every
    `every`-th value replaces the oldest. The tail is refitted every `refit` values.
    """

    __slots__ = ("_edge", "_end", "_scale", "_seen", "_shape", "_sorted", "_values", "refit")

    def __init__(self, size: int = 2000, refit: int = 50) -> None:
        self._values: Floats = np.zeros(size)
        self._end = 0
        self._seen = 0
        self.refit = refit
        self._sorted: Floats = np.zeros(0)
        self._edge = math.inf
        self._scale = 1.0
        self._shape = 0.0

    @property
    def seen(self) -> int:
        return self._seen

    def learn(self, strength: float) -> None:
        self._values[self._end % len(self._values)] = strength
        self._end += 1
        self._seen += 1
        if self._seen <= 20 or self._seen % self.refit == 0:
            self._fit()

    def rarity(self, strength: float) -> float:
        """-log10 P(a past strength is at least this one); 0 while nothing is known."""
        n = len(self._sorted)
        if n == 0:
            return 0.0
        if strength <= self._edge:
            at_least = n - int(np.searchsorted(self._sorted, strength, side="left"))
            return -math.log10((at_least + 1) / (n + 1))
        beyond = strength - self._edge
        share = self._share(n)
        if self._shape > 1e-6:
            log10 = math.log10(1 + self._shape * beyond / self._scale) / self._shape
        else:
            log10 = beyond / self._scale / math.log(10)
        return log10 - math.log10(share)

    def _share(self, n: int) -> float:
        return (max(5, n // 20) + 1) / (n + 1)

    def _fit(self) -> None:
        self._sorted = np.sort(self._values[: min(self._end, len(self._values))])
        n = len(self._sorted)
        if n < 20:
            self._edge = float(self._sorted[-1])
            self._scale = max(float(self._sorted[-1] - self._sorted[0]), 1e-9)
            self._shape = 0.5
            return
        top = self._sorted[n - max(5, n // 20) :]
        self._edge = float(top[0])
        self._scale, self._shape = fit_pareto(top - self._edge)


def fit_pareto(excess: Floats) -> tuple[float, float]:
    """(scale, shape) of the generalised Pareto distribution; shape kept within [0, 0.5].

    Probability-weighted moments; a shape below 0 would claim an upper end that the next
    value may exceed, one above 0.5 makes the estimate worthless on so few values.
    """
    ordered = np.sort(excess)
    n = len(ordered)
    mean = float(ordered.mean())
    if mean <= 0:
        return 1e-9, 0.0
    weights = (n - np.arange(1, n + 1) + 0.35) / n
    weighted = float((weights * ordered).mean())
    gap = mean - 2 * weighted
    if gap <= 0:
        return mean, 0.5
    shape = 2 - mean / gap
    shape = min(max(shape, 0.0), 0.5)
    return max(mean * (1 - shape), 1e-9), shape
