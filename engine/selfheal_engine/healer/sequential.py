"""The sequential tests that a watch decides by: each sample may end it, errors stay bounded.

- `calls_needed`, `seconds_needed`: Wald's sequential probability ratio test (A. Wald, Sequential
  Tests of Statistical Hypotheses, Annals of Mathematical Statistics 16, 1945) of "it still fails
  as before" against "it fails at most a tenth as often". As one failure ends the watch
  anyway, what is left of the test is how long no failure must be seen.
- `Cusum`: Page's cumulative sum of the same log likelihood ratios (E. S. Page, Continuous
  Inspection Schemes, Biometrika 41, 1954), which notices harm that begins late.
- `growth`: least squares slope with its standard error, for what grows instead of failing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

ERROR = 0.05
"""Chance to call a bug healed that is not, and the reverse."""
REMAINING = 0.1
"""A healed bug fails at most this share as often as before."""
_BOUND = math.log((1 - ERROR) / ERROR)

WITHIN, BEYOND = 0.05, 0.6
"""Chance that a sample exceeds its limit without harm, and with it."""
ALARM = math.log(1 / 0.001)


def calls_needed(failing_share: float) -> int:
    """Calls without a failure that show the bug healed, when `failing_share` failed before.

    The log likelihood ratio of n successes is n ln((1 - 0.1 p) / (1 - p)); it must reach
    ln((1 - e) / e). A share of 0.3 needs 10 calls, 0.05 needs 64.
    """
    share = min(max(failing_share, 1e-6), 0.95)
    gain = math.log((1 - REMAINING * share) / (1 - share))
    return max(3, math.ceil(_BOUND / gain))


def seconds_needed(failures_per_s: float) -> float:
    """Seconds without a failure that show the bug healed, for failures of a Poisson process."""
    return _BOUND / ((1 - REMAINING) * max(failures_per_s, 1e-9))


def canary_failures_needed(share: float) -> int:
    """Failures on the others, with none on the canary, that show the canary differs.

    `share` is the canary's part of the processes: without a difference each failure would hit
    it with that chance.
    """
    share = min(max(share, 1e-6), 0.95)
    return max(1, math.ceil(math.log(ERROR) / math.log(1 - share)))


@dataclass(slots=True)
class Cusum:
    """Alarms after about three samples beyond `limit`, in or nearly in a row."""

    limit: float
    """In the metric's own unit."""
    upward: bool = True
    sum: float = 0.0

    def add(self, value: float) -> bool:
        """Take one sample; whether the alarm is on."""
        beyond = value > self.limit if self.upward else value < self.limit
        chance = (BEYOND, WITHIN) if beyond else (1 - BEYOND, 1 - WITHIN)
        self.sum = max(0.0, self.sum + math.log(chance[0] / chance[1]))
        return self.sum >= ALARM


def growth(times_s: Sequence[float], values: Sequence[float]) -> tuple[float, float] | None:
    """(slope per second, its standard error) by least squares; None under five points."""
    count = len(times_s)
    if count < 5:
        return None
    center_t = sum(times_s) / count
    center_v = sum(values) / count
    spread = sum((time - center_t) ** 2 for time in times_s)
    if spread <= 0:
        return None
    pairs = list(zip(times_s, values, strict=True))
    slope = sum((time - center_t) * (value - center_v) for time, value in pairs) / spread
    residual = sum((value - center_v - slope * (time - center_t)) ** 2 for time, value in pairs)
    return slope, math.sqrt(residual / (count - 2) / spread)
