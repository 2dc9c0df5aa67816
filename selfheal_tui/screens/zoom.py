"""One metric as large as the terminal, with its limits, alerts and applied patches."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from selfheal_engine.model import METRICS, RISE_SIGMA, ControlLimits, MetricState, Snapshot
from selfheal_tui.actions import bindings
from selfheal_tui.screens.base import CockpitScreen
from selfheal_widgets.chart import Mark, MetricChart
from selfheal_widgets.heading import Heading
from selfheal_widgets.key_hints import KeyHints
from selfheal_widgets.lines import Line, line, safe, wrap
from selfheal_widgets.metric_panel import arrow, value_text
from selfheal_widgets.pages import LinesPage
from selfheal_widgets.words import band, clock, duration, rough, time_to_limit, trend

LONGEST = 64
"""Most samples that one column may stand for."""


class Zoom(CockpitScreen):
    """Follows the metric while time goes on; + and - change how much time is seen."""

    scope = "zoom"
    BINDINGS: ClassVar[list[BindingType]] = bindings("zoom")

    def __init__(self, metric: str) -> None:
        super().__init__()
        self.metric = metric
        self.samples_per_column = 1

    def compose(self) -> ComposeResult:
        yield Heading("", id="screen-title", classes="")
        chart = MetricChart(ascii_only=self.cockpit.settings.ascii, id="chart")
        yield chart
        yield LinesPage(self._notes, id="zoom-notes", classes="page")
        yield KeyHints(id="hints")

    def show(self, snapshot: Snapshot) -> None:
        state = self._state(snapshot)
        if state is None:
            return
        now = f"{value_text(state)} {arrow(state)}".strip()
        span = self._span(snapshot)
        mode = self.cockpit.display_mode()
        remark = f"{mode or f'one column is {duration(span)}'} "
        self.query_one("#screen-title", Heading).show(f" {self.metric}  {now}", remark)
        self.query_one(MetricChart).show(state, snapshot.times, span, marks(snapshot, self.metric))
        self.query_one(LinesPage).repaint()

    def _state(self, snapshot: Snapshot) -> MetricState | None:
        return next((s for s in snapshot.metrics if s.name == self.metric), None)

    def _span(self, snapshot: Snapshot) -> float:
        return max(snapshot.interval_s, 0.1) * self.samples_per_column

    def _notes(self, width: int) -> list[Line]:
        view = self.cockpit.view
        state = self._state(view) if view else None
        if view is None or state is None:
            return []
        return notes(view, state, width)

    # ------------------------------------------------------------ actions
    def _go(self, by: int) -> None:
        self.metric = METRICS[(METRICS.index(self.metric) + by) % len(METRICS)]
        self.show_latest()

    def action_next_metric(self) -> None:
        self._go(1)

    def action_previous_metric(self) -> None:
        self._go(-1)

    def action_longer(self) -> None:
        self.samples_per_column = min(LONGEST, self.samples_per_column * 2)
        self.show_latest()

    def action_shorter(self) -> None:
        self.samples_per_column = max(1, self.samples_per_column // 2)
        self.show_latest()

    def action_back(self) -> None:
        self.cockpit.pop_screen()


def marks(snapshot: Snapshot, metric: str) -> list[Mark]:
    """Alerts of the metric, then occurrences and applied patches, which win a shared column."""
    out = [
        Mark(alert.time_s, "▲" if alert.severity != "info" else "○", "warn")
        for alert in snapshot.feed
        if metric in alert.metrics
    ]
    for incident in snapshot.incidents:
        out.append(Mark(incident.first_seen_s, "●", "bad"))
        if incident.applied_s:
            out.append(Mark(incident.applied_s, "◆", "accent"))
        if incident.ended_s and incident.state.value == "healed":
            out.append(Mark(incident.ended_s, "✓", "good"))
    return out


def notes(view: Snapshot, state: MetricState, width: int) -> list[Line]:
    """Limits, rule, forecast and what the marks are, newest first."""
    facts = []
    if state.limits is not None:
        facts.append(
            f"{band(state.name, state.limits)}, learned from {state.limits.samples} samples"
        )
    elif state.learning_left:
        facts.append(f"limits are being learned, {state.learning_left} samples to go")
    if state.rule:
        facts.append(f"now {state.rule}")
    if state.limits is not None:
        facts += alarm_rule(state.limits)
    if state.trend_per_min and (slope := trend(state.name, state.trend_per_min)):
        facts.append(f"trend {slope}")
    if time_to_limit(state):
        facts.append(time_to_limit(state))
    if state.reading.value is None and state.reading.reason:
        facts.append(state.reading.reason)
    told: list[tuple[float, Line]] = []
    for incident in view.incidents[:3]:
        name = f"#{incident.number} {safe(incident.title)}"
        told.append((incident.first_seen_s, line(("● ", "bad"), (name, "text"))))
        if incident.applied_s:
            text = f"patch applied for #{incident.number}"
            told.append((incident.applied_s, line(("◆ ", "accent"), (text, "text"))))
    told += [
        (alert.time_s, line(("▲ ", "warn"), (safe(alert.text), "muted")))
        for alert in view.feed
        if state.name in alert.metrics
    ]
    told.sort(key=lambda entry: -entry[0])
    out = [*wrap(" · ".join(facts), width - 1, "muted"), ()]
    out += [line((clock(time_s) + " ", "faint"), *text) for time_s, text in told[:7]]
    return out


def alarm_rule(limits: ControlLimits) -> list[str]:
    """What the control chart waits for, and its average run lengths."""
    if not limits.rule or not limits.run_length:
        return []
    return [
        f"rule: {limits.rule}, average run length {rough(limits.run_length)} samples by chance, "
        f"{limits.run_length_risen:.0f} after a rise of {RISE_SIGMA:.0f} sigma"
    ]
