"""The snapshot: what every screen shows, put together from the parts on the engine thread."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace

from selfheal_engine.coordinator.healing import Healings
from selfheal_engine.coordinator.investigation import Investigations
from selfheal_engine.coordinator.ledger import Ledger
from selfheal_engine.coordinator.parts import Parts
from selfheal_engine.coordinator.restarting import Restarts
from selfheal_engine.healer import GONE
from selfheal_engine.model import (
    Alert,
    Event,
    IncidentState,
    MetricState,
    RestartOffer,
    Snapshot,
)
from selfheal_engine.sandbox_validator import level

FEED_LENGTH = 500
ENDED = "the engine has ended: nothing is restarted from here any more"


class Overview:
    """Builds and publishes snapshots; the last one can be read from any thread."""

    def __init__(
        self,
        parts: Parts,
        ledger: Ledger,
        investigations: Investigations,
        healings: Healings,
        restarts: Restarts,
    ) -> None:
        self._parts = parts
        self._ledger = ledger
        self._investigations = investigations
        self._healings = healings
        self._restarts = restarts
        self._isolation = level()
        self._note = ""
        self.feed: deque[Alert] = deque(maxlen=FEED_LENGTH)
        self.last: Snapshot | None = None

    def note(self, text: str) -> None:
        """Something that went wrong in the engine itself, shown until the next one."""
        self._note = text
        self._ledger.dirty = True

    def publish(self, now_s: float) -> None:
        self.last = self._build(now_s)
        self._parts.publisher.snapshot(self.last)

    def publish_end(self, reason: str) -> None:
        """The last word: the `stopped` event and a snapshot that says so."""
        now_s = time.time()
        if self.last is not None:
            service = replace(self.last.service, alive=not reason.startswith("the service ended"))
            self.last = replace(
                self.last,
                time_s=now_s,
                service=service,
                activity=reason,
                progress=None,
                restart=RestartOffer(refused=GONE if not service.alive else ENDED),
            )
            self._parts.publisher.snapshot(self.last)
        self._parts.publisher.event(Event(now_s, "stopped", {"reason": reason}))

    def _build(self, now_s: float) -> Snapshot:
        parts = self._parts
        metrics = parts.monitor.states()
        activity, since_s = self._activity(metrics, now_s)
        return Snapshot(
            time_s=now_s,
            service=parts.source.service(),
            metrics=metrics,
            health=parts.monitor.health(),
            incidents=parts.tracker.incidents(),
            feed=tuple(self.feed),
            activity=activity,
            progress=self._investigations.progress,
            activity_s=max(0.0, now_s - since_s) if since_s else 0.0,
            interval_s=parts.settings.interval_s,
            times=parts.monitor.times(),
            sandbox_tier=self._isolation.tier,
            sandbox_note=self._isolation.note,
            drops=parts.source.drops(),
            endpoints=parts.source.endpoints(),
            threads=parts.source.threads(),
            read_only=parts.read_only(),
            maintenance=parts.in_maintenance(),
            restart=self._restarts.offer(),
        )

    def _activity(self, metrics: tuple[MetricState, ...], now_s: float) -> tuple[str, float]:
        """(what the engine does now, since when); since 0 when there is no beginning to tell."""
        parts = self._parts
        if self._restarts.running:
            return self._restarts.doing()
        running = self._investigations.running()
        if running is not None:
            incident = self._parts.tracker.get(running[0])
            if incident is not None:
                return f"#{incident.number} {incident.activity}", running[1]
        watching = self._parts.tracker.get(self._healings.watching())
        if watching is not None:
            return f"#{watching.number} {watching.activity}", watching.applied_s
        waiting = [
            incident
            for incident, _ in self._ledger.open_cases()
            if incident.state is IncidentState.PROPOSED
        ]
        if waiting:
            numbers = ", ".join(f"#{incident.number}" for incident in waiting[:4])
            return f"{numbers} waiting for you", 0.0
        if self._note:
            return self._note, 0.0
        if parts.in_maintenance():
            return "maintenance: watching only", 0.0
        left = max((metric.learning_left for metric in metrics), default=0)
        if left:
            seconds = left * self._parts.settings.interval_s
            return f"learning the limits: {_duration(seconds)} to go", 0.0
        return "watching", 0.0


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
