"""The line at the top: which service, how well it is, what cost the points, and the clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from selfheal_widgets.lines import Line, Span, fit, spread, whole_parts, width_of
from selfheal_widgets.quiet import QuietLines
from selfheal_widgets.words import clock, plural

if TYPE_CHECKING:
    from selfheal_engine.model import HealthScore, ServiceInfo, Snapshot

WELL = 85
POOR = 50
"""Scores from WELL up are calm; below POOR is an alarm."""

GAUGE_CELLS = 10


def health_role(score: float) -> str:
    if score >= WELL:
        return "good"
    return "warn" if score >= POOR else "alarm"


def gauge(score: float, *, ascii_only: bool = False) -> str:
    """The score as a bar of ten cells."""
    full, empty = ("#", ".") if ascii_only else ("█", "░")
    filled = round(max(0.0, min(100.0, score)) / 100 * GAUGE_CELLS)
    return full * filled + empty * (GAUGE_CELLS - filled)


def causes(health: HealthScore, most: int = 3) -> list[str]:
    """What cost the points: ["failed requests −34", "slow answers −5"]."""
    return [f"{c.name} −{c.points:.0f}" for c in health.causes[:most] if c.points >= 0.5]


def service_words(service: ServiceInfo) -> list[Span]:
    """Name, framework, processes and pid of the service."""
    words: list[Span] = [(service.name or "service", "strong")]
    workers = sum(1 for process in service.processes if process.role == "worker")
    shape = service.framework
    if workers:
        shape = f"{shape} {plural(workers, 'worker')}".strip()
    elif len(service.processes) > 1:
        shape = f"{shape} {plural(len(service.processes), 'process', 'processes')}".strip()
    pid = f"pid {service.processes[0].pid}" if service.processes else ""
    words.extend((f" · {word}", "muted") for word in (shape, pid) if word)
    if not service.alive:
        words.append((" · ended", "alarm"))
    return words


class HealthGauge(QuietLines):
    """Service, health and clock in one line."""

    def __init__(self, *, ascii_only: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self.ascii_only = ascii_only
        self.snapshot: Snapshot | None = None
        self._way = "▼"
        """Where the score went when it last moved."""
        self.mode = ""
        """A word about the display itself: "frozen", "14:01:20, 42 s ago"."""

    def show(self, snapshot: Snapshot, mode: str = "") -> None:
        if self.snapshot is not None:
            step = snapshot.health.score - self.snapshot.health.score
            if abs(step) >= 0.5:
                self._way = "▲" if step > 0 else "▼"
        self.snapshot, self.mode = snapshot, mode
        self.repaint()

    def build(self, width: int, height: int) -> Sequence[Line]:
        snapshot = self.snapshot
        if snapshot is None:
            return [((" opening the service …", "muted"),)]
        score = snapshot.health.score
        role = health_role(score)
        health: list[Span] = [("HEALTH ", "muted"), (f"{score:.0f}", role)]
        if width >= 90:
            health.append((f" {gauge(score, ascii_only=self.ascii_only)}", role))
        if score < WELL:
            health.append((f" {self._way}", role))
        why = causes(snapshot.health)
        right: list[Span] = []
        if self.mode:
            right = [(f" {self.mode} ", "warn")]
        elif width >= 90:
            right = [(f"every {snapshot.interval_s:g} s", "faint")]
            if snapshot.drops:
                right.insert(0, (f"{plural(snapshot.drops, 'record')} dropped · ", "warn"))
        room = width - width_of((*health, *right)) - 6 - (len(why[0]) + 2 if why else 0)
        left = _in_room(service_words(snapshot.service), max(12, room))
        middle: list[Span] = [(" ", "text"), *left, ("   ", "text"), *health]
        room = width - width_of((*middle, *right)) - 4
        if why and room >= len(why[0]):
            middle.append((f"  {whole_parts(why, room, ', ')}", "muted"))
        return [spread(tuple(middle), tuple(right), width)]


def _in_room(words: list[Span], room: int) -> Line:
    """The words that fit whole, the first one cut when not even that does."""
    kept: Line = fit(tuple(words[:1]), room)
    for word in words[1:]:
        if width_of((*kept, word)) <= room:
            kept = (*kept, word)
    return kept


class Clock(QuietLines):
    """The time of what is shown: a widget of its own, because it changes with every tick."""

    DEFAULT_CSS = "Clock { width: 10; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.time_s = 0.0

    def show(self, time_s: float) -> None:
        self.time_s = time_s
        self.repaint()

    def build(self, width: int, height: int) -> Sequence[Line]:
        return [((f" {clock(self.time_s)} ", "muted"),)] if self.time_s else []
