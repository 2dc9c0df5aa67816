"""Intervals for what the benchmarks count and time."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Sequence

Interval = tuple[float, float]


def wilson(n: int, of: int, z: float = 1.96) -> Interval:
    """Wilson's score interval of a share (Wilson 1927, J. Am. Stat. Assoc. 22): right for few
    trials and for shares near 0 and 1, where the normal interval is not."""
    if of == 0:
        return 0.0, 1.0
    share, square = n / of, z * z
    middle = (share + square / (2 * of)) / (1 + square / of)
    spread = z * math.sqrt(share * (1 - share) / of + square / (4 * of * of)) / (1 + square / of)
    return max(0.0, middle - spread), min(1.0, middle + spread)


def bootstrap(
    values: Sequence[float],
    statistic: Callable[[Sequence[float]], float] = statistics.median,
    rounds: int = 2000,
    seed: int = 1,
) -> Interval:
    """95 % percentile bootstrap interval (Efron 1979) of a statistic of few values."""
    if not values:
        return math.nan, math.nan
    rng = random.Random(seed)
    drawn = sorted(statistic(rng.choices(values, k=len(values))) for _ in range(rounds))
    return drawn[int(rounds * 0.025)], drawn[int(rounds * 0.975)]


def percent(share: float) -> str:
    """0.953 -> "95 %"."""
    return f"{share * 100:.0f} %"
