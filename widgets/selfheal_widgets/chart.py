"""One metric large: an axis with units, control limits drawn in, marks on the time axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from selfheal_widgets.lines import Line, Span, line
from selfheal_widgets.quiet import QuietLines
from selfheal_widgets.sparkline import ASCII, BLOCKS, bucketed
from selfheal_widgets.words import amount, clock

if TYPE_CHECKING:
    from selfheal_engine.model import MetricState

AXIS_CELLS = 11
FOOT_ROWS = 2
LABEL_CELLS = len("00:00:00")
LABELS_APART = 20


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at a time: a sign for the axis and its role."""

    time_s: float
    sign: str
    role: str


@dataclass(frozen=True, slots=True)
class Scale:
    """Values to rows of a plot of `rows` rows, row 0 at the top."""

    low: float
    high: float
    rows: int

    def eighths(self, value: float) -> int:
        share = (value - self.low) / (self.high - self.low)
        return max(1, min(self.rows * 8, round(share * self.rows * 8)))

    def row(self, value: float) -> int:
        share = (value - self.low) / (self.high - self.low)
        return max(0, min(self.rows - 1, self.rows - 1 - int(share * self.rows * 0.9999)))

    def top_of(self, row: int) -> float:
        return self.low + (self.rows - row) / self.rows * (self.high - self.low)


def scale_for(state: MetricState, values: Sequence[float | None], rows: int) -> Scale:
    """A scale that holds the values and the limits with a little air above."""
    known = [value for value in values if value is not None]
    if state.limits is not None:
        known += [state.limits.upper, max(0.0, state.limits.lower)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if low < 0.6 * high:
        low = min(0.0, low)
    air = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    return Scale(low if low == 0 else low - air, high + air, rows)


def chart_lines(
    state: MetricState,
    times: Sequence[float],
    span_s: float,
    marks: Sequence[Mark],
    width: int,
    height: int,
    *,
    ascii_only: bool = False,
) -> list[Line]:
    """The plot with its axis, a row of marks and a row of times; newest at the right."""
    plot_cells, rows = width - AXIS_CELLS, height - FOOT_ROWS
    if plot_cells < 10 or rows < 3:
        return [line(("too small for a chart", "muted"))]
    values = bucketed(times, state.history, span_s, plot_cells)
    if not any(value is not None for value in values):
        reason = state.reading.reason or "no readings yet"
        return [line((reason, "muted"))]
    scale = scale_for(state, values, rows)
    lead = plot_cells - len(values)
    limits = state.limits
    limit_rows = {} if limits is None else {scale.row(limits.upper): "upper"}
    if limits is not None and limits.lower > scale.low:
        limit_rows.setdefault(scale.row(limits.lower), "lower")
    labels = _labels(state, scale, limit_rows)
    ramp = ASCII if ascii_only else BLOCKS
    levels = [None if value is None else scale.eighths(value) for value in values]
    dash = "-" if ascii_only else "┄"
    out: list[Line] = []
    for row in range(rows):
        ground = (rows - 1 - row) * 8
        cells = "".join(
            " " if level is None else ramp[max(0, min(8, level - ground))] for level in levels
        )
        cells = " " * lead + cells
        above = limits is not None and row < scale.row(limits.upper)
        label, label_role = labels.get(row, ("", "faint"))
        axis: Span = (f"{label:>{AXIS_CELLS - 2}} ", label_role)
        if row in limit_rows:
            body = _dashed(cells, dash)
            out.append((axis, ("┤" if not ascii_only else "+", "faint"), *body))
        else:
            bar = "│" if not ascii_only else "|"
            out.append((axis, (bar, "faint"), (cells, "bad" if above else "spark")))
    last_column = int(times[-1] // span_s)
    out.append(_mark_row(marks, span_s, last_column, plot_cells, ascii_only))
    out.append(_time_row(span_s, last_column, plot_cells))
    return out


def _dashed(cells: str, dash: str) -> list[Span]:
    """A row in which the limit's line shows wherever the plot leaves it free."""
    out: list[Span] = []
    for ch in cells:
        role = "warn" if ch == " " else "spark"
        text = dash if ch == " " else ch
        if out and out[-1][1] == role:
            out[-1] = (out[-1][0] + text, role)
        else:
            out.append((text, role))
    return out


def _labels(
    state: MetricState, scale: Scale, limit_rows: dict[int, str]
) -> dict[int, tuple[str, str]]:
    labels = {
        0: (amount(state.name, scale.top_of(0)), "faint"),
        scale.rows - 1: (amount(state.name, scale.low), "faint"),
    }
    if state.limits is not None:
        for row, which in limit_rows.items():
            value = state.limits.upper if which == "upper" else state.limits.lower
            labels[row] = (amount(state.name, value), "warn")
    return labels


def _mark_row(
    marks: Sequence[Mark], span_s: float, last_column: int, cells: int, ascii_only: bool
) -> Line:
    ground = "-" if ascii_only else "─"
    row: list[Span] = [(ground, "faint")] * cells
    for at in _time_columns(cells):
        row[at] = ("+" if ascii_only else "┬", "faint")
    for mark in marks:
        at = cells - 1 - (last_column - int(mark.time_s // span_s))
        if 0 <= at < cells:
            row[at] = (mark.sign, mark.role)
    out: list[Span] = [(" " * (AXIS_CELLS - 1), "text"), ("+" if ascii_only else "└", "faint")]
    for text, role in row:
        if out[-1][1] == role:
            out[-1] = (out[-1][0] + text, role)
        else:
            out.append((text, role))
    return tuple(out)


def _time_columns(cells: int) -> range:
    """Columns whose time is written below them: each label begins at its column."""
    return range((cells - LABEL_CELLS) % LABELS_APART, cells - LABEL_CELLS + 1, LABELS_APART)


def _time_row(span_s: float, last_column: int, cells: int) -> Line:
    text = [" "] * cells
    for at in _time_columns(cells):
        label = clock((last_column - (cells - 1 - at)) * span_s)
        text[at : at + 8] = list(label)
    return ((" " * AXIS_CELLS, "text"), ("".join(text), "faint"))


class MetricChart(QuietLines):
    """Draws the chart of one metric at whatever size it has."""

    DEFAULT_CSS = "MetricChart { height: 1fr; width: 1fr; }"

    def __init__(self, *, ascii_only: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self.ascii_only = ascii_only
        self.state: MetricState | None = None
        self._times: tuple[float, ...] = ()
        self._span_s = 5.0
        self._marks: tuple[Mark, ...] = ()

    def show(
        self,
        state: MetricState,
        times: tuple[float, ...],
        span_s: float,
        marks: Sequence[Mark],
    ) -> None:
        self.state, self._times, self._span_s = state, times, span_s
        self._marks = tuple(marks)
        self.repaint()

    def build(self, width: int, height: int) -> Sequence[Line]:
        if self.state is None:
            return [line(("waiting for the first sample", "muted"))]
        return chart_lines(
            self.state,
            self._times,
            self._span_s,
            self._marks,
            width,
            height,
            ascii_only=self.ascii_only,
        )
