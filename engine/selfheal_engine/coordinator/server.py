"""Offers a running engine to viewers over a unix socket; see `wire` for what travels.

Each viewer has a thread that reads its calls and one that writes to it. A slow viewer misses
snapshots (only the newest waits for it), and one that does not read at all is let go; the
engine's thread never waits for any of them.
"""

from __future__ import annotations

import os
import socket
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from selfheal_engine.codec import from_plain, to_plain
from selfheal_engine.config import Settings
from selfheal_engine.coordinator import wire
from selfheal_engine.errors import SelfhealError, TargetError
from selfheal_engine.model import Episode, Event, HealingStats, Snapshot

BACKLOG = 5000
"""Events and answers that wait for one viewer at most; then it is let go."""

NAMESAKES = 9
"""So many services of one name can be offered at once."""

COMMANDS = (
    "approve",
    "reject",
    "defer",
    "dismiss",
    "edit",
    "roll_back",
    "write_test",
    "export",
    "refresh_threads",
    "maintenance",
    "restart",
)


class Engine(Protocol):
    """What of the coordinator is offered; the commands are looked up by name."""

    def snapshot(self) -> Snapshot: ...
    def subscribe(self, subscriber: Callable[[Snapshot | Event], None]) -> Callable[[], None]: ...
    def history(self) -> list[Episode]: ...
    def healing_stats(self) -> HealingStats: ...


class EngineServer:
    """Listens until closed. `asked_to_end` is set when a viewer asks the engine to end."""

    def __init__(self, engine: Engine, path: Path, *, may_end: bool = True) -> None:
        """`may_end`: viewers may ask the engine to end. Raises TargetError when another engine
        serves there.
        """
        self._engine = engine
        self._may_end = may_end
        self._path = path
        self._viewers: set[Viewer] = set()
        self._lock = threading.Lock()
        self.asked_to_end = threading.Event()
        self._listener = _listen(path)
        self._unsubscribe = engine.subscribe(self._tell)
        self._thread = threading.Thread(target=self._accept, name="engine-server", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let every viewer go and remove the socket."""
        self._unsubscribe()
        with suppress(OSError):
            self._path.unlink()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            viewers = list(self._viewers)
        for viewer in viewers:
            viewer.close(at_once=False)
        self._thread.join(2.0)

    def _accept(self) -> None:
        while True:
            try:
                channel, _ = self._listener.accept()
            except OSError:
                return  # closed
            if not wire.same_user(channel):
                channel.close()
                continue
            asked_to_end = self.asked_to_end if self._may_end else None
            viewer = Viewer(channel, self._engine, self._gone, asked_to_end)
            with self._lock:
                self._viewers.add(viewer)
            viewer.start()

    def _tell(self, news: Snapshot | Event) -> None:
        with self._lock:
            viewers = tuple(self._viewers)
        for viewer in viewers:
            viewer.tell(news)

    def _gone(self, viewer: Viewer) -> None:
        with self._lock:
            self._viewers.discard(viewer)


class Viewer:
    """One attached app."""

    def __init__(
        self,
        channel: socket.socket,
        engine: Engine,
        gone: Callable[[Viewer], None],
        asked_to_end: threading.Event | None,
    ) -> None:
        self._channel = channel
        self._engine = engine
        self._gone = gone
        self._asked_to_end = asked_to_end
        self._changed = threading.Condition()
        self._waiting: deque[dict[str, Any] | Event] = deque()
        self._snapshot: Snapshot | None = None
        self._closed = False

    def start(self) -> None:
        snapshot = self._engine.snapshot()
        service = snapshot.service
        hello = {
            "version": wire.VERSION,
            "pid": os.getpid(),
            "service": service.name,
            "pids": [process.pid for process in service.processes],
        }
        self._put({"hello": hello})
        self.tell(snapshot)
        threading.Thread(target=self._write, name="viewer-out", daemon=True).start()
        threading.Thread(target=self._read, name="viewer-in", daemon=True).start()

    def tell(self, news: Snapshot | Event) -> None:
        """Called on the engine thread: only notes what is to be sent."""
        if isinstance(news, Event):
            self._put(news)
            return
        with self._changed:
            self._snapshot = news
            self._changed.notify()

    def close(self, at_once: bool = True) -> None:
        """Let it go; not `at_once`: when all that waits for it is sent."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if at_once:
            with suppress(OSError):
                self._channel.shutdown(socket.SHUT_RDWR)
        self._gone(self)

    def _put(self, message: dict[str, Any] | Event) -> None:
        with self._changed:
            self._waiting.append(message)
            self._changed.notify()
            full = len(self._waiting) > BACKLOG
        if full:
            self.close()

    # ------------------------------------------------------------ out
    def _write(self) -> None:
        try:
            while (message := self._next()) is not None:
                wire.send(self._channel, message)
        except OSError:
            self.close()
        finally:
            with suppress(OSError):  # closing alone would not wake the thread that reads
                self._channel.shutdown(socket.SHUT_RDWR)
            self._channel.close()

    def _next(self) -> dict[str, Any] | None:
        """What is to be sent next; None at the end."""
        with self._changed:
            while not self._waiting and self._snapshot is None:
                if self._closed:
                    return None
                self._changed.wait()
            if self._waiting:
                item = self._waiting.popleft()
                return {"event": to_plain(item)} if isinstance(item, Event) else item
            snapshot, self._snapshot = self._snapshot, None
        return {"snapshot": to_plain(snapshot)}

    # ------------------------------------------------------------ in
    def _read(self) -> None:
        try:
            while (message := wire.receive(self._channel)) is not None:
                self._answer(message)
        except (OSError, ValueError):
            return  # it went away, or talks nonsense: either way it is let go
        finally:
            self.close()

    def _answer(self, message: dict[str, Any]) -> None:
        number = message.get("id")
        try:
            result = self._call(str(message.get("call")), message.get("arguments") or [])
        except Exception as why:  # noqa: BLE001 - told to who asked
            self._put({"answer": number, "error": wire.error_to_plain(why)})
            return
        if not isinstance(result, Future):
            self._put({"answer": number, "result": to_plain(result)})
            return

        def done(future: Future[str]) -> None:
            why = future.exception()
            if why is not None:
                self._put({"answer": number, "error": wire.error_to_plain(why)})
            else:
                self._put({"answer": number, "result": future.result()})

        result.add_done_callback(done)

    def _call(self, name: str, arguments: list[Any]) -> object:
        if name == "history":
            return self._engine.history()
        if name == "healing_stats":
            return self._engine.healing_stats()
        if name == "end":
            if self._asked_to_end is None:
                raise SelfhealError(
                    f"this engine belongs to the screen of process {os.getpid()}: quit it there"
                )
            self._asked_to_end.set()
            return "the engine ends"
        if name not in COMMANDS:
            raise SelfhealError(f"this engine does not know {name!r}: is it an older version?")
        if name == "edit":
            arguments = [*arguments[:2], from_plain(dict[str, bytes], arguments[2])]
        if name == "export":
            arguments = [*arguments[:2], Path(arguments[2])]
        command: Callable[..., Future[str]] = getattr(self._engine, name)
        return command(*arguments)


def offer(engine: Engine, settings: Settings, *, may_end: bool = True) -> EngineServer:
    """Serve the engine under its service's name, or the first free one of its namesakes.

    Raises TargetError when no socket can be made.
    """
    name = engine.snapshot().service.name
    folder = wire.sockets_folder(settings)
    for number in range(1, NAMESAKES + 1):
        path = folder / (f"{name}.sock" if number == 1 else f"{name}-{number}.sock")
        if not _answers(path):
            return EngineServer(engine, path, may_end=may_end)
    raise TargetError(f"{NAMESAKES} engines serve services named {name} already")


def _listen(path: Path) -> socket.socket:
    """A listening socket at `path`, in place of one that a dead engine left."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if _answers(path):
            listener.close()
            raise TargetError(
                f"another engine serves {path.stem} already: selfheal-tui attach {path.stem}"
            )
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(8)
    except OSError as why:
        raise TargetError(f"cannot listen at {path}: {why.strerror or why}") from None
    return listener


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
