"""One metric, one value at a time: does it do what it never did?

The value is looked at in several views: as it is, on a log scale, against its recent
means, as a mean, and against what is usual at this hour of the day and of the week. In each view
a range record (see records.py) casts a vote, nearly whole as soon as it is clear. Noise makes
records in one view at a time; what a person would call an anomaly makes them in many at once.
The votes are the strength; the score lets through the first of a burst only.

Strictly online: a value is scored by what came before it, and no bounds are known ahead.
"""

from __future__ import annotations

import math

from selfheal_engine.anomaly_detector.records import MovingMean, RangeRecord, Rise, Season
from selfheal_engine.anomaly_detector.tolerance import moment, number

DAY_S, WEEK_S = 86_400.0, 604_800.0
SHORT, LONG = 36, 100
"""Lengths of the moving means, in values."""
SMOOTH = 30
LOG_AFTER = 150
"""Values after which the smallest scale worth a logarithm is taken from the metric's median."""
CLEAR = 0.03
"""Excess, as a share of the range, that is worth half a vote."""

VIEWS = (
    "value",
    "mean short",
    "mean long",
    "against mean short",
    "against mean long",
    "log",
    "log against mean",
    "against hour, smooth",
    "against weekday, smooth",
)


class Univariate:
    """`update(timestamp_s, value) -> score in [0, 1]`."""

    def __init__(self) -> None:
        self._records = tuple(RangeRecord() for _ in VIEWS)
        self._short, self._long = MovingMean(SHORT), MovingMean(LONG)
        self._log_short = MovingMean(SHORT)
        self._day = Season(DAY_S, 96, 0.2)
        self._week = Season(WEEK_S, 168, 0.1)
        self._day_smooth, self._week_smooth = MovingMean(SMOOTH), MovingMean(SMOOTH)
        self._first: list[float] = []
        self._scale = 0.0
        self._last: tuple[float, float] | None = None
        self._last_log: float | None = None
        self._rise = Rise()
        self._now_s = 0.0
        self.votes = 0.0
        """Strength of the newest value: votes of the views, before the burst rule."""

    def update(self, timestamp_s: float, value: float | None) -> float:
        """0 is nothing new; None, NaN and infinities are passed over with 0."""
        seen_value = number(value)
        if math.isnan(seen_value):
            return 0.0
        self._now_s = moment(timestamp_s, self._now_s)
        votes = 0.0
        for record, seen in zip(self._records, self._look(self._now_s, seen_value), strict=True):
            if seen is not None:
                excess = record.update(seen)
                if excess > 0:
                    votes += excess / (excess + CLEAR)
        self.votes = votes
        return self._rise.update(votes) / len(VIEWS)

    def _look(self, timestamp_s: float, value: float) -> tuple[float | None, ...]:
        """The value in every view, in the order of VIEWS; None where there is nothing yet."""
        last = self._last
        short, long = self._short.update(value), self._long.update(value)
        self._last = (short, long)
        by_day = self._day.update(timestamp_s, value)
        by_week = self._week.update(timestamp_s, value)
        by_day = 0.0 if by_day is None else by_day
        smooth_day = self._day_smooth.update(by_day)
        smooth_week = self._week_smooth.update(by_day if by_week is None else by_week)
        if last is None:
            return (value, short, long, None, None, None, None, None, None)
        log, log_off = self._logarithm(value)
        return (
            value,
            short,
            long,
            value - last[0],
            value - last[1],
            log,
            log_off,
            smooth_day,
            smooth_week,
        )

    def _logarithm(self, value: float) -> tuple[float | None, float | None]:
        if self._scale == 0.0:
            self._first.append(abs(value))
            if len(self._first) < LOG_AFTER:
                return None, None
            self._scale = 0.1 * sorted(self._first)[LOG_AFTER // 2] + 1e-6
            for kept in self._first[:-1]:
                self._last_log = self._log_short.update(math.log(kept + self._scale))
            self._first = []
        log = math.log(max(value, 0.0) + self._scale)
        before = self._last_log
        self._last_log = self._log_short.update(log)
        return log, None if before is None else log - before


def univariate() -> Univariate:
    """A new detector of one metric."""
    return Univariate()
