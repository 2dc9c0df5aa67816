"""What callers hand in, as numbers that arithmetic survives.

Sources leave values out, counters overflow, clocks are set back: a detector that streams for
months meets all of it. Nothing of that may raise, and none of it is an anomaly by itself.
"""

from __future__ import annotations

import math

MOST = 1e100
"""Larger values are taken for this: their squares and sums are still numbers."""


def number(value: object) -> float:
    """The value as a float within +-MOST; NaN for what is none."""
    try:
        plain = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return math.nan
    if not math.isfinite(plain):
        return math.nan
    return min(max(plain, -MOST), MOST)


def moment(timestamp_s: object, last_s: float) -> float:
    """The timestamp, or the last one where it is no number."""
    plain = number(timestamp_s)
    return last_s if math.isnan(plain) else plain
