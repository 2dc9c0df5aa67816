"""What the engine publishes: the snapshot that screens show, the events that scripts read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from selfheal_engine.model.caught import WaitingThread
from selfheal_engine.model.incident import Incident
from selfheal_engine.model.measured import Alert, HealthScore, MetricState
from selfheal_engine.model.service import EndpointStat, RestartOffer, ServiceInfo


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole state that a screen shows, published by the engine at every tick and change."""

    time_s: float
    service: ServiceInfo
    metrics: tuple[MetricState, ...]
    health: HealthScore
    incidents: tuple[Incident, ...]
    """Newest first; ended ones stay for the session."""
    feed: tuple[Alert, ...]
    """Newest last, bounded."""
    activity: str = ""
    """What the engine is doing now: "trying 4 patches for #12"."""
    progress: float | None = None
    """0-1 of the activity, None when it cannot be told."""
    activity_s: float = 0.0
    interval_s: float = 5.0
    times: tuple[float, ...] = ()
    """Time of each position of the metrics' history."""
    sandbox_tier: int = 0
    """1 or 2; 3 when patches cannot be validated here; 0 not known yet."""
    sandbox_note: str = ""
    drops: int = 0
    """Records that the probe or the engine had to drop, shown so that nothing is hidden."""
    endpoints: tuple[EndpointStat, ...] = ()
    threads: tuple[WaitingThread, ...] = ()
    read_only: str = ""
    """Why this app may only look: another one holds the service."""
    maintenance: bool = False
    """Nothing is applied, not even what somebody approves."""
    restart: RestartOffer | None = None
    """What `restart` would run; None from an engine that cannot be asked for it."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the events file; see selfheal_engine.events for the schema."""

    time_s: float
    kind: str
    body: Mapping[str, object] = field(default_factory=dict)
