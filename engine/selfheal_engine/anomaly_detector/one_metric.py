"""One metric, one value at a time: how surprising is it, on one scale for all metrics.

The strongest of two views: how far the value leaves the range of its recent past (range
record), and how far it lies from a slowly following centre (surprise), both as tail
probabilities by their own past.
"""

from __future__ import annotations

from collections import deque

from selfheal_engine.anomaly_detector.tail import Tail

FULL_SCALE = 12.0
"""-log10 of the tail probability at which the score is 1."""


class Univariate:
    """`update(timestamp_s, value) -> score in [0, 1]`, strictly online."""

    def __init__(self) -> None:
        self._center: float | None = None
        self._spread = 0.0
        self._tail = Tail()
        self._recent: deque[float] = deque(maxlen=5)
        self._joint = Tail()

    def update(self, timestamp_s: float, value: float) -> float:
        if self._center is None:
            self._center = value
            return 0.0
        z = abs(value - self._center) / max(self._spread, 1e-9 + 0.01 * abs(self._center))
        rarity = self._tail.rarity(z)
        self._tail.learn(z)
        self._recent.append(rarity)
        mean = sum(self._recent) / len(self._recent)
        joint = self._joint.rarity(mean)
        self._joint.learn(mean)
        step = value - self._center
        reach = 3 * max(self._spread, 1e-9 + 0.01 * abs(self._center))
        self._center += 0.05 * min(max(step, -reach), reach)
        self._spread += 0.02 * (min(abs(step), reach) * 1.2533 - self._spread)
        return min(1.0, max(0.0, joint) / FULL_SCALE)


def univariate() -> Univariate:
    """A new detector of one metric."""
    return Univariate()
