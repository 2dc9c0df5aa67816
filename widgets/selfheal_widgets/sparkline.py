"""Sparklines in rows of text: one colour for each row, so that a row costs one colour code.

The band between the control limits fills the lower rows and whatever is beyond the upper
limit stands in the top row: the limit is where the rows meet, and only the top row ever
takes the alarm's colour. Columns stand for a fixed span of time and are aligned to the
clock, so the picture moves on once for each span and not with every sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selfheal_engine.model import ControlLimits


BLOCKS = " ▁▂▃▄▅▆▇█"
ASCII = " _.-=+*%#"
"""Eight heights by ink for terminals without block characters."""
LIMIT = "_"
"""Drawn where the top row is empty: at the foot of the row, which is the upper limit."""


def bucketed(
    times: Sequence[float], values: Sequence[float | None], span_s: float, width: int
) -> list[float | None]:
    """The last `width` columns of `span_s` seconds each: the largest value of each column.

    Columns begin at multiples of the span. One without a reading is None; leading columns
    before the first sample are left out.
    """
    if not times or not values or width <= 0:
        return []
    count = min(len(times), len(values))
    times, values = times[-count:], values[-count:]
    span_s = max(span_s, 1e-9)
    last = int(times[-1] // span_s)
    first = max(last - width + 1, int(times[0] // span_s))
    out: list[float | None] = [None] * (last - first + 1)
    for at in range(count - 1, -1, -1):
        column = int(times[at] // span_s) - first
        if column < 0:
            break
        value = values[at]
        if value is not None:
            kept = out[column]
            out[column] = value if kept is None else max(kept, value)
    return out


def column_span(interval_s: float) -> float:
    """Seconds that one column stands for: the interval, but never under 2 s."""
    return max(2.0, interval_s)


def heights(
    values: Sequence[float | None], rows: int, limits: ControlLimits | None
) -> list[int | None]:
    """Each value as eighths of a row above the ground, 1 at least; None stays None.

    With limits and at least two rows the lower rows span from the lower to the upper limit
    and the top row from there to the largest value; without, all rows span 0 to the largest.
    """
    known = [value for value in values if value is not None]
    if not known:
        return [None] * len(values)
    top = max(known)
    if limits is None or rows < 2:
        low = 0.0 if limits is None else min(max(0.0, limits.lower), *known)
        high = top * 1.3 if limits is None else max(top, limits.upper)
        return [_scaled(value, low, high, rows * 8) for value in values]
    inside = (rows - 1) * 8
    low = min(limits.lower, *known) if limits.lower > 0 else min(0.0, *known)
    out: list[int | None] = []
    for value in values:
        if value is None or value <= limits.upper:
            out.append(_scaled(value, low, limits.upper, inside))
        else:
            beyond = _scaled(value, limits.upper, max(top, limits.upper), 8)
            out.append(inside + (beyond or 1))
    return out


def spark_rows(
    values: Sequence[float | None],
    width: int,
    rows: int,
    limits: ControlLimits | None,
    *,
    ascii_only: bool = False,
) -> list[str]:
    """The chart as `rows` texts of `width` cells, top row first, newest value at the right."""
    ramp = ASCII if ascii_only else BLOCKS
    levels = heights(values[-width:], rows, limits)
    lead = width - len(levels)
    out: list[str] = []
    for row in range(rows - 1, -1, -1):
        cells = "".join(
            " " if level is None else ramp[max(0, min(8, level - row * 8))] for level in levels
        )
        out.append(" " * lead + cells)
    if limits is not None and rows >= 2:
        out[0] = out[0].replace(" ", LIMIT)
    return out


def _scaled(value: float | None, low: float, high: float, steps: int) -> int | None:
    if value is None:
        return None
    if high <= low:
        return 1
    return max(1, min(steps, round((value - low) / (high - low) * steps)))
