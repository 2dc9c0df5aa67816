"""How the services on this machine do, asked of their probes in one go.

For the list that one picks from: nobody watches yet, so there are no limits, only what the
probes have counted. Health is the engine's own score over what was counted since the look
before, and over all of the service's life at the first look.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfheal_engine.health_monitor.health_score import Vital, damages, score
from selfheal_engine.model import METRICS, HealthScore
from selfheal_engine.sources.connection import ProbeConnection, ask_all
from selfheal_engine.sources.discovery import DiscoveredService, members, read_cards

ANSWER_S = 0.5
"""How long all probes together may take to answer."""

RECENT_S = 60.0
"""What happened within it says how a service does now."""


@dataclass(frozen=True, slots=True)
class Glance:
    """One service and, where its probe answered, how it does."""

    service: DiscoveredService
    health: HealthScore | None = None
    requests: int = 0
    failed: int = 0
    exceptions: int = 0
    """Of all three: within `since_s`."""
    since_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Counted:
    """What a service's probes had counted at a time."""

    time_s: float
    requests: int
    failed: int
    exceptions: int


class Glances:
    """Looks again and again, each time with what happened since."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._before: dict[tuple[int, float], list[_Counted]] = {}

    def look(self) -> list[Glance]:
        """Every service that carries the probe, oldest first. Takes up to ANSWER_S."""
        cards = read_cards(self._run_dir)
        connections = []
        for card in cards:
            try:
                connections.append(ProbeConnection(card.socket, attach=False))
            except OSError:
                continue
        try:
            answers = ask_all(connections, {"t": "stats"}, ANSWER_S)
            taken = {connection.pid: connection.taken_by for connection in connections}
        finally:
            for connection in connections:
                connection.close()
        return [
            self._glance(service, [answers[pid] for pid in pids if pid in answers])
            for service, pids in members(cards, taken)
        ]

    def _glance(self, service: DiscoveredService, answers: Sequence[Mapping[str, Any]]) -> Glance:
        if not answers:
            return Glance(service)
        now = _Counted(
            time.time(),
            sum(int(answer.get("requests", 0)) for answer in answers),
            sum(int(answer.get("errors", 0)) for answer in answers),
            sum(int(answer.get("exceptions", 0)) for answer in answers),
        )
        born = _Counted(service.started_s or now.time_s, 0, 0, 0)
        earlier = self._before.setdefault((service.pid, service.started_s), [born])
        while len(earlier) > 1 and now.time_s - earlier[1].time_s >= RECENT_S:
            earlier.pop(0)
        # a worker that ended took its counts along: begin anew
        if now.requests < earlier[-1].requests or now.exceptions < earlier[-1].exceptions:
            earlier[:] = [now]
        since = earlier[0]
        earlier.append(now)
        requests, failed = now.requests - since.requests, now.failed - since.failed
        span_s = max(now.time_s - since.time_s, 1.0)
        exceptions = now.exceptions - since.exceptions
        return Glance(
            service,
            _health(answers, requests, failed, exceptions * 60.0 / span_s),
            requests,
            failed,
            exceptions,
            span_s,
        )


def _health(
    answers: Sequence[Mapping[str, Any]], requests: int, failed: int, errors_per_min: float
) -> HealthScore:
    vitals = {name: Vital(None) for name in METRICS}
    vitals["error_rate"] = Vital(errors_per_min)
    risk = max(float(answer.get("deadlock_risk") or 0.0) for answer in answers)
    vitals["deadlock_risk"] = Vital(risk)
    return score(damages(vitals, failed_share=failed / requests if requests else None))
