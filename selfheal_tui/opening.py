"""An engine that is still being opened, so that the screen need not wait for it.

Importing and starting the real one takes a second or more (a service to start, numpy to
load). The app is on the screen before; what is asked of the engine meanwhile is answered
with where things stand.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from selfheal_engine.errors import SelfhealError
from selfheal_tui.engine_thread import EngineLike

if TYPE_CHECKING:
    from selfheal_engine.model import Episode, Event, HealingStats, Snapshot

    Subscriber = Callable[[Snapshot | Event], None]


class Stoppable(EngineLike, Protocol):
    """A real engine: also ends."""

    def stop(self, stop_service: bool | None = None) -> None: ...


class OpeningEngine:
    """Stands for the engine that `factory` opens in a thread of its own."""

    def __init__(self, factory: Callable[[], Stoppable]) -> None:
        self._factory = factory
        self._engine: Stoppable | None = None
        self._thread: threading.Thread | None = None
        self._waiting: dict[object, Subscriber] = {}
        self._leave: dict[object, Callable[[], None]] = {}
        self._lock = threading.Lock()
        self.problem: Exception | None = None
        """Why it could not be opened."""

    def open(self, done: Callable[[], None]) -> None:
        """Begin; `done` is called on the opening thread, with `problem` set if it failed."""

        def work() -> None:
            try:
                engine = self._factory()
            except Exception as why:  # noqa: BLE001 - handed to whoever runs the app
                self.problem = why
            else:
                with self._lock:
                    self._engine = engine
                    self._leave = {k: engine.subscribe(call) for k, call in self._waiting.items()}
            done()

        self._thread = threading.Thread(target=work, name="opening")
        self._thread.start()

    def stop(self, stop_service: bool | None = None) -> None:
        """Stop the engine, after waiting for it if it is just being opened."""
        if self._thread is not None:
            self._thread.join()
        if self._engine is not None:
            self._engine.stop(stop_service)

    def subscribe(self, callback: Subscriber) -> Callable[[], None]:
        key = object()
        with self._lock:
            if self._engine is not None:
                return self._engine.subscribe(callback)
            self._waiting[key] = callback

        def unsubscribe() -> None:
            with self._lock:
                self._waiting.pop(key, None)
                leave = self._leave.pop(key, None)
            if leave is not None:
                leave()

        return unsubscribe

    def snapshot(self) -> Snapshot | None:
        return None if self._engine is None else self._engine.snapshot()

    def history(self) -> list[Episode]:
        return self._opened().history()

    def healing_stats(self) -> HealingStats:
        return self._opened().healing_stats()

    def approve(self, incident: str, candidate: str) -> Future[str]:
        return self._opened().approve(incident, candidate)

    def reject(self, incident: str, candidate: str, reason: str) -> Future[str]:
        return self._opened().reject(incident, candidate, reason)

    def defer(self, incident: str) -> Future[str]:
        return self._opened().defer(incident)

    def dismiss(self, incident: str, reason: str) -> Future[str]:
        return self._opened().dismiss(incident, reason)

    def edit(self, incident: str, candidate: str, new_files: dict[str, bytes]) -> Future[str]:
        return self._opened().edit(incident, candidate, new_files)

    def roll_back(self, episode_or_incident: str) -> Future[str]:
        return self._opened().roll_back(episode_or_incident)

    def write_test(self, incident: str, candidate: str) -> Future[str]:
        return self._opened().write_test(incident, candidate)

    def export(self, incident: str, candidate: str, folder: Path) -> Future[str]:
        return self._opened().export(incident, candidate, folder)

    def maintenance(self, on: bool) -> Future[str]:
        return self._opened().maintenance(on)

    def restart(self) -> Future[str]:
        return self._opened().restart()

    def refresh_threads(self) -> Future[str]:
        if self._engine is not None:
            return self._engine.refresh_threads()
        future: Future[str] = Future()
        future.set_exception(SelfhealError("the service is still being opened"))
        return future

    def _opened(self) -> Stoppable:
        if self._engine is None:
            raise SelfhealError("the service is still being opened: wait a moment")
        return self._engine
