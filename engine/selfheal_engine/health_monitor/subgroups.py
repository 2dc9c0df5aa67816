"""Rational subgroups: how much must be seen before it makes one point of the chart.

Samples a second apart resemble each other and are noisier than samples five seconds apart, and
the p95 of two requests is no p95. So what is charted is the mean of a subgroup (Shewhart's
rational subgroups) that spans `SPAN_S` and, for latency, enough requests to mean something.
At the usual interval under usual traffic a subgroup is one sample.

A mean of several samples varies less than one of them. How much less depends on how alike the
neighbours are, so it is learned, and the mean is told in sigmas of such means.
"""

from __future__ import annotations

import math

SPAN_S = 5.0
ENOUGH_REQUESTS = 8.0
LONGEST_S = 60.0
"""A subgroup is closed after so long however few requests there were."""
CLEAR_NUMBER, CLEAR = 3, 3.0
"""So many samples whose mean is so many sigmas up need no more requests to be believed."""
REACH = 6.0
"""Sigmas at which each sample counts at most."""
MEANS_LEAST, MEANS_MEMORY = 30, 300
"""Means before their spread is believed, and how many of them it remembers."""


class Subgroup:
    """`add` -> z of the subgroup's mean once it is whole, else None."""

    __slots__ = ("_means", "_number", "_span_s", "_spread", "_sum", "_weight", "spread")

    def __init__(self) -> None:
        self.spread = 1.0
        """Sigmas of single samples that are one sigma of the newest mean."""
        self._means = 0
        self._spread = 1.0
        self.clear()

    def clear(self) -> None:
        self._sum = self._weight = self._span_s = 0.0
        self._number = 0

    def add(
        self, z: float, interval_s: float, requests: float | None, *, learning: bool = True
    ) -> float | None:
        """`requests` None: every sample counts alike, however many requests it saw."""
        self._number += 1
        weight = 1.0 if requests is None else max(requests, 0.1)
        self._sum += weight * min(max(z, -REACH), REACH)
        self._weight += weight
        self._span_s += interval_s
        if self._span_s < 0.8 * SPAN_S:
            return None
        mean = self._sum / self._weight
        few = requests is not None and self._weight < ENOUGH_REQUESTS
        clear_already = self._number >= CLEAR_NUMBER and mean >= CLEAR
        if few and self._span_s < LONGEST_S and not clear_already:
            return None
        least = 1.0 / math.sqrt(self._number)
        known = self._number > 1 and self._means >= MEANS_LEAST
        self.spread = min(max(self._spread, least), 1.0) if known else 1.0
        if learning and self._number > 1:
            self._learn(mean)
        self.clear()
        return mean / self.spread

    def _learn(self, mean: float) -> None:
        self._means += 1
        # mean |x| of a normal variable is sigma * sqrt(2 / pi)
        deviation = math.sqrt(math.pi / 2) * min(abs(mean), 3.0 * self._spread)
        self._spread += (deviation - self._spread) / min(self._means, MEANS_MEMORY)
