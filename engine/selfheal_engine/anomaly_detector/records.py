"""Range records: how far a value leaves everything seen in a long window, in a few numbers.

A record needs no distribution, no scale and no threshold that grows with the history: in a
series without change the n-th value is a record with probability 2 / n (Rényi 1962), so
records get rare by themselves. Extremes are kept per block, so that a window of thousands
of values costs some hundred numbers at most, however the values fall.
"""

from __future__ import annotations

import math
from collections import deque

BLOCK = 50
WINDOW = 8000
"""Values that the range looks back over."""


class RangeRecord:
    """`update(value) -> excess`: distance beyond the window's range, over that range; 0 inside."""

    __slots__ = (
        "_block_high",
        "_block_low",
        "_blocks",
        "_filled",
        "_high",
        "_highs",
        "_low",
        "_lows",
        "_number",
        "_seen",
    )

    def __init__(self, window: int = WINDOW) -> None:
        self._blocks = max(1, window // BLOCK)
        # (number of the block, its extreme), monotonic: the front is the extreme of them all
        self._highs: deque[tuple[int, float]] = deque()
        self._lows: deque[tuple[int, float]] = deque()
        self._number = self._filled = self._seen = 0
        self._high = self._block_high = -math.inf
        self._low = self._block_low = math.inf

    def update(self, value: float) -> float:
        """The first few values, and a range of zero that stays, are no record."""
        excess = 0.0
        high, low = self._high, self._low
        if value > high or value < low:
            if self._seen > 5:
                spread = high - low
                beyond = value - high if value > high else low - value
                excess = beyond / spread if spread > 0 else 1.0
            self._high, self._low = max(high, value), min(low, value)
        if value > self._block_high:
            self._block_high = value
        if value < self._block_low:
            self._block_low = value
        self._seen += 1
        self._filled += 1
        if self._filled == BLOCK:
            self._close_block()
        return excess

    def _close_block(self) -> None:
        oldest = self._number - self._blocks
        for extremes, extreme, sign in (
            (self._highs, self._block_high, 1.0),
            (self._lows, self._block_low, -1.0),
        ):
            while extremes and extremes[0][0] <= oldest:
                extremes.popleft()
            while extremes and sign * extremes[-1][1] <= sign * extreme:
                extremes.pop()
            extremes.append((self._number, extreme))
        self._high, self._low = self._highs[0][1], self._lows[0][1]
        self._block_high, self._block_low = -math.inf, math.inf
        self._number += 1
        self._filled = 0


class MovingMean:
    """Mean of the newest `size` values; places not filled yet count as zero.

    Zero is the prior: a young mean climbs from it, so the range of a view made with it is
    wide at first, and a short history is slow to call anything a record.
    """

    __slots__ = ("_age", "_size", "_sum", "_values")

    def __init__(self, size: int) -> None:
        self._values: deque[float] = deque(maxlen=size)
        self._size = size
        self._sum = 0.0
        self._age = 0

    def update(self, value: float) -> float:
        values = self._values
        if len(values) == self._size:
            self._sum -= values[0]
        values.append(value)
        self._sum += value
        self._age += 1
        if self._age >= self._size or abs(self._sum) < 1e-9 * abs(value):
            self._sum = sum(values)  # what cancellation has left is rounding error
            self._age = 0
        return self._sum / self._size


class Season:
    """What is usual at this time of a day or week; `update` gives the distance from it.

    Bins with an exponential memory of 1 / `rate` rounds; None for a bin not seen before.
    """

    __slots__ = ("_bins", "_period_s", "_rate", "_usual")

    def __init__(self, period_s: float, bins: int, rate: float) -> None:
        self._period_s, self._bins, self._rate = period_s, bins, rate
        self._usual: list[float | None] = [None] * bins

    def update(self, timestamp_s: float, value: float) -> float | None:
        place = int(timestamp_s % self._period_s / self._period_s * self._bins)
        usual = self._usual[place]
        if usual is None:
            self._usual[place] = value
            return None
        self._usual[place] = usual + self._rate * (value - usual)
        return value - usual


class Rise:
    """Lets a score through only where it exceeds all of a while before: the first of a burst.

    The while is a share of what has been seen: a burst of one event should be one event
    whether the history is a day or a month.
    """

    __slots__ = ("_longest", "_recent", "_seen", "_share", "_shortest")

    def __init__(self, share: float = 0.1, shortest: int = 20, longest: int = 1000) -> None:
        self._share, self._shortest, self._longest = share, shortest, longest
        self._recent: deque[tuple[int, float]] = deque()
        self._seen = 0

    def update(self, score: float) -> float:
        since = self._seen - min(self._longest, max(self._shortest, self._share * self._seen))
        recent = self._recent
        while recent and recent[0][0] < since:
            recent.popleft()
        first = not recent or score > recent[0][1]
        if score > 0:
            while recent and recent[-1][1] <= score:
                recent.pop()
            recent.append((self._seen, score))
        self._seen += 1
        return score if first else 0.0
