"""An engine served over its socket is as good as the engine itself, for several at once."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from selfheal_engine.config import Settings
from selfheal_engine.coordinator import wire
from selfheal_engine.coordinator.remote import RemoteEngine, find_engine, serving_engines
from selfheal_engine.coordinator.server import EngineServer, offer
from selfheal_engine.errors import PatchConflictError, SelfhealError, TargetError
from selfheal_engine.model import (
    Episode,
    Event,
    HealingStats,
    HealthScore,
    ProcessInfo,
    ServiceInfo,
    Snapshot,
    Target,
)

SERVICE = ServiceInfo("shop", "/srv/shop", "shop", (ProcessInfo(4211, 1, "shop", 0.0),))


class Engine:
    """The coordinator's surface; approvals wait until the test decides them."""

    def __init__(self) -> None:
        self.subscribers: list[Callable[[Snapshot | Event], None]] = []
        self.last = Snapshot(1.0, SERVICE, (), HealthScore(90.0), (), ())
        self.calls: list[tuple[object, ...]] = []
        self.approvals: list[Future[str]] = []

    def snapshot(self) -> Snapshot:
        return self.last

    def subscribe(self, subscriber: Callable[[Snapshot | Event], None]) -> Callable[[], None]:
        self.subscribers.append(subscriber)

        def leave() -> None:
            self.subscribers = [s for s in self.subscribers if s is not subscriber]

        return leave

    def publish(self, news: Snapshot | Event) -> None:
        if isinstance(news, Snapshot):
            self.last = news
        for subscriber in self.subscribers:
            subscriber(news)

    def history(self) -> list[Episode]:
        return [Episode("e1", "shop", 1, "TypeError", "f1", "null_check", "healed")]

    def healing_stats(self) -> HealingStats:
        return HealingStats(incidents=3, by_strategy={"null_check": (2, 1)})

    def approve(self, incident: str, candidate: str) -> Future[str]:
        self.calls.append(("approve", incident, candidate))
        answer: Future[str] = Future()
        if self.approvals:
            answer.set_exception(SelfhealError("#1 is approved: nothing waits for approval"))
        else:
            self.approvals.append(answer)
        return answer

    def edit(self, incident: str, candidate: str, new_files: dict[str, bytes]) -> Future[str]:
        self.calls.append(("edit", incident, candidate, new_files))
        answer: Future[str] = Future()
        answer.set_exception(PatchConflictError("shop.py has changed"))
        return answer

    def export(self, incident: str, candidate: str, folder: Path) -> Future[str]:
        self.calls.append(("export", incident, candidate, folder))
        answer: Future[str] = Future()
        answer.set_result("wrote it")
        return answer


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(run_dir=str(tmp_path))


@pytest.fixture
def path(settings: Settings) -> Path:
    return wire.sockets_folder(settings) / "shop.sock"


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def server(engine: Engine, path: Path) -> Iterator[EngineServer]:
    made = EngineServer(engine, path)
    yield made
    made.close()


@pytest.fixture
def viewer(server: EngineServer, path: Path) -> Iterator[RemoteEngine]:
    with RemoteEngine(path) as remote:
        yield remote


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_the_present_state_is_there_at_once(viewer: RemoteEngine, engine: Engine) -> None:
    assert viewer.snapshot() == engine.last
    assert viewer.health_report().health.score == 90.0


def test_snapshots_and_events_arrive(viewer: RemoteEngine, engine: Engine) -> None:
    heard: list[Snapshot | Event] = []
    viewer.subscribe(heard.append)
    engine.publish(Event(2.0, "healed", {"incident": "i1", "mttr_s": 3.5}))
    newer = replace(engine.last, time_s=2.0)
    engine.publish(newer)
    eventually(lambda: len(heard) == 2)
    assert set(map(type, heard)) == {Event, Snapshot}
    assert viewer.snapshot() == newer


def test_what_is_asked_is_answered_with_the_same_types(
    viewer: RemoteEngine, engine: Engine
) -> None:
    assert viewer.history() == engine.history()
    assert viewer.healing_stats() == engine.healing_stats()
    assert viewer.export("i1", "c1", Path("/tmp")).result(5) == "wrote it"
    assert engine.calls == [("export", "i1", "c1", Path("/tmp"))]


def test_bytes_and_errors_travel_as_they_are(viewer: RemoteEngine, engine: Engine) -> None:
    with pytest.raises(PatchConflictError, match=r"shop\.py has changed"):
        viewer.edit("i1", "c1", {"shop.py": b"\x00\xff"}).result(5)
    assert engine.calls == [("edit", "i1", "c1", {"shop.py": b"\x00\xff"})]


def test_two_may_look_at_once_and_one_decision_counts(
    viewer: RemoteEngine, engine: Engine, path: Path
) -> None:
    with RemoteEngine(path) as other:
        first = viewer.approve("i1", "c1")
        eventually(lambda: len(engine.approvals) == 1)
        with pytest.raises(SelfhealError, match="nothing waits for approval"):
            other.approve("i1", "c1").result(5)
        assert not first.done()
        engine.approvals[0].set_result("in force")
        assert first.result(5) == "in force"
        heard: list[Snapshot | Event] = []
        other.subscribe(heard.append)
        engine.publish(Event(2.0, "decision", {"incident": "i1"}))
        eventually(lambda: bool(heard))


def test_leaving_leaves_the_engine(viewer: RemoteEngine, engine: Engine, path: Path) -> None:
    viewer.stop(stop_service=True)
    assert viewer.wait(5)
    with RemoteEngine(path) as again:
        assert again.snapshot() == engine.last


def test_an_engine_that_ends_is_told_to_whoever_looks(
    viewer: RemoteEngine, server: EngineServer
) -> None:
    heard: list[Snapshot | Event] = []
    viewer.subscribe(heard.append)
    waiting = viewer.approve("i1", "c1")
    server.close()
    with pytest.raises(SelfhealError, match="has ended"):
        waiting.result(5)
    assert viewer.wait(5)
    eventually(lambda: bool(heard))
    assert isinstance(heard[-1], Event)
    assert heard[-1].kind == "stopped"
    with pytest.raises(SelfhealError, match="has ended"):
        viewer.defer("i1").result(5)


def test_a_viewer_may_end_the_engine(viewer: RemoteEngine, server: EngineServer) -> None:
    viewer.end().result(5)
    assert server.asked_to_end.is_set()


def test_unknown_calls_are_refused(viewer: RemoteEngine) -> None:
    for name in ("snapshot", "__init__", "subscribe", "stop"):
        with pytest.raises(SelfhealError, match="does not know"):
            viewer._call(name).result(5)


def test_nonsense_ends_only_who_talks_it(viewer: RemoteEngine, path: Path, engine: Engine) -> None:
    for nonsense in (b"\xff\xff\xff\xff", b"\x00\x00\x00\x02[]", b"\x00\x00\x00\x01x", b"GET"):
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(str(path))
            raw.sendall(nonsense)
            raw.shutdown(socket.SHUT_WR)
            while raw.recv(65536):
                continue
    assert viewer.history() == engine.history()


def test_one_that_does_not_read_never_holds_the_engine(
    server: EngineServer, engine: Engine, path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as idle:
        idle.connect(str(path))
        eventually(lambda: len(server._viewers) == 1)
        for number in range(20_000):
            engine.publish(Event(float(number), "sample", {"text": "x" * 100}))
        eventually(lambda: not server._viewers)


def test_the_socket_is_for_its_user_only(server: EngineServer, path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_another_users_connection_is_refused(
    server: EngineServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "same_user", lambda channel: False)
    with pytest.raises(TargetError, match=r"cannot attach|another user"):
        RemoteEngine(path).start()


def test_serving_engines_are_found_by_name_and_pid(
    server: EngineServer, settings: Settings
) -> None:
    (found,) = serving_engines(settings)
    assert (found.service, found.pids) == ("shop", (4211,))
    assert find_engine(settings, Target(name="shop")) == found
    assert find_engine(settings, Target(pid=4211)) == found
    assert find_engine(settings, Target(name="mail")) is None
    assert find_engine(settings, Target(command=("shop",))) is None


def test_a_dead_engines_socket_is_replaced(engine: Engine, path: Path, settings: Settings) -> None:
    path.parent.mkdir(parents=True)
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    assert serving_engines(settings) == []
    server = EngineServer(engine, path)
    with pytest.raises(TargetError, match="another engine serves shop"):
        EngineServer(engine, path)
    server.close()
    assert not path.exists()


def test_no_thread_stays_when_all_have_left(engine: Engine, path: Path) -> None:
    before = threading.active_count()
    server = EngineServer(engine, path)
    with RemoteEngine(path):
        pass
    server.close()
    eventually(lambda: threading.active_count() <= before)


def test_an_engine_with_a_screen_is_not_ended_by_who_attached(
    engine: Engine, settings: Settings
) -> None:
    server = offer(engine, settings, may_end=False)
    (found,) = serving_engines(settings)
    with RemoteEngine(found.path) as remote, pytest.raises(SelfhealError, match="quit it there"):
        remote.end().result(10)
    assert not server.asked_to_end.is_set()
    server.close()


def test_namesakes_are_served_beside_each_other(settings: Settings) -> None:
    servers = [offer(Engine(), settings) for _ in range(3)]
    assert [engine.service for engine in serving_engines(settings)] == ["shop"] * 3
    for server in servers:
        server.close()
    assert serving_engines(settings) == []
