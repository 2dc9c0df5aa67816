"""The bridge between the engine's thread and the app's: snapshots in, requests out.

The engine calls back on its own thread; here that becomes messages. A snapshot may replace
one that still waits, so that a slow terminal drops frames; events are never dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from textual.app import App
from textual.message import Message

from selfheal_engine.errors import SelfhealError

if TYPE_CHECKING:
    from selfheal_engine.model import Episode, Event, HealingStats, Snapshot


class EngineLike(Protocol):
    """What the app needs of the coordinator; every command answers with a sentence."""

    def snapshot(self) -> Snapshot | None: ...
    def subscribe(self, callback: Callable[[Snapshot | Event], None]) -> Callable[[], None]: ...
    def history(self) -> list[Episode]: ...
    def healing_stats(self) -> HealingStats: ...
    def approve(self, incident: str, candidate: str) -> Future[str]: ...
    def reject(self, incident: str, candidate: str, reason: str) -> Future[str]: ...
    def defer(self, incident: str) -> Future[str]: ...
    def dismiss(self, incident: str, reason: str) -> Future[str]: ...
    def edit(self, incident: str, candidate: str, new_files: dict[str, bytes]) -> Future[str]: ...
    def roll_back(self, episode_or_incident: str) -> Future[str]: ...
    def write_test(self, incident: str, candidate: str) -> Future[str]: ...
    def export(self, incident: str, candidate: str, folder: Path) -> Future[str]: ...
    def refresh_threads(self) -> Future[str]: ...
    def maintenance(self, on: bool) -> Future[str]: ...
    def restart(self) -> Future[str]: ...


@dataclass
class SnapshotArrived(Message, bubble=False):
    """The engine published its state."""

    snapshot: Snapshot

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, SnapshotArrived)


@dataclass
class EventArrived(Message, bubble=False):
    """Something happened that must not be missed."""

    event: Event


@dataclass
class Answered(Message, bubble=False):
    """A command is done: a sentence for the person, and whether it went well."""

    what: str
    text: str
    ok: bool
    then: Callable[[bool], None] | None = None


class EngineBridge:
    """Carries the engine's callbacks to the app, and the app's commands to the engine."""

    def __init__(self, engine: EngineLike, app: App[int]) -> None:
        self.engine = engine
        self._app = app
        self._unsubscribe: Callable[[], None] | None = None

    def open(self) -> None:
        """Subscribe, and deliver the present state at once."""
        self._unsubscribe = self.engine.subscribe(self._on_engine)
        snapshot = self.engine.snapshot()
        if snapshot is not None:
            self._app.post_message(SnapshotArrived(snapshot))

    def close(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def ask(
        self, what: str, future: Future[str], then: Callable[[bool], None] | None = None
    ) -> None:
        """Tell the app when the command's future is done; `then` runs in the app's thread."""

        def done(finished: Future[str]) -> None:
            if finished.cancelled():
                self._app.post_message(Answered(what, "given up", False, then))
                return
            why = finished.exception()
            if why is None:
                self._app.post_message(Answered(what, finished.result(), True, then))
            elif isinstance(why, SelfhealError):
                self._app.post_message(Answered(what, str(why), False, then))
            else:
                text = f"{type(why).__name__}: {why}"
                self._app.post_message(Answered(what, text, False, then))

        future.add_done_callback(done)

    def _on_engine(self, news: Snapshot | Event) -> None:
        from selfheal_engine.model import Snapshot  # loaded by the engine that sends one

        if isinstance(news, Snapshot):
            self._app.post_message(SnapshotArrived(news))
        else:
            self._app.post_message(EventArrived(news))
