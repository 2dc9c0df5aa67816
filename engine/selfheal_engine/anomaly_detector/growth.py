"""Is it growing, by how much, and does it go on growing? Trends of a resource's level.

The slope is Theil and Sen's median of pairwise slopes, which a third of outliers cannot move;
it counts when Mann and Kendall's test says so, with a variance corrected for autocorrelation
(Hamed & Rao, J. Hydrology 1998). Growth that levels off is a warm-up: it is told apart by
comparing the ends of the window with the whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Point = tuple[float, float]
"""(Unix seconds, level)."""

SIGNIFICANT = 2.33
"""Standard normal deviate of Kendall's S: one-sided 1 %."""
END_LEAST, START_MOST = 0.6, 1.6
"""Steady: slope of the last third at least, of the first third at most, times the whole's."""
STEP_MOST = 0.6
"""Share of the rise that one step may be: more is a change of level, such as a job that starts."""


@dataclass(frozen=True, slots=True)
class Growth:
    """A significant rise over one window; slopes per second, in the resource's unit."""

    slope: float
    flattest: float
    steepest: float
    """Sen's (1968) 90 % interval of the slope."""
    rise: float
    span_s: float
    steady: bool
    """It rises at the end, and rose at the start, as it did over the whole window."""


def measure_growth(points: Sequence[Point]) -> Growth | None:
    """The trend of the points if it is significantly upwards, else None."""
    table = np.array(points)
    times, heights = table[:, 0], table[:, 1]
    n = len(times)
    rows, columns = _pairs(n)
    spans = times[columns] - times[rows]
    if (spans <= 0).any():  # the clock was set back within the window
        return None
    rises = heights[columns] - heights[rows]
    slopes = np.sort(rises / spans)
    slope = _middle(slopes)
    if slope <= 0:
        return None
    residuals = heights - slope * times
    residuals = residuals - residuals.mean()
    power = float(residuals @ residuals)
    r = float(residuals[1:] @ residuals[:-1]) / power if power > 0 else 0.0
    inflation = (1 + max(r, 0.0)) / (1 - min(max(r, 0.0), 0.95))
    spread = math.sqrt(n * (n - 1) * (2 * n + 5) / 18.0 * inflation)
    if float(np.sign(rises).sum()) / spread < SIGNIFICANT:
        return None
    reach = 1.645 * spread
    low = slopes[max(0, int((len(slopes) - reach) / 2))]
    high = slopes[min(len(slopes) - 1, math.ceil((len(slopes) + reach) / 2))]
    third = n // 3 + 1
    start = _end_slope(times[:third], heights[:third])
    end = _end_slope(times[-third:], heights[-third:])
    span = float(times[-1] - times[0])
    return Growth(
        slope,
        float(low),
        max(float(high), slope),
        slope * span,
        span,
        steady=end >= END_LEAST * slope
        and start <= START_MOST * slope
        and largest_step(heights.tolist()) <= STEP_MOST * floor_rise(points),
    )


def largest_step(heights: Sequence[float]) -> float:
    """The largest jump that has lasted so far: from all of the three before to the three after."""
    return max(
        (min(heights[i : i + 3]) - max(heights[i - 3 : i]) for i in range(3, len(heights))),
        default=0.0,
    )


def floor_rise(points: Sequence[Point]) -> float:
    """Rise over the window by the lowest points of its first and last fifth.

    The fifths' middles are four fifths of the window apart, hence the factor.
    """
    fifth = max(1, len(points) // 5)
    first = min(h for _, h in points[:fifth])
    return 1.25 * (min(h for _, h in points[-fifth:]) - first)


def rises_evenly(points: Sequence[Point]) -> bool:
    """A straight climb, judged on a window too short for a test: both halves rise alike.

    Every fifth of the window has a higher floor than the one before, and the second half
    rises at least 0.8 and at most 2.5 times as fast as the first, and has not stopped.
    """
    heights = [h for _, h in points]
    n = len(heights)
    floors = [min(heights[i * n // 5 : (i + 1) * n // 5]) for i in range(5)]
    if any(b <= a for a, b in pairwise(floors)):
        return False
    half = n // 2
    first = _quick_slope(points[: half + 1])
    second = _quick_slope(points[half:])
    if not (first > 0 and 0.8 * first <= second <= 2.5 * first):
        return False
    newest = points[-max(3, n // 4) :]
    return newest[-1][1] - newest[0][1] > 0.5 * first * (newest[-1][0] - newest[0][0])


def _quick_slope(points: Sequence[Point]) -> float:
    """Rise from the first to the last third's median, per second."""
    third = max(1, len(points) // 3)
    start = sorted(h for _, h in points[:third])[third // 2]
    end = sorted(h for _, h in points[-third:])[third // 2]
    span = points[-1][0] - points[0][0]
    return (end - start) / span if span > 0 else 0.0


def _end_slope(times: Floats, heights: Floats) -> float:
    rows, columns = _pairs(len(times))
    spans = times[columns] - times[rows]
    return _middle(np.sort((heights[columns] - heights[rows]) / spans))


def _middle(ordered: Floats) -> float:
    return float(ordered[len(ordered) // 2])


@cache
def _pairs(n: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns of all pairs i < j."""
    return np.triu_indices(n, 1)
