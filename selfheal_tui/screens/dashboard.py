"""The dashboard: seven metrics, health, incidents, the feed and what the engine does now."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Horizontal, Vertical
from textual.widgets import Input

from selfheal_engine.model import METRICS
from selfheal_tui.actions import bindings
from selfheal_tui.screens import decisions
from selfheal_tui.screens.base import CockpitScreen
from selfheal_widgets.activity import Activity
from selfheal_widgets.anomaly_feed import AnomalyFeed
from selfheal_widgets.heading import Heading
from selfheal_widgets.health_gauge import Clock, HealthGauge
from selfheal_widgets.incident_list import IncidentList
from selfheal_widgets.key_hints import KeyHints
from selfheal_widgets.metric_panel import MetricPanel
from selfheal_widgets.row_list import RowList
from selfheal_widgets.tab_strip import Tab, TabStrip

if TYPE_CHECKING:
    from selfheal_engine.model import Incident, Snapshot

BESIDE = 5.0
"""Seconds around an incident in which an alert belongs to it when nothing else tells."""


class Dashboard(CockpitScreen):
    """Seen first and most."""

    scope = "dashboard"
    BINDINGS: ClassVar[list[BindingType]] = bindings("dashboard")
    AUTO_FOCUS = "IncidentList"

    def compose(self) -> ComposeResult:
        ascii_only = self.cockpit.settings.ascii
        with Horizontal(id="top"):
            yield HealthGauge(ascii_only=ascii_only, id="health")
            yield Clock(id="clock")
        with Container(id="panels"):
            for metric in METRICS:
                yield MetricPanel(metric, ascii_only=ascii_only)
            yield Activity(ascii_only=ascii_only, id="activity")
        with Container(id="lists", classes="-incidents"):
            yield TabStrip(id="list-tabs")
            with Vertical(id="incident-side"):
                yield Heading("INCIDENTS", id="incident-heading")
                yield IncidentList(id="incidents")
            with Vertical(id="feed-side"):
                yield Heading("FEED", id="feed-heading")
                yield AnomalyFeed(id="feed")
        yield Input(placeholder="words to find in the feed", id="filter")
        yield KeyHints(id="hints")

    def show(self, snapshot: Snapshot) -> None:
        self.query_one(HealthGauge).show(snapshot, self.cockpit.display_mode())
        self.query_one(Clock).show(snapshot.time_s)
        costs = {cause.metric: cause.points for cause in reversed(snapshot.health.causes)}
        for state, panel in zip(snapshot.metrics, self.query(MetricPanel), strict=False):
            cost = costs.get(state.name, 0.0)
            panel.show(state, snapshot.times, snapshot.interval_s, cost)
        self.query_one(Activity).show(snapshot)
        self.query_one(IncidentList).show(snapshot)
        self.query_one(AnomalyFeed).show(snapshot)
        self._show_headings(snapshot)

    def _show_headings(self, snapshot: Snapshot) -> None:
        live = sum(1 for incident in snapshot.incidents if not incident.state.ended)
        feed = self.query_one(AnomalyFeed)
        extra = [f"“{feed.needle}”"] if feed.needle else []
        if feed.least != "info":
            extra.append(f"{feed.least} and above")
        self.query_one("#incident-heading", Heading).show(
            "INCIDENTS", f"{live} open" if live else ""
        )
        self.query_one("#feed-heading", Heading).show("FEED", " · ".join(extra))
        tabs = self.query_one(TabStrip)
        on_feed = self.query_one("#lists").has_class("-feed")
        feed_name = " ".join(["FEED", *extra])
        tabs.show(
            [Tab("INCIDENTS", str(live) if live else "", "bad"), Tab(feed_name)], int(on_feed)
        )

    def incident(self) -> Incident | None:
        """The incident under the cursor."""
        chosen = self.query_one(IncidentList).selected
        return self.cockpit.incident(chosen)

    def _with_incident(self) -> Incident | None:
        incident = self.incident()
        if incident is None:
            self.cockpit.say("no incident is selected: there is none yet", "warning")
        return incident

    # ------------------------------------------------------------ incidents
    @on(RowList.Chosen, "#incidents")
    def _open(self, event: RowList.Chosen) -> None:
        self.cockpit.open_review(event.id)

    def action_review(self) -> None:
        if incident := self._with_incident():
            self.cockpit.open_review(incident.id)

    def action_approve(self) -> None:
        if incident := self._with_incident():
            decisions.approve(self.cockpit, incident, None)

    def action_reject(self) -> None:
        if incident := self._with_incident():
            decisions.reject(self.cockpit, incident, None)

    def action_dismiss_incident(self) -> None:
        if incident := self._with_incident():
            decisions.dismiss(self.cockpit, incident)

    # ------------------------------------------------------------ feed
    @on(RowList.Chosen, "#feed")
    def _to_incident(self, event: RowList.Chosen) -> None:
        """From an alert to the incident it belongs to: by bug, else by time."""
        alert = self.query_one(AnomalyFeed).alert(event.id)
        view = self.cockpit.view
        if alert is None or view is None:
            return
        for incident in view.incidents:
            same = alert.fingerprint and alert.fingerprint == incident.fingerprint
            if same or alert in incident.alerts:
                self.cockpit.open_review(incident.id)
                return
        for incident in view.incidents:
            last = max(incident.last_seen_s, incident.first_seen_s)
            if incident.first_seen_s - BESIDE <= alert.time_s <= last + BESIDE:
                self.cockpit.open_review(incident.id)
                return
        self.cockpit.say("this alert belongs to no incident", "information")

    def action_filter(self) -> None:
        self.show_list("feed")
        field = self.query_one("#filter", Input)
        field.add_class("-open")
        field.focus()

    @on(Input.Changed, "#filter")
    def _filtered(self, event: Input.Changed) -> None:
        self.query_one(AnomalyFeed).filter(event.value)
        if self.cockpit.view is not None:
            self._show_headings(self.cockpit.view)

    @on(Input.Submitted, "#filter")
    def _filter_kept(self) -> None:
        self.query_one("#filter").remove_class("-open")
        self.query_one(AnomalyFeed).focus()

    def action_severity(self) -> None:
        self.query_one(AnomalyFeed).next_severity()
        self.show_latest()

    def action_other_list(self) -> None:
        on_feed = self.query_one(AnomalyFeed).has_focus or (
            self.query_one("#lists").has_class("-feed") and self.has_class("-narrow")
        )
        self.show_list("incidents" if on_feed else "feed")

    @on(TabStrip.Picked)
    def _tab_picked(self, event: TabStrip.Picked) -> None:
        self.show_list("feed" if event.index else "incidents")

    def show_list(self, which: str) -> None:
        """Bring one list to the front (on narrow terminals) and focus it."""
        lists = self.query_one("#lists")
        lists.set_class(which == "feed", "-feed")
        lists.set_class(which != "feed", "-incidents")
        self.query_one(f"#{which}").focus()
        self.show_latest()

    # ------------------------------------------------------------ metrics and time
    @on(MetricPanel.Chosen)
    def _zoom_chosen(self, event: MetricPanel.Chosen) -> None:
        self.cockpit.open_zoom(event.metric)

    @on(MetricPanel.Step)
    def _step(self, event: MetricPanel.Step) -> None:
        at = METRICS.index(event.panel.metric)
        self.query_one(f"#panel-{METRICS[(at + event.by) % len(METRICS)]}").focus()

    def action_zoom(self) -> None:
        """The focused panel, else the metric that is worst off."""
        if isinstance(self.focused, MetricPanel):
            self.cockpit.open_zoom(self.focused.metric)
            return
        view = self.cockpit.view
        self.cockpit.open_zoom(worst_metric(view) if view else METRICS[0])

    def action_freeze(self) -> None:
        self.cockpit.toggle_freeze()

    def action_back_in_time(self) -> None:
        self.cockpit.walk(-1)

    def action_forward_in_time(self) -> None:
        self.cockpit.walk(1)

    def action_calm(self) -> None:
        field = self.query_one("#filter", Input)
        field.value = ""
        field.remove_class("-open")
        self.query_one(AnomalyFeed).least = "info"
        self.query_one(AnomalyFeed).filter("")
        if self.focused is None or self.focused is field:
            self.query_one(IncidentList).focus()
        self.cockpit.to_present()


def worst_metric(view: Snapshot) -> str:
    """What costs most of the health, else what is beyond its limits, else the first."""
    costly = [cause.metric for cause in view.health.causes if cause.metric]
    beyond = [state.name for state in view.metrics if state.beyond_limits]
    return next(iter((*costly, *beyond)), METRICS[0])
