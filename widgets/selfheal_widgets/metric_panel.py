"""One metric: value with unit, trend, control limits and a sparkline.

With a frame and several rows it is a panel of the dashboard; one row high, on narrow
terminals, the same widget is a single line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Click
from textual.message import Message
from textual.widget import Widget

from selfheal_widgets.lines import Line, Span, fit, line, pad, width_of, wrap_most
from selfheal_widgets.quiet import QuietLines
from selfheal_widgets.sparkline import bucketed, column_span, spark_rows
from selfheal_widgets.words import amount, band, duration, time_to_limit, trend

if TYPE_CHECKING:
    from selfheal_engine.model import MetricState

NAME_CELLS = 14
VALUE_CELLS = 12
NOTE_CELLS = 17


COSTLY = 5.0
"""Health points that a metric may cost before its panel says so."""


def is_rising(state: MetricState) -> bool:
    """A forecast limit within the hour is worth a warning before it is reached."""
    return state.time_to_limit_s is not None and state.time_to_limit_s <= 3600


def sign(state: MetricState, cost: float = 0.0) -> str:
    """What stands beside the name: ▲ beyond its limits, ▼ costs health, △ on its way to a limit."""
    if state.beyond_limits:
        return "▲"
    if cost >= COSTLY:
        return "▼"
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


def note(state: MetricState, interval_s: float) -> Span:
    """What is worth saying beside the value: why there is none, a forecast, a rule, the band."""
    if state.reading.value is None:
        return (state.reading.reason or "no reading yet", "muted")
    if is_rising(state):
        return (time_to_limit(state), "warn")
    if state.limits is None:
        left = state.learning_left * interval_s
        return (f"learning {duration(left)}" if left else "learning", "faint")
    if state.name == "memory_usage" and state.trend_per_min and arrow(state):
        return (trend(state.name, state.trend_per_min), "muted")
    return (band(state.name, state.limits), "faint")


class MetricFace(QuietLines):
    """The text inside the frame, so that a tick never repaints the frame itself."""

    DEFAULT_CSS = "MetricFace { height: 1fr; width: 1fr; }"

    def __init__(self, metric: str, *, ascii_only: bool = False) -> None:
        super().__init__()
        self.metric = metric
        self.ascii_only = ascii_only
        self.state: MetricState | None = None
        self.cost = 0.0
        """Health points that the metric costs now."""
        self.times: tuple[float, ...] = ()
        self.interval_s = 5.0

    def build(self, width: int, height: int) -> Sequence[Line]:
        if self.state is None:
            waiting = line(("no sample yet", "faint"))
            return [waiting] if height > 1 else [(*pad(line(self.metric), NAME_CELLS), *waiting)]
        if height == 1:
            return [self._row(self.state, width)]
        return self._panel(self.state, width, height)

    def _panel(self, state: MetricState, width: int, height: int) -> list[Line]:
        head = self._head(state, width)
        rows = height - len(head)
        values = self._columns(state, width)
        chart = spark_rows(values, width, rows, state.limits, ascii_only=self.ascii_only)
        top = "spark"
        if state.limits is not None and rows >= 2:
            upper = state.limits.upper
            top = "bad" if any(v is not None and v > upper for v in values) else "faint"
        return [*head, line((chart[0], top)), *(line((text, "spark")) for text in chart[1:])]

    def _head(self, state: MetricState, width: int) -> list[Line]:
        """Value and note in one line; why there is no value in up to two."""
        if state.reading.value is None:
            return wrap_most(note(state, self.interval_s)[0], width, 2, "muted")
        value: Line = ((value_text(state), _value_role(state, self.cost)),)
        if arrow(state):
            value = (*value, (f" {arrow(state)}", "muted"))
        head = (*value, ("  ", "text"))
        room = width - width_of(head)
        side = fit((note(state, self.interval_s),), room)
        return [(*head, (" " * (room - width_of(side)), "text"), *side)]

    def _row(self, state: MetricState, width: int) -> Line:
        role = "bad" if state.beyond_limits else "warn" if self.cost >= COSTLY else "muted"
        note_cells = NOTE_CELLS if width >= 60 else 0
        cells = max(0, width - NAME_CELLS - VALUE_CELLS - note_cells - 6)
        values = self._columns(state, cells)
        chart = spark_rows(values, cells, 1, state.limits, ascii_only=self.ascii_only)[0]
        return (
            *pad(line((self.metric, role)), NAME_CELLS),
            *pad(line((value_text(state), _value_role(state, self.cost))), VALUE_CELLS),
            (f" {sign(state, self.cost) or ' '} ", "bad" if state.beyond_limits else "warn"),
            (chart, "bad" if state.beyond_limits else "spark"),
            ("   ", "text"),
            *((note(state, self.interval_s),) if note_cells else ()),
        )

    def _columns(self, state: MetricState, width: int) -> list[float | None]:
        return bucketed(self.times, state.history, column_span(self.interval_s), width)


class MetricPanel(Widget, can_focus=True):
    """Shows one MetricState in a frame; Enter or a click asks to zoom."""

    DEFAULT_CSS = "MetricPanel { height: 1; width: 1fr; }"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l,right", "step(1)", "next panel", id="panel.next", tooltip="Next metric"),
        Binding("h,left", "step(-1)", "last panel", id="panel.previous", tooltip="Previous metric"),
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
        self.border_title = metric
        self.face = MetricFace(metric, ascii_only=ascii_only)

    def compose(self) -> ComposeResult:
        yield self.face

    def show(
        self, state: MetricState, times: tuple[float, ...], interval_s: float, cost: float = 0.0
    ) -> None:
        """Take the newest state and the health points it costs; what changed is repainted."""
        face = self.face
        face.state, face.times, face.interval_s, face.cost = state, times, interval_s, cost
        mark = sign(state, cost)
        title = f"{self.metric} {mark}" if mark else self.metric
        if mark == "▼":
            title += f" −{cost:.0f}"
        if self.border_title != title:
            self.border_title = title
        self.set_class(state.beyond_limits, "-beyond")
        wary = is_rising(state) or cost >= COSTLY
        self.set_class(wary and not state.beyond_limits, "-rising")
        face.repaint()

    @property
    def shown(self) -> list[str]:
        """The text inside the frame."""
        return self.face.shown

    def action_step(self, by: int) -> None:
        self.post_message(self.Step(self, by))

    def action_choose(self) -> None:
        self.post_message(self.Chosen(self.metric))

    def on_click(self, _event: Click) -> None:
        self.action_choose()


def _value_role(state: MetricState, cost: float) -> str:
    if state.beyond_limits:
        return "alarm"
    if cost >= COSTLY and state.reading.value is not None:
        return "warn"
    return "strong" if state.reading.value is not None else "muted"
