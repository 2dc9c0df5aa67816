"""An engine in another process, used like the coordinator: what `selfheal-tui` attaches to.

Commands return futures, subscribers hear every snapshot and event (on this module's reader
thread), and the engine's own errors arrive as themselves. Leaving ends the view, never the
engine.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from selfheal_engine.codec import from_plain, to_plain
from selfheal_engine.config import Settings
from selfheal_engine.coordinator import wire
from selfheal_engine.coordinator.engine import HealthReport, report_of
from selfheal_engine.coordinator.publishing import Subscriber
from selfheal_engine.errors import SelfhealError, TargetError
from selfheal_engine.model import Episode, Event, HealingStats, Snapshot, Target

ANSWER_S = 30.0
HELLO_S = 5.0


@dataclass(frozen=True, slots=True)
class ServingEngine:
    """One engine on this machine that can be attached to."""

    service: str
    pid: int
    """The engine's own process."""
    pids: tuple[int, ...]
    """The service's processes."""
    path: Path


class RemoteEngine:
    """The coordinator's surface over a socket. Safe to use from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._channel: socket.socket | None = None
        self._sending = threading.Lock()
        self._lock = threading.Lock()
        self._subscribers: tuple[Subscriber, ...] = ()
        self._answers: dict[int, Future[Any]] = {}
        self._number = 0
        self._snapshot: Snapshot | None = None
        self._arrived = threading.Event()
        self._ended = threading.Event()
        self._left = False

    # ------------------------------------------------------------ life
    def start(self) -> None:
        """Attach; returns when the first snapshot is here. Raises TargetError."""
        self._channel, _ = _connect(self._path)
        self._channel.settimeout(None)
        threading.Thread(target=self._read, name="remote-engine", daemon=True).start()
        if not self._arrived.wait(ANSWER_S):
            self.stop()
            raise TargetError(f"the engine at {self._path} does not answer: end it and try again")
        if self._snapshot is None:
            raise TargetError(f"the engine at {self._path} has just ended")

    def stop(self, stop_service: bool | None = None) -> None:
        """Leave; the engine and the service run on, whatever is asked."""
        self._left = True
        if self._channel is not None:
            with suppress(OSError):
                self._channel.shutdown(socket.SHUT_RDWR)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Until the engine has ended or was left; False on timeout."""
        return self._ended.wait(timeout_s)

    def end(self) -> Future[str]:
        """Ask the engine itself to end."""
        return self._call("end")

    def __enter__(self) -> RemoteEngine:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        why: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.stop()

    # ------------------------------------------------------------ looking
    def snapshot(self) -> Snapshot:
        """The newest snapshot. Raises SelfhealError before `start`."""
        if self._snapshot is None:
            raise SelfhealError("no engine is attached")
        return self._snapshot

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        with self._lock:
            self._subscribers = (*self._subscribers, subscriber)
        return lambda: self._drop(subscriber)

    def health_report(self) -> HealthReport:
        return report_of(self.snapshot())

    def healing_stats(self) -> HealingStats:
        return from_plain(HealingStats, self._call("healing_stats").result(ANSWER_S))

    def history(self) -> list[Episode]:
        plain = self._call("history").result(ANSWER_S)
        return [from_plain(Episode, episode) for episode in plain]

    # ------------------------------------------------------------ commands
    def approve(self, incident: str, candidate: str) -> Future[str]:
        return self._call("approve", incident, candidate)

    def reject(self, incident: str, candidate: str = "", reason: str = "") -> Future[str]:
        return self._call("reject", incident, candidate, reason)

    def defer(self, incident: str) -> Future[str]:
        return self._call("defer", incident)

    def dismiss(self, incident: str, reason: str = "") -> Future[str]:
        return self._call("dismiss", incident, reason)

    def edit(self, incident: str, candidate: str, new_files: dict[str, bytes]) -> Future[str]:
        return self._call("edit", incident, candidate, new_files)

    def roll_back(self, incident_or_episode: str) -> Future[str]:
        return self._call("roll_back", incident_or_episode)

    def write_test(self, incident: str, candidate: str) -> Future[str]:
        return self._call("write_test", incident, candidate)

    def export(self, incident: str, candidate: str, folder: Path | None = None) -> Future[str]:
        return self._call("export", incident, candidate, str((folder or Path.cwd()).resolve()))

    def refresh_threads(self) -> Future[str]:
        return self._call("refresh_threads")

    def restart(self) -> Future[str]:
        return self._call("restart")

    def maintenance(self, on: bool) -> Future[str]:
        return self._call("maintenance", on)

    # ------------------------------------------------------------ the channel
    def _call(self, name: str, *arguments: object) -> Future[Any]:
        answer: Future[Any] = Future()
        with self._lock:
            self._number += 1
            number = self._number
            self._answers[number] = answer
        try:
            if self._channel is None or self._ended.is_set():
                raise OSError
            with self._sending:
                message = {"call": name, "id": number, "arguments": to_plain(arguments)}
                wire.send(self._channel, message)
        except OSError:
            self._fail(number)
        return answer

    def _read(self) -> None:
        channel = self._channel
        assert channel is not None
        try:
            while (message := wire.receive(channel)) is not None:
                self._take(message)
        except (OSError, ValueError):
            return  # the end of the view, told to everyone below
        finally:
            self._ended.set()
            self._arrived.set()
            channel.close()
            for number in list(self._answers):
                self._fail(number)
            if not self._left:
                self._tell(Event(time.time(), "stopped", {"reason": "the engine has ended"}))

    def _take(self, message: dict[str, Any]) -> None:
        if "snapshot" in message:
            self._snapshot = from_plain(Snapshot, message["snapshot"])
            self._arrived.set()
            self._tell(self._snapshot)
        elif "event" in message:
            self._tell(from_plain(Event, message["event"]))
        elif "answer" in message:
            with self._lock:
                answer = self._answers.pop(message["answer"], None)
            if answer is None:
                return
            if "error" in message:
                answer.set_exception(wire.error_from_plain(message["error"]))
            else:
                answer.set_result(message["result"])

    def _tell(self, news: Snapshot | Event) -> None:
        for subscriber in self._subscribers:
            try:
                subscriber(news)
            except Exception:  # noqa: BLE001 - a screen's bug must not end the view
                self._drop(subscriber)

    def _drop(self, subscriber: Subscriber) -> None:
        with self._lock:
            self._subscribers = tuple(s for s in self._subscribers if s is not subscriber)

    def _fail(self, number: int) -> None:
        with self._lock:
            answer = self._answers.pop(number, None)
        if answer is not None:
            answer.set_exception(SelfhealError("the engine has ended: attach again"))


def serving_engines(settings: Settings) -> list[ServingEngine]:
    """Every engine of this user that serves on this machine; leftovers of dead ones go."""
    found = []
    for path in sorted(wire.sockets_folder(settings).glob("*.sock")):
        try:
            channel, hello = _connect(path)
        except TargetError:
            continue
        channel.close()
        pids = tuple(int(pid) for pid in hello.get("pids", ()))
        found.append(ServingEngine(str(hello["service"]), int(hello["pid"]), pids, path))
    return found


def find_engine(settings: Settings, target: Target) -> ServingEngine | None:
    """The serving engine that watches `target`, if one does."""
    if target.command:
        return None
    for engine in serving_engines(settings):
        if target.name == engine.service or (target.pid and target.pid in engine.pids):
            return engine
        if target.unit and target.unit.removesuffix(".service") == engine.service:
            return engine
    return None


def _connect(path: Path) -> tuple[socket.socket, dict[str, Any]]:
    """A channel to the engine at `path`, and its first words. Raises TargetError."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    channel.settimeout(HELLO_S)
    try:
        channel.connect(str(path))
        if not wire.same_user(channel):
            raise TargetError(f"the engine at {path} belongs to another user")
        message = wire.receive(channel)
        hello = (message or {}).get("hello")
        if not isinstance(hello, dict):
            raise ValueError("no greeting")
        if hello.get("version") != wire.VERSION:
            raise TargetError(
                f"the engine at {path} is of another version: end it and start it again"
            )
    except ConnectionRefusedError:
        channel.close()
        path.unlink(missing_ok=True)  # its engine is dead
        raise TargetError(f"no engine serves at {path} any more") from None
    except (OSError, ValueError) as why:
        channel.close()
        raise TargetError(f"cannot attach to the engine at {path}: {why}") from None
    except TargetError:
        channel.close()
        raise
    return channel, hello
