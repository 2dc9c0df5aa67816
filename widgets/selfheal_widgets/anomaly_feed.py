"""The feed: every alert in words, newest on top, with a filter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len

from selfheal_widgets.activity import doing
from selfheal_widgets.lines import Line, fit, line, safe, wrap
from selfheal_widgets.row_list import Row, RowList
from selfheal_widgets.words import SIGNS, clock

if TYPE_CHECKING:
    from selfheal_engine.model import Alert, Snapshot

SEVERITY_ROLES = {"info": "muted", "warning": "warn", "critical": "bad"}
INDENT = 11
"""Cells before the text: the time and the sign."""

SEVERITIES = ("info", "warning", "critical")

SAME_STORY_S = 600.0
"""The same statement after this much silence is told anew."""


def alert_id(alert: Alert) -> str:
    """What makes an alert itself, whatever stands above or below it."""
    return f"{alert.time_s:.3f}|{alert.detector}|{alert.text}"


def matches(alert: Alert, needle: str, least: str = "info") -> bool:
    """Whether the alert is of that severity at least and holds every word of the filter."""
    if SEVERITIES.index(alert.severity) < SEVERITIES.index(least):
        return False
    hay = " ".join((alert.text, alert.detector, alert.place, *alert.metrics)).lower()
    return all(word in hay for word in needle.lower().split())


def told_again(alerts: Sequence[Alert]) -> list[tuple[Alert, Alert, int]]:
    """(first, last, how many) of each run of the same statement or bug, the latest run first.

    An alert that repeats with others in between stays where it was told last: five rows that
    say the same would push what is new out of sight.
    """
    runs: dict[tuple[str, str, str], tuple[Alert, Alert, int]] = {}
    for alert in alerts:
        said = "" if alert.fingerprint else alert.text  # a bug's message counts on with it
        key = (alert.detector, said, alert.fingerprint or alert.place)
        first, last, count = runs.pop(key, (alert, alert, 0))
        if alert.time_s - last.time_s > SAME_STORY_S:
            runs[(*key[:2], f"{key[2]}@{first.time_s}")] = (first, last, count)
            first, count = alert, 0
        runs[key] = (first, alert, count + 1)
    told = sorted(runs.values(), key=lambda run: run[1].time_s)
    told.reverse()
    return told


class AnomalyFeed(RowList):
    """Alerts of a snapshot; the filter is a few words, the severity a floor."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.alerts: tuple[Alert, ...] = ()
        self.needle = ""
        self.least = "info"
        self._empty = ""
        self._project = ""

    def show(self, snapshot: Snapshot) -> None:
        """Take the newest alerts; nothing is repainted when there is nothing new."""
        empty = ""
        if not snapshot.feed:
            empty = f"no alerts: {doing(snapshot)}. What is unusual is told here, newest on top."
        if snapshot.feed == self.alerts and empty == self._empty:
            return
        self.alerts, self._empty = snapshot.feed, empty
        self._project = snapshot.service.project.rstrip("/") + "/"
        self.repaint()

    def filter(self, needle: str) -> None:
        self.needle = needle
        self.repaint()

    def next_severity(self) -> str:
        """Raise the floor by one, from critical back to info."""
        self.least = SEVERITIES[(SEVERITIES.index(self.least) + 1) % len(SEVERITIES)]
        self.repaint()
        return self.least

    def alert(self, id: str) -> Alert | None:
        return next((alert for alert in self.alerts if alert_id(alert) == id), None)

    def build(self, width: int) -> Sequence[Row]:
        rows = [
            Row(alert_id(first), self._lines(last, count, first.time_s, width))
            for first, last, count in told_again(self.alerts)
            if matches(last, self.needle, self.least)
        ]
        if rows:
            return rows
        if self.alerts:
            text = f"nothing matches “{self.needle}”: Esc clears the filter"
            if not self.needle:
                text = f"no {self.least} alert: S shows the others"
            return [Row("", tuple(wrap(text, width - 1, "muted")))]
        return [Row("", tuple(wrap(self._empty, width - 1, "muted")))]

    def _lines(self, alert: Alert, count: int, since_s: float, width: int) -> tuple[Line, ...]:
        role = SEVERITY_ROLES[alert.severity]
        body = "text" if alert.severity != "info" else "muted"
        first, *more = wrap(safe(alert.text), width - INDENT, body) or [()]
        out = [
            line((clock(alert.time_s) + " ", "faint"), (SIGNS[alert.severity] + " ", role), *first)
        ]
        out += [line((" " * INDENT, "text"), *part) for part in more[:1]]
        if len(more) > 1:
            out[-1] = fit((*out[-1], (" …", body)), width)
        facts = []
        if alert.place and alert.place not in alert.text:
            facts.append(safe(alert.place.removeprefix(self._project)))
        if count > 1:
            facts.append(f"{count} × since {clock(since_s)}")
        together = " · ".join(facts)
        for text in [together] if cell_len(together) <= width - INDENT else facts:
            if text:
                out.append(fit(line((" " * INDENT, "text"), (text, "faint")), width))
        return tuple(out)
