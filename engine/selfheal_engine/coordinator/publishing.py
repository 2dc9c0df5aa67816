"""What leaves the engine thread: events to the file and to subscribers, snapshots to subscribers.

Subscribers are called on the engine thread with immutable values; one that raises is dropped
and the others are told why, so that a broken screen never stops a healing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from selfheal_engine.events import EventWriter
from selfheal_engine.model import Event, Snapshot

Subscriber = Callable[[Snapshot | Event], None]


class Publisher:
    """Hands every event and snapshot on. `subscribe` is safe from any thread."""

    def __init__(self, events_file: str) -> None:
        """Raises ConfigError when the events file cannot be opened."""
        self._events_file = events_file
        self._writer = EventWriter(Path(events_file)) if events_file else None
        self._subscribers: tuple[Subscriber, ...] = ()
        self._lock = threading.Lock()

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber` with everything from now on; the returned function ends that."""
        with self._lock:
            self._subscribers = (*self._subscribers, subscriber)
        return lambda: self._drop(subscriber)

    def event(self, event: Event) -> None:
        if self._writer is not None and not self._writer.write(event) and self._writer.lost == 1:
            text = f"events cannot be written to {self._events_file}: {self._writer.problem}"
            self._tell(Event(event.time_s, "error", {"text": text}))
        self._tell(event)

    def snapshot(self, snapshot: Snapshot) -> None:
        self._tell(snapshot)

    def error(self, text: str, **more: object) -> None:
        """An `error` event: something a person should know that is not about one incident."""
        self.event(Event(time.time(), "error", {"text": text, **more}))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _tell(self, value: Snapshot | Event) -> None:
        for subscriber in self._subscribers:
            try:
                subscriber(value)
            except Exception as why:  # noqa: BLE001 - a screen's bug is not the engine's
                self._drop(subscriber)
                self.error(f"a subscriber failed and was dropped: {type(why).__name__}: {why}")

    def _drop(self, subscriber: Subscriber) -> None:
        with self._lock:
            self._subscribers = tuple(s for s in self._subscribers if s is not subscriber)
