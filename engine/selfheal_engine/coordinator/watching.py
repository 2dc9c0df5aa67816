"""The watch of one healing and what it is shown: samples, failures, a light look each second."""

from __future__ import annotations

from dataclasses import dataclass

from selfheal_engine.coordinator.parts import Parts
from selfheal_engine.healer import (
    Applied,
    Glimpse,
    SideEffects,
    Watch,
    resident_bytes,
    route_of,
)
from selfheal_engine.healer.watch import failing_share, memory_growth
from selfheal_engine.model import Incident

BASELINE_SAMPLES = 60
"""Samples before the apply that the watch compares with."""
LOOK_S = 1.0
"""How often a watched service is looked at between the samples."""


@dataclass(slots=True)
class Watched:
    """The healing that is being watched; there is one at a time."""

    incident: str
    watch: Watch
    route: str
    """The counted route of the failing calls; "": of all calls."""
    next_look_s: float = 0.0


def begin_watch(incident: Incident, applied: Applied, parts: Parts, now_s: float) -> Watched:
    """Compare from now on with what the service was like until now."""
    before = parts.monitor.recent(BASELINE_SAMPLES)
    routes = parts.source.route_counts()
    route = route_of(incident.occurrence, routes)
    effects = SideEffects(
        parts.source.recent_durations(route or ""),
        _glimpse(parts, route or "", now_s),
        failing_share(incident, route, routes) or 0.0,
        memory_growth(before),
    )
    watch = Watch(incident, applied, before, routes, parts.settings, now_s, effects)
    return Watched(incident.id, watch, route or "")


def look(watched: Watched, parts: Parts, now_s: float) -> None:
    """Show the watch how the service is, at most every `LOOK_S`."""
    if now_s < watched.next_look_s:
        return
    watched.next_look_s = now_s + LOOK_S
    routes = parts.source.route_counts()
    watched.watch.look(_glimpse(parts, watched.route, now_s), routes, now_s)


def _glimpse(parts: Parts, route: str, now_s: float) -> Glimpse:
    pids = [process.pid for process in parts.source.service().processes]
    return Glimpse(now_s, resident_bytes(pids), parts.source.durations(route))
