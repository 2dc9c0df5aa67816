"""A snapshot as it was at an earlier time, made from the present one.

Nothing extra is kept: the metrics' history, the alerts' and the incidents' own times say what
was known then. Health is not remembered, so it is left as it is and marked by the caller.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace

from selfheal_engine.model import Incident, IncidentState, MetricState, Reading, Snapshot


def at_time(snapshot: Snapshot, time_s: float) -> Snapshot:
    """What the dashboard would have shown at `time_s`."""
    keep = max(1, bisect_right(snapshot.times, time_s))
    dropped = len(snapshot.times) - keep
    if dropped <= 0:
        return snapshot
    return replace(
        snapshot,
        time_s=snapshot.times[keep - 1],
        times=snapshot.times[:keep],
        metrics=tuple(_metric(state, dropped) for state in snapshot.metrics),
        feed=tuple(alert for alert in snapshot.feed if alert.time_s <= time_s),
        incidents=tuple(
            _incident(incident, time_s)
            for incident in snapshot.incidents
            if incident.first_seen_s <= time_s
        ),
        activity="looking back: Esc returns to the present",
        progress=None,
        activity_s=0.0,
    )


def _metric(state: MetricState, dropped: int) -> MetricState:
    history = state.history[: max(0, len(state.history) - dropped)]
    value = history[-1] if history else None
    limits = state.limits
    recent = [v for v in history[-5:] if v is not None]
    beyond = limits is not None and sum(v > limits.upper for v in recent) >= 3
    return replace(
        state,
        reading=Reading(value, "" if value is not None else "no reading then"),
        history=history,
        beyond_limits=beyond,
        rule="",
        trend_per_min=None,
        time_to_limit_s=None,
    )


def _incident(incident: Incident, time_s: float) -> Incident:
    """The incident in the state it must have been in, as far as its own times tell."""
    if incident.ended_s and incident.ended_s <= time_s:
        return incident
    state, applied = incident.state, incident.applied_s
    if applied and applied <= time_s:
        state = IncidentState.WATCHING
    elif incident.proposal is not None and incident.proposal.created_s <= time_s:
        state = IncidentState.PROPOSED
    elif state.ended or applied or incident.proposal is not None:
        state = IncidentState.OPEN
    return replace(incident, state=state, activity="", outcome="", ended_s=0.0)
