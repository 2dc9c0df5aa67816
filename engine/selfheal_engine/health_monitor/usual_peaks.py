"""How high a chart's level usually gets: the limit that an alert wants, from the metric's own past.

Three sigma of a normal metric is the wrong yardstick for counts, heavy tails and noisy nights.
So the highest level of every five minutes is kept, and the limit is the height that the largest
of very many such blocks would reach: block maxima follow a Gumbel distribution whose two
parameters come from the first two L-moments (Hosking, J. Royal Statistical Society B, 1990).
A block that an incident touched does not count.
"""

from __future__ import annotations

import math
from collections import deque

BLOCK_S = 300.0
KEPT = 576
"""Two days of blocks."""
LEAST = 24
"""Blocks before their distribution is believed: two hours."""
BLOCKS_A_FALSE_ALARM = 1.5e5
"""About three months of blocks of five metrics."""
YOUNG, SETTLED, HIGHEST = 3.0, 2.2, 5.2
"""The limit while too little is known, the lowest before a day is known, and the highest: a level
that stands at nearly the most that one can have is told whatever is usual."""
A_DAY, LOWEST = 288, 1.6
"""Blocks of a day, after which a quiet metric may have a limit as low as this."""


class UsualPeaks:
    """`update` every sample; `limit` is in sigmas of the chart's level (its EWMA)."""

    __slots__ = ("_block", "_maxima", "_peak", "_scale", "_spoiled", "limit")

    def __init__(self, scale: float = 1.0) -> None:
        """`scale`: scatter of the levels against the control chart's, which narrows the bounds."""
        self._scale = scale
        self._maxima: deque[float] = deque(maxlen=KEPT)
        self._block = -1
        self._peak = -math.inf
        self._spoiled = False
        self.limit = scale * YOUNG

    def update(self, now_s: float, level: float, *, calm: bool) -> None:
        """One sample's level; `calm` False where an incident makes its block worthless."""
        block = int(now_s // BLOCK_S)
        if block != self._block:
            if math.isfinite(self._peak) and not self._spoiled:
                self._maxima.append(self._peak)
                self._fit()
            self._block, self._peak, self._spoiled = block, -math.inf, False
        self._peak = max(self._peak, level, 0.0)
        self._spoiled |= not calm

    def _fit(self) -> None:
        number = len(self._maxima)
        if number < LEAST:
            return
        ordered = sorted(self._maxima)
        mean = sum(ordered) / number
        weighted = sum(i * x for i, x in enumerate(ordered)) / (number * (number - 1))
        scale = (2.0 * weighted - mean) / math.log(2.0)
        place = mean - 0.5772 * scale
        reach = place + scale * math.log(BLOCKS_A_FALSE_ALARM)
        lowest = LOWEST if number >= A_DAY else SETTLED
        # a level that is an average of many is far from 6 sigma even when all of them are there
        highest = HIGHEST * self._scale**0.5
        self.limit = min(max(reach, lowest * self._scale), highest)
