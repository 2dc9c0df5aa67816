"""The life of an incident, and the episode that is remembered of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from selfheal_engine.model.caught import Occurrence
from selfheal_engine.model.concluded import Diagnosis, Proposal
from selfheal_engine.model.measured import Alert
from selfheal_engine.model.vocabulary import IncidentState, Severity


@dataclass(frozen=True, slots=True)
class Incident:
    """Alerts and occurrences that belong together."""

    id: str
    number: int
    """Short number shown to the person: #12."""
    state: IncidentState
    title: str
    """"TypeError, checkout.py:88"."""
    first_seen_s: float
    last_seen_s: float
    severity: Severity = "warning"
    fingerprint: str = ""
    bug_type: str = "unknown"
    count: int = 0
    """Occurrences so far."""
    alerts: tuple[Alert, ...] = ()
    occurrence: Occurrence | None = None
    """The best record: the one with the fullest context."""
    diagnosis: Diagnosis | None = None
    proposal: Proposal | None = None
    applied: str = ""
    """Id of the candidate in force."""
    applied_s: float = 0.0
    ended_s: float = 0.0
    activity: str = ""
    """What the engine does for it now, or waits for: "trying 4 patches", "waiting for you"."""
    outcome: str = ""
    """One sentence at the end: "rolled back: the error came back on worker 2"."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of an episode's timeline."""

    time_s: float
    what: str
    """first_occurrence, open, diagnosed, proposed, approved, applied, healed, rolled_back, ..."""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Episode:
    """The remembered story of one incident."""

    id: str
    service: str
    number: int
    title: str
    fingerprint: str
    bug_type: str
    state: str
    """How it ended: healed, rolled_back, rejected, dismissed."""
    exception: str = ""
    place: str = ""
    strategy: str = ""
    template: str = ""
    framework: str = ""
    diff: str = ""
    confidence: float = 0.0
    safety: int | None = None
    risk: str = ""
    decision: str = ""
    """approve, reject, automatic."""
    reason: str = ""
    first_seen_s: float = 0.0
    ended_s: float = 0.0
    mttr_s: float | None = None
    """First occurrence to healed."""
    occurrences: int = 0
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class HealingStats:
    """Figures over the whole history; each documented where it is computed."""

    incidents: int = 0
    healed: int = 0
    rolled_back: int = 0
    rejected: int = 0
    false_alarms: int = 0
    patch_success_rate: float | None = None
    mttr_median_s: float | None = None
    mttr_p90_s: float | None = None
    downtime_avoided_s: float = 0.0
    by_strategy: dict[str, tuple[int, int]] = field(default_factory=dict)
    """strategy -> (applied, healed)."""
    strategies: dict[str, HealingStats] = field(default_factory=dict)
    """The same figures for each strategy's episodes alone; empty inside of these."""
