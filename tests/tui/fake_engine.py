"""An engine that only pretends: believable snapshots, and a record of what was asked of it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from selfheal_engine.errors import SelfhealError
from selfheal_engine.model import (
    METRICS,
    EndpointStat,
    Episode,
    Event,
    Frame,
    HealingStats,
    HealthCause,
    HealthScore,
    IncidentState,
    Snapshot,
    WaitingThread,
)
from tests.tui.fake_story import (
    CHECKOUT,
    DIFF,
    FLAT_DIFF,
    INTERVAL,
    LIMITS,
    NOW,
    SAMPLES,
    episodes,
    feed,
    incident_dismissed,
    incident_healed,
    incident_proposed,
    metric,
    service,
)

__all__ = [
    "CHECKOUT",
    "DIFF",
    "FLAT_DIFF",
    "INTERVAL",
    "LIMITS",
    "NOW",
    "SAMPLES",
    "FakeEngine",
    "IncidentState",
    "calm",
    "episodes",
    "failing",
    "feed",
    "incident_dismissed",
    "incident_healed",
    "incident_proposed",
    "learning",
    "metric",
    "replace",
    "searching",
    "service",
    "stuck",
]


def calm() -> Snapshot:
    """All is well."""
    return Snapshot(
        time_s=NOW,
        service=service(),
        metrics=tuple(metric(name) for name in METRICS),
        health=HealthScore(100.0),
        incidents=(),
        feed=(),
        interval_s=INTERVAL,
        times=tuple(NOW - INTERVAL * (SAMPLES - 1 - i) for i in range(SAMPLES)),
        sandbox_tier=1,
        endpoints=(
            EndpointStat("POST /checkout", 241, 41, 31.0, 84.0),
            EndpointStat("GET /catalog", 1830, 0, 9.0, 22.0),
        ),
    )


def learning() -> Snapshot:
    """The first seconds: limits are not known yet."""
    short = tuple(
        replace(metric(name, samples=4), limits=None, learning_left=8, trend_per_min=None)
        for name in METRICS
    )
    return replace(calm(), metrics=short, times=calm().times[-4:])


def failing() -> Snapshot:
    """An incident with three patches, on a service that fails."""
    return replace(
        calm(),
        metrics=tuple(metric(name, failing=True) for name in METRICS),
        health=HealthScore(
            61.0,
            (
                HealthCause("failed requests", 34, "error_rate"),
                HealthCause("unusual behaviour", 5, "anomaly_score"),
            ),
        ),
        incidents=(incident_proposed(), incident_healed(), incident_dismissed()),
        feed=feed(),
    )


def searching() -> Snapshot:
    """The incident is open and patches are being tried."""
    snapshot = failing()
    first = replace(
        snapshot.incidents[0],
        state=IncidentState.DIAGNOSED,
        proposal=None,
        activity="trying 4 patches",
    )
    return replace(
        snapshot,
        incidents=(first, *snapshot.incidents[1:]),
        activity="trying 4 patches for #12",
        progress=0.6,
        activity_s=6.0,
    )


def stuck() -> Snapshot:
    """Threads wait for each other."""
    frame = Frame(
        "/srv/shop/shop/stock.py", 52, "reserve", source_line="with other.lock:", own=True
    )
    threads = (
        WaitingThread("worker-3", (frame,), 41.0, "lock stock.A", "worker-5"),
        WaitingThread("worker-5", (frame,), 40.0, "lock stock.B", "worker-3"),
    )
    return replace(failing(), threads=threads)


class FakeEngine:
    """Publishes what a test gives it and remembers every command."""

    def __init__(self, snapshot: Snapshot | None = None) -> None:
        self.state = snapshot or failing()
        self.asked: list[tuple[object, ...]] = []
        self.refuse = ""
        """Sentence with which every command fails."""
        self.history_problem = ""
        self.episodes = episodes()
        self._callbacks: list[Callable[[Snapshot | Event], None]] = []

    def publish(self, news: Snapshot | Event) -> None:
        if isinstance(news, Snapshot):
            self.state = news
        for callback in list(self._callbacks):
            callback(news)

    @property
    def subscribers(self) -> int:
        return len(self._callbacks)

    def snapshot(self) -> Snapshot:
        return self.state

    def subscribe(self, callback: Callable[[Snapshot | Event], None]) -> Callable[[], None]:
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    def history(self) -> list[Episode]:
        if self.history_problem:
            raise SelfhealError(self.history_problem)
        return list(self.episodes)

    def healing_stats(self) -> HealingStats:
        return HealingStats(
            incidents=4,
            healed=2,
            rolled_back=1,
            false_alarms=1,
            patch_success_rate=2 / 3,
            mttr_median_s=66.0,
            mttr_p90_s=88.0,
            downtime_avoided_s=5400.0,
            by_strategy={
                "null_check": (1, 0),
                "memory_leak_fix": (1, 1),
                "resource_cleanup": (1, 1),
            },
        )

    def approve(self, incident: str, candidate: str) -> Future[str]:
        return self._answer("approve", incident, candidate)

    def reject(self, incident: str, candidate: str, reason: str) -> Future[str]:
        return self._answer("reject", incident, candidate, reason)

    def defer(self, incident: str) -> Future[str]:
        return self._answer("defer", incident)

    def dismiss(self, incident: str, reason: str) -> Future[str]:
        return self._answer("dismiss", incident, reason)

    def edit(self, incident: str, candidate: str, new_files: dict[str, bytes]) -> Future[str]:
        return self._answer("edit", incident, candidate, new_files)

    def roll_back(self, episode_or_incident: str) -> Future[str]:
        return self._answer("roll_back", episode_or_incident)

    def write_test(self, incident: str, candidate: str) -> Future[str]:
        return self._answer("write_test", incident, candidate)

    def export(self, incident: str, candidate: str, folder: Path) -> Future[str]:
        return self._answer("export", incident, candidate, folder)

    def refresh_threads(self) -> Future[str]:
        return self._answer("refresh_threads")

    def maintenance(self, on: bool) -> Future[str]:
        return self._answer("maintenance", on)

    def restart(self) -> Future[str]:
        return self._answer("restart")

    def wait(self, timeout_s: float) -> bool:
        """Has ended at once."""
        return True

    def _answer(self, *asked: object) -> Future[str]:
        self.asked.append(asked)
        future: Future[str] = Future()
        if self.refuse:
            future.set_exception(SelfhealError(self.refuse))
        else:
            future.set_result(f"{asked[0]} done")
        return future
