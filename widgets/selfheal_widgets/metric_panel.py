"""One metric: value with unit, trend, control limits and a sparkline.

With a frame and several rows it is a panel of the dashboard; one row high, on narrow
terminals, the same widget is a single line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.events import Click
from textual.message import Message

from selfheal_engine.model import MetricState
from selfheal_widgets.lines import Line, Span, line, pad, spread
from selfheal_widgets.quiet import QuietLines
from selfheal_widgets.sparkline import bucketed, column_span, spark_rows
from selfheal_widgets.words import amount, band, time_to_limit, trend

NAME_CELLS = 14
VALUE_CELLS = 12
NOTE_CELLS = 17


def is_rising(state: MetricState) -> bool:
    """A forecast limit within the hour is worth a warning before it is reached."""
    return state.time_to_limit_s is not None and state.time_to_limit_s <= 3600


def sign(state: MetricState) -> str:
    """What stands beside the name: ▲ beyond its limits, △ on its way there."""
    if state.beyond_limits:
        return "▲"
    return "△" if is_rising(state) else ""


def arrow(state: MetricState) -> str:
    """The trend as an arrow, "" where there is none worth a sign.

    Worth it is a slope that would cross a tenth of the band in a minute.
    """
    if state.trend_per_min is None or state.limits is None:
        return ""
    step = max(state.limits.upper - state.limits.lower, 1e-9) / 10
    if state.trend_per_min >= step:
        return "↗"
    return "↘" if state.trend_per_min <= -step else ""


def value_text(state: MetricState) -> str:
    """The reading in words, or a dash where it cannot be had."""
    if state.reading.value is None:
        return "–"
    text = amount(state.name, state.reading.value)
    return f"p95 {text}" if state.name == "response_time" else text


def note(state: MetricState) -> Span:
    """What is worth saying beside the value: why there is none, a forecast, a rule, the band."""
    if state.reading.value is None:
        return (state.reading.reason or "no reading yet", "muted")
    if is_rising(state):
        return (time_to_limit(state), "warn")
    if state.limits is None:
        left = state.learning_left
        return (f"learning, {left} to go" if left else "learning", "faint")
    if state.name == "memory_usage" and state.trend_per_min and arrow(state):
        return (trend(state.name, state.trend_per_min), "muted")
    return (band(state.name, state.limits), "faint")


class MetricPanel(QuietLines, can_focus=True):
    """Shows one MetricState; Enter or a click asks to zoom."""

    DEFAULT_CSS = "MetricPanel { height: 1; }"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l,right", "step(1)", "next panel", id="panel.next", tooltip="Next metric"),
        Binding(
            "h,left", "step(-1)", "previous panel", id="panel.previous", tooltip="Previous metric"
        ),
        Binding("enter", "choose", "zoom", id="panel.choose", tooltip="Zoom this metric"),
    ]

    @dataclass
    class Chosen(Message):
        """A person wants to see this metric large."""

        metric: str

    @dataclass
    class Step(Message):
        """A person wants to go to a neighbouring panel."""

        panel: MetricPanel
        by: int

    def __init__(self, metric: str, *, ascii_only: bool = False) -> None:
        super().__init__(id=f"panel-{metric}")
        self.metric = metric
        self.ascii_only = ascii_only
        self.state: MetricState | None = None
        self._times: tuple[float, ...] = ()
        self._interval_s = 5.0

    def show(self, state: MetricState, times: tuple[float, ...], interval_s: float) -> None:
        """Take the newest state; only what changed is repainted."""
        self.state, self._times, self._interval_s = state, times, interval_s
        mark = sign(state)
        title = f"{self.metric} {mark}" if mark else self.metric
        if self.border_title != title:
            self.border_title = title
        self.set_class(state.beyond_limits, "-beyond")
        self.set_class(is_rising(state) and not state.beyond_limits, "-rising")
        self.repaint()

    def build(self, width: int, height: int) -> Sequence[Line]:
        if self.state is None:
            waiting = line(("waiting for the first sample", "faint"))
            return [waiting] if height > 1 else [(*pad(line(self.metric), NAME_CELLS), *waiting)]
        return self._as_row(width) if height == 1 else self._as_panel(width, height)

    def _as_panel(self, width: int, height: int) -> list[Line]:
        assert self.state is not None
        value: Line = ((value_text(self.state), self._value_role()),)
        if arrow(self.state):
            value = (*value, (" " + arrow(self.state), "muted"))
        head = spread(value, (note(self.state),), width, gap=1)
        rows = height - 1
        chart = self._chart(width, rows)
        limited = self.state.limits is not None and rows >= 2
        top = "bad" if limited and self._any_beyond(width) else "faint" if limited else "spark"
        return [head, line((chart[0], top)), *(line((text, "spark")) for text in chart[1:])]

    def _as_row(self, width: int) -> list[Line]:
        assert self.state is not None
        name = (self.metric, "bad" if self.state.beyond_limits else "muted")
        mark = sign(self.state) or " "
        note_cells = NOTE_CELLS if width >= 60 else 0
        chart_cells = max(0, width - NAME_CELLS - VALUE_CELLS - note_cells - 6)
        chart = self._chart(chart_cells, 1)[0]
        return [
            (
                *pad(line(name), NAME_CELLS),
                *pad(line((value_text(self.state), self._value_role())), VALUE_CELLS),
                (f" {mark} ", "bad" if self.state.beyond_limits else "warn"),
                (chart, "bad" if self.state.beyond_limits else "spark"),
                ("   ", "text"),
                *((note(self.state),) if note_cells else ()),
            )
        ]

    def _chart(self, width: int, rows: int) -> list[str]:
        assert self.state is not None
        values = bucketed(self._times, self.state.history, column_span(self._interval_s), width)
        return spark_rows(values, width, rows, self.state.limits, ascii_only=self.ascii_only)

    def _any_beyond(self, width: int) -> bool:
        assert self.state is not None
        limits = self.state.limits
        span = column_span(self._interval_s)
        seen = bucketed(self._times, self.state.history, span, width)
        return limits is not None and any(v is not None and v > limits.upper for v in seen)

    def _value_role(self) -> str:
        assert self.state is not None
        if self.state.beyond_limits:
            return "alarm"
        return "strong" if self.state.reading.value is not None else "muted"

    def action_step(self, by: int) -> None:
        self.post_message(self.Step(self, by))

    def action_choose(self) -> None:
        self.post_message(self.Chosen(self.metric))

    def on_click(self, _event: Click) -> None:
        self.action_choose()
