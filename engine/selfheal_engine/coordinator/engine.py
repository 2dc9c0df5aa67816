"""`SelfHealingCoordinator`: the public face of the engine, safe to use from any thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from selfheal_engine.config import Settings
from selfheal_engine.coordinator.loop import EngineLoop
from selfheal_engine.coordinator.parts import Parts, open_parts
from selfheal_engine.coordinator.publishing import Publisher, Subscriber
from selfheal_engine.episodic_memory import EpisodicMemory
from selfheal_engine.errors import ConfigError, SelfhealError, TargetError
from selfheal_engine.model import (
    ControlLimits,
    Episode,
    HealingStats,
    HealthScore,
    MetricState,
    Reading,
    Snapshot,
    Target,
)
from selfheal_engine.notify import Notifier
from selfheal_engine.sources.discovery import list_services

T = TypeVar("T")
ANSWER_S = 30.0
"""A question to the engine thread is answered within this time or is a bug of ours."""


@dataclass(frozen=True, slots=True)
class HealthReport:
    """How well the service is: the score, what cost the points, every metric and its limits."""

    time_s: float
    health: HealthScore
    metrics: dict[str, Reading]
    limits: dict[str, ControlLimits | None]
    states: tuple[MetricState, ...]
    open_incidents: int


class SelfHealingCoordinator:
    """Watches one service and heals it; a context manager for threads and for asyncio.

    >>> with SelfHealingCoordinator(Settings(project="/srv/shop"), Target(pid=4211)) as engine:
    ...     print(engine.health_report().health.score)

    Every command returns a `concurrent.futures.Future` with a sentence for the person; what
    the person can act on comes as SelfhealError. `asyncio.wrap_future` makes it awaitable.
    """

    def __init__(self, settings: Settings | None = None, target: Target | None = None) -> None:
        """`target` None means: the one service on this machine that carries the probe."""
        self.settings = settings or Settings()
        self.target = target
        self._publisher: Publisher | None = None
        self._early: list[Subscriber] = []
        self._loop: EngineLoop | None = None
        self._parts: Parts | None = None
        self._thread: threading.Thread | None = None
        self._opened = threading.Event()
        self._failure: BaseException | None = None
        self._stop_service: bool | None = None

    # ------------------------------------------------------------ life
    def start(self) -> None:
        """Open the service, start the engine thread, return when ready. Raises SelfhealError."""
        if self._thread is not None:
            raise SelfhealError("the engine was started already: make a new coordinator")
        target = self.target or _only_service(self.settings)
        publisher = self._publisher = Publisher(self.settings.events)
        for subscriber in self._early:
            publisher.subscribe(subscriber)
        try:
            if self.settings.notify:
                publisher.subscribe(Notifier(self.settings.notify, publisher.error))
        except ConfigError:
            publisher.close()
            raise
        self._thread = threading.Thread(
            target=self._run, args=(target, publisher), name="selfheal-engine", daemon=True
        )
        self._thread.start()
        self._opened.wait()
        if self._failure is not None:
            self._thread.join()
            publisher.close()
            raise self._failure

    def stop(self, stop_service: bool | None = None) -> None:
        """End the engine. A service that the engine started ends with it unless told otherwise."""
        if self._thread is None:
            return
        self._stop_service = stop_service
        if self._loop is not None:
            self._loop.stop("stopped")
        self._thread.join()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Until the engine has ended (the service ended, or `stop`); False on timeout."""
        if self._thread is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def __enter__(self) -> SelfHealingCoordinator:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        why: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> SelfHealingCoordinator:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        why: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.stop)

    # ------------------------------------------------------------ looking
    def snapshot(self) -> Snapshot:
        """The newest snapshot. Raises SelfhealError before `start`."""
        snapshot = self._loop.overview.last if self._loop is not None else None
        if snapshot is None:
            raise SelfhealError("the engine has not been started")
        return snapshot

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber` on the engine thread with every snapshot and event; be quick there."""
        if self._publisher is None:
            self._early.append(subscriber)
            return lambda: self._unsubscribe_early(subscriber)
        return self._publisher.subscribe(subscriber)

    def health_report(self) -> HealthReport:
        return report_of(self.snapshot())

    def healing_stats(self) -> HealingStats:
        """Figures over the whole history: detections, success rate, MTTR, downtime avoided.

        Like `history`, also before `start` and after `stop`.
        """
        return self._ask_memory(lambda memory: memory.stats())

    def history(self) -> list[Episode]:
        """Every remembered episode, newest first."""
        return self._ask_memory(lambda memory: memory.episodes())

    # ------------------------------------------------------------ commands
    def approve(self, incident: str, candidate: str) -> Future[str]:
        """Apply a candidate; the answer comes when it is in force in the service."""
        return self._begin(lambda loop, answer: loop.healings.approve(incident, candidate, answer))

    def reject(self, incident: str, candidate: str = "", reason: str = "") -> Future[str]:
        return self._post(lambda _, loop: loop.decisions.reject(incident, candidate, reason))

    def defer(self, incident: str) -> Future[str]:
        return self._post(lambda _, loop: loop.decisions.defer(incident))

    def dismiss(self, incident: str, reason: str = "") -> Future[str]:
        return self._post(lambda _, loop: loop.decisions.dismiss(incident, reason))

    def edit(self, incident: str, candidate: str, new_files: dict[str, bytes]) -> Future[str]:
        return self._post(lambda _, loop: loop.decisions.edit(incident, candidate, new_files))

    def roll_back(self, incident_or_episode: str) -> Future[str]:
        return self._post(lambda _, loop: loop.healings.roll_back(incident_or_episode))

    def write_test(self, incident: str, candidate: str) -> Future[str]:
        return self._post(lambda _, loop: loop.decisions.write_test(incident, candidate))

    def export(self, incident: str, candidate: str, folder: Path | None = None) -> Future[str]:
        where = folder or Path.cwd()
        return self._post(lambda _, loop: loop.decisions.export(incident, candidate, where))

    def restart(self) -> Future[str]:
        """Give the service new processes, as `snapshot().restart` says; answered when they serve.

        By the owner's restart_command, a reload that replaces the processes, or ending and
        starting what this engine started; refused in a sentence where none of them can be.
        """
        return self._begin(lambda loop, answer: loop.restarts.begin(answer))

    def maintenance(self, on: bool) -> Future[str]:
        """Apply nothing, even when asked, until switched off; also after a restart."""

        def switch(parts: Parts, loop: EngineLoop) -> str:
            parts.switch_maintenance(on)
            return "maintenance: nothing is applied" if on else "maintenance is over"

        return self._post(switch)

    def refresh_threads(self) -> Future[str]:
        """Ask the processes for their stacks; they are in a snapshot soon after."""

        def refresh(parts: Parts, loop: EngineLoop) -> str:
            parts.source.refresh_threads()
            loop.ledger.dirty = True
            return ""

        return self._post(refresh)

    # ------------------------------------------------------------ the thread
    def _run(self, target: Target, publisher: Publisher) -> None:
        parts: Parts | None = None
        try:
            parts = open_parts(self.settings, target, publisher)
            loop = EngineLoop(parts)
            loop.begin()
        except BaseException as why:  # noqa: BLE001 - raised again in start()
            self._failure = why
            if parts is not None:
                parts.close(parts.source.service().started_by_us)
            self._opened.set()
            return
        self._parts, self._loop = parts, loop
        reason = "the engine failed"
        try:
            self._opened.set()
            reason = loop.run()
        finally:
            loop.close()
            stop = self._stop_service
            if stop is None:
                stop = parts.source.service().started_by_us and not loop.broken
            parts.close(stop)
            loop.overview.publish_end(reason)
            publisher.close()

    def _post(self, call: Callable[[Parts, EngineLoop], T]) -> Future[T]:
        """Run `call` on the engine thread; its result or exception comes in the future."""
        answer: Future[T] = Future()
        parts, loop, thread = self._parts, self._loop, self._thread
        if parts is None or loop is None or thread is None or not thread.is_alive():
            answer.set_exception(SelfhealError("the engine is not running"))
            return answer

        def run() -> None:
            try:
                answer.set_result(call(parts, loop))
            except Exception as why:  # noqa: BLE001 - handed to whoever asked
                answer.set_exception(why)
            loop.ledger.dirty = True

        loop.post(run)
        return answer

    def _begin(self, call: Callable[[EngineLoop, Future[str]], None]) -> Future[str]:
        """Begin what takes several turns of the loop; the future is answered at its end."""
        answer: Future[str] = Future()
        begun = self._post(lambda _, loop: call(loop, answer))
        begun.add_done_callback(lambda done: _pass_failure(done, answer))
        return answer

    def _ask_memory(self, call: Callable[[EpisodicMemory], T]) -> T:
        parts, thread = self._parts, self._thread
        if parts is not None and thread is threading.current_thread():
            return call(parts.memory)
        if parts is not None and thread is not None and thread.is_alive():
            return self._post(lambda parts, _: call(parts.memory)).result(ANSWER_S)
        memory = EpisodicMemory(self.settings.state_path())
        try:
            return call(memory)
        finally:
            memory.close()

    def _unsubscribe_early(self, subscriber: Subscriber) -> None:
        if subscriber in self._early:
            self._early.remove(subscriber)


def report_of(snapshot: Snapshot) -> HealthReport:
    """The health report that a snapshot holds."""
    return HealthReport(
        time_s=snapshot.time_s,
        health=snapshot.health,
        metrics={state.name: state.reading for state in snapshot.metrics},
        limits={state.name: state.limits for state in snapshot.metrics},
        states=snapshot.metrics,
        open_incidents=sum(not incident.state.ended for incident in snapshot.incidents),
    )


def _pass_failure(done: Future[None], answer: Future[str]) -> None:
    why = done.exception()
    if why is not None:
        answer.set_exception(why)


def _only_service(settings: Settings) -> Target:
    found = list_services(settings.run_path())
    if len(found) == 1:
        return Target(name=found[0].name)
    names = ", ".join(service.name for service in found)
    raise TargetError(
        f"several services carry the probe ({names}): name one"
        if found
        else "no service on this machine carries the probe: start one with "
        "`selfheal-tui run -- COMMAND`, or name a pid, a port or a unit"
    )
