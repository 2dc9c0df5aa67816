"""Rational subgroups: how much must be seen before it makes one point of the chart.

Samples a second apart resemble each other and are noisier than samples five seconds apart, and
the p95 of two requests is no p95. So what is charted is the mean of a subgroup (Shewhart's
rational subgroups) that spans `SPAN_S` and, for latency, enough requests to mean something.
At the usual interval under usual traffic a subgroup is one sample.
"""

from __future__ import annotations

SPAN_S = 5.0
ENOUGH_REQUESTS = 8.0
LONGEST_S = 60.0
"""A subgroup is closed after so long however few requests there were."""
REACH = 6.0
"""Sigmas at which each sample counts at most."""


class Subgroup:
    """`add(z, interval_s, requests)` -> mean z of the subgroup once it is whole, else None."""

    __slots__ = ("_span_s", "_sum", "_weight")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._sum = self._weight = self._span_s = 0.0

    def add(self, z: float, interval_s: float, requests: float | None) -> float | None:
        """`requests` None: every sample counts alike, however many requests it saw."""
        weight = 1.0 if requests is None else max(requests, 0.1)
        self._sum += weight * min(max(z, -REACH), REACH)
        self._weight += weight
        self._span_s += interval_s
        if self._span_s < 0.8 * SPAN_S:
            return None
        if requests is not None and self._weight < ENOUGH_REQUESTS and self._span_s < LONGEST_S:
            return None
        mean = self._sum / self._weight
        self.clear()
        return mean
