"""The hour-of-day profile of one metric: what of its level is merely the time of day.

Used once it has seen three days. Hours are UTC: the profile needs the same hour to be the
same hour every day, not its name, and daylight saving would move the walls twice a year.
"""

from __future__ import annotations

DAYS_NEEDED = 3.0
_HOUR_S = 3600.0


class HourProfile:
    """Mean charted level of each of the 24 hours, with a memory of about a week."""

    __slots__ = ("_days", "_hour", "_mean", "_number", "_sum")

    def __init__(self) -> None:
        self._mean: list[float] = [0.0] * 24
        self._days: list[float] = [0.0] * 24
        self._hour = -1
        self._sum = 0.0
        self._number = 0

    @property
    def ready(self) -> bool:
        return min(self._days) >= DAYS_NEEDED

    def learn(self, now_s: float, charted: float) -> None:
        hour = int(now_s // _HOUR_S)
        if hour != self._hour:
            self._close()
            self._hour = hour
        self._sum += charted
        self._number += 1

    def _close(self) -> None:
        if self._number >= 30:
            slot, level = self._hour % 24, self._sum / self._number
            self._days[slot] += 1
            self._mean[slot] += (level - self._mean[slot]) / min(self._days[slot], 7.0)
        self._sum, self._number = 0.0, 0

    def offset(self, now_s: float) -> float:
        """How far this time of day usually lies from the day's mean; 0 until it is known.

        Interpolated between the middles of the hours, so that no wall stands at :00.
        """
        if not self.ready:
            return 0.0
        at = now_s / _HOUR_S - 0.5
        before, share = int(at // 1) % 24, at % 1
        level = (1 - share) * self._mean[before] + share * self._mean[(before + 1) % 24]
        return level - sum(self._mean) / 24

    def dump(self) -> list[list[float]]:
        return [list(self._mean), list(self._days)]

    def load(self, plain: list[list[float]]) -> None:
        self._mean, self._days = list(plain[0]), list(plain[1])
