"""What is normal for one metric: centre and spread on the charted scale, slowly learned.

The first `WARM_UP` samples are summarised by their median and by the larger of two spreads;
after that both follow with a memory of about `MEMORY` samples, every step clipped at 3 sigma,
so that one outlier moves the baseline no more than an ordinary sample at the edge does.
"""

from __future__ import annotations

import itertools
import math
from collections import deque

from selfheal_engine.health_monitor.transforms import MetricRule

WARM_UP = 150
"""Samples before the limits are shown: the individuals chart wants more than 100 (Quesenberry
1993: fewer leave the false alarm rate of 3 sigma limits more than a third off)."""
MEMORY, MEMORY_S = 720, 3600.0
"""Samples and time of the exponential memory, whichever is longer: one hour at 5 s and below."""
REGIME_S = 3600.0
"""A level that has stood this long without harm is the new normal."""
D2 = 1.128
"""Expected range of two normal samples over sigma (Montgomery, Statistical Quality Control)."""


class Baseline:
    """Centre and sigma of one metric on the charted scale."""

    __slots__ = (
        "_first",
        "_last",
        "_memory",
        "_range",
        "_since_s",
        "_spread",
        "_standing",
        "center",
        "rule",
        "samples",
    )

    def __init__(self, rule: MetricRule, interval_s: float = 5.0) -> None:
        self.rule = rule
        self._memory = max(MEMORY, round(MEMORY_S / max(interval_s, 0.1)))
        self.relearn()

    def relearn(self) -> None:
        """Forgets everything: after a deploy the old normal says nothing about the new code."""
        self._first: list[float] = []
        self._last: float | None = None
        self._range = self._spread = 0.0
        self._standing: deque[tuple[float, float]] = deque(maxlen=self._memory)
        self._since_s = 0.0
        self.center = 0.0
        self.samples = 0

    @property
    def ready(self) -> bool:
        return self.samples >= WARM_UP

    @property
    def learning_left(self) -> int:
        """Samples still to come before the limits are known."""
        return max(0, WARM_UP - self.samples)

    @property
    def sigma(self) -> float:
        """The larger of moving range / 1.128 and the mean deviation, and no less than the floor.

        The moving range alone is the textbook's choice, but it underrates a metric whose
        neighbouring samples resemble each other (a memory sawtooth), which is most of ours.
        """
        floor = max(self.rule.least_sigma, self.rule.relative_sigma * abs(self.center))
        return max(self._range / D2, self._spread, floor)

    def learn(self, charted: float, weight: float = 1.0) -> None:
        """Takes in one sample that is believed to be normal; `weight` 0-1 is what it says."""
        self.samples += 1
        if self.samples <= WARM_UP:
            self._first.append(charted)
            if self.samples == WARM_UP:
                self._settle(self._first)
                self._first = []
            self._last = charted
            return
        rate = weight / min(max(self.samples, MEMORY), self._memory)
        reach = 3.0 * self.sigma
        deviation = min(max(charted - self.center, -reach), reach)
        self.center += rate * deviation
        # mean |x - centre| of a normal metric is sigma * sqrt(2 / pi)
        self._spread += rate * (abs(deviation) * math.sqrt(math.pi / 2) - self._spread)
        if self._last is not None:
            step = min(abs(charted - self._last), 3.27 * max(self._range, reach / 3.0))
            self._range += rate * (step - self._range)
        self._last = charted

    def stand(self, now_s: float, charted: float) -> bool:
        """Notes a sample beyond the limits; True once they make a new regime, now adopted."""
        if self._standing and now_s - self._standing[-1][0] > REGIME_S / 4:
            self._standing.clear()
        if not self._standing:
            self._since_s = now_s
        self._standing.append((now_s, charted))
        if now_s - self._since_s < REGIME_S:
            return False
        self._settle([x for _, x in self._standing])
        self._standing.clear()
        return True

    def interrupt(self) -> None:
        """The level beyond the limits ended, or turned out to be harmful."""
        self._standing.clear()

    def _settle(self, values: list[float]) -> None:
        ordered = sorted(values)
        self.center = ordered[len(ordered) // 2]
        deviations = sorted(abs(x - self.center) for x in values)
        self._spread = 1.4826 * deviations[len(deviations) // 2]
        if self._spread == 0.0:
            # more than half are alike (mostly zero errors): the median says nothing of the rest
            bound = ordered[int(0.95 * len(ordered))]
            kept = [min(x, bound) for x in values]
            self.center = sum(kept) / len(kept)
            mean_deviation = sum(abs(x - self.center) for x in kept) / len(kept)
            self._spread = mean_deviation * math.sqrt(math.pi / 2)
        steps = sorted(abs(b - a) for a, b in itertools.pairwise(values))
        # the median range of two normal samples is 0.954 sigma; kept as a mean range here
        self._range = D2 * steps[len(steps) // 2] / 0.954 if steps else 0.0
