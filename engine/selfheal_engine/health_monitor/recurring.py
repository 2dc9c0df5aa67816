"""Bursts that come at even distances and pass by themselves: cron jobs, not faults.

An hourly import fills the queue every hour. Once two bursts of a metric have come and gone
without a failing request, a third at the same distance, or at the same minute of the hour or of
the day, that is about as high and as long is what this service does. Times must agree closely, so
faults at random times are hardly ever taken for a schedule.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

TOLERANCE_S = 120.0
SHORTEST_PERIOD_S, LONGEST_PERIOD_S = 300.0, 7200.0
"""Longer periods are believed only where they follow the clock: among many bursts of many hours
three at even distances are found by chance."""
SCHEDULES_S = (3600.0, 86_400.0, 1800.0)
PHASE_S = 75.0
"""How closely the times of a schedule that follows the clock must agree."""
KEPT_S = 3.2 * 86_400.0
OVER_S = 60.0
"""A burst is over once the metric has been inside its limits for so long."""
LONGER, LONGER_S = 1.5, 60.0
HIGHER = 0.4
"""So much longer, and on the charted scale so much higher, may the next burst be."""


@dataclass(slots=True)
class _Burst:
    start_s: float
    end_s: float
    peak: float
    harmful: bool = False

    @property
    def lasted_s(self) -> float:
        return self.end_s - self.start_s


class Recurring:
    """The bursts of one metric. `peak` is on the charted scale."""

    __slots__ = ("_now", "_past")

    def __init__(self) -> None:
        self._past: deque[_Burst] = deque(maxlen=200)
        self._now: _Burst | None = None

    def update(self, now_s: float, charted: float, *, beyond: bool, harmful: bool) -> None:
        """One sample; `harmful` when requests fail meanwhile."""
        burst = self._now
        if burst is not None and (now_s - burst.end_s > OVER_S or now_s < burst.end_s):
            self._past.append(burst)
            burst = self._now = None
        if not beyond:
            return
        if burst is None:
            burst = self._now = _Burst(now_s, now_s, charted)
            while self._past and now_s - self._past[0].start_s > KEPT_S:
                self._past.popleft()
        burst.end_s = now_s
        burst.peak = max(burst.peak, charted)
        burst.harmful |= harmful

    def healed(self) -> None:
        """What was seen just now had a cause that somebody has removed."""
        if self._now is not None:
            self._now.harmful = True
        elif self._past:
            self._past[-1].harmful = True

    def period_s(self) -> float | None:
        """The distance at which the burst of now was to be expected; None when it was not."""
        now = self._now
        if now is None or now.harmful:
            return None
        harmless = [b for b in self._past if not b.harmful]
        for period_s in SCHEDULES_S:
            alike = [b for b in harmless if _in_phase(now.start_s - b.start_s, period_s)]
            if len(alike) >= 2 and _alike(now, *_strongest(alike)):
                return period_s
        for place, last in enumerate(reversed(harmless)):
            period_s = now.start_s - last.start_s
            if not SHORTEST_PERIOD_S <= period_s <= LONGEST_PERIOD_S:
                continue
            for before in harmless[: len(harmless) - 1 - place]:
                even = abs(last.start_s - before.start_s - period_s) <= TOLERANCE_S
                if even and _alike(now, last, before):
                    return period_s
        return None


def _in_phase(apart_s: float, period_s: float) -> bool:
    """About a whole number of periods apart, at least one and at most a day (or three) of them."""
    if not 0.5 * period_s < apart_s < max(93_600.0, 3.1 * period_s):
        return False
    off_s = apart_s % period_s
    return min(off_s, period_s - off_s) <= PHASE_S


def _strongest(bursts: list[_Burst]) -> tuple[_Burst, _Burst]:
    """The longest and the highest."""
    return max(bursts, key=lambda b: b.lasted_s), max(bursts, key=lambda b: b.peak)


def _alike(now: _Burst, last: _Burst, before: _Burst) -> bool:
    longest = max(last.lasted_s, before.lasted_s)
    highest = max(last.peak, before.peak)
    return now.lasted_s <= LONGER * longest + LONGER_S and now.peak <= highest + HIGHER
