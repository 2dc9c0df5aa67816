"""A child process that is waited for far longer than usual is told; a supervisor's is not."""

from __future__ import annotations

import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfheal_agent import ended_waits, long_waits
from selfheal_agent.capture import Capture
from selfheal_agent.long_waits import LongWaitWatch
from tests.agent.conftest import MakeModule

CONVERTER = """
    import os
    import subprocess
    import sys

    STOP = os.path.join(os.path.dirname(__file__), "stop")
    CHILD = "import os, sys, time; end = time.monotonic() + float(sys.argv[1])\\n"
    CHILD += "while time.monotonic() < end and not os.path.exists(sys.argv[2]): time.sleep(0.02)"


    def run(seconds):
        subprocess.run([sys.executable, "-S", "-c", CHILD, str(seconds), STOP])


    def fork(seconds):
        words = [sys.executable, "-S", "-c", CHILD, str(seconds), STOP]
        pid = os.posix_spawn(sys.executable, words, {})
        os.waitpid(pid, 0)


    def work(convert, shorts):
        for _ in range(shorts):
            convert(0.1)
        convert(600)
"""


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> tuple[LongWaitWatch, list[dict[str, Any]]]:
    monkeypatch.setattr(long_waits, "STUCK_S", 0.3)
    monkeypatch.setattr(long_waits, "USUAL_MIN_S", 0.1)
    told: list[dict[str, Any]] = []
    return LongWaitWatch(Capture(told.append, lambda tb: None)), told


def looked(watch: LongWaitWatch, enough: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not enough():
        assert time.monotonic() < end
        watch.look()
        time.sleep(0.02)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("how", ["run", "fork"])
def test_a_child_that_hangs_is_told_where_it_is_waited_for(
    how: str,
    tmp_path: Path,
    make_module: MakeModule,
    watch: tuple[LongWaitWatch, list[dict[str, Any]]],
) -> None:
    module = make_module("converter", CONVERTER)
    thread = threading.Thread(target=module.work, args=(getattr(module, how), 8), daemon=True)
    thread.start()
    try:
        looked(watch[0], lambda: watch[1])
    finally:
        (tmp_path / "stop").touch()
        thread.join()
    [record] = watch[1]
    own = [frame for frame in record["frames"] if frame["own"]]
    assert [frame["function"].rpartition(".")[2] for frame in own] == ["work", how]
    assert record["durations_s"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_child_that_was_never_seen_to_end_is_a_supervisors(
    tmp_path: Path, make_module: MakeModule, watch: tuple[LongWaitWatch, list[dict[str, Any]]]
) -> None:
    module = make_module("converter", CONVERTER)
    thread = threading.Thread(target=module.work, args=(module.run, 0), daemon=True)
    thread.start()
    begun = time.monotonic()
    try:
        looked(watch[0], lambda: watch[0]._stood and time.monotonic() > begun + 2)
    finally:
        (tmp_path / "stop").touch()
        thread.join()
    assert watch[1] == []


POLLER = """
    import queue
    import socket


    def ask(address):
        with socket.create_connection(address) as peer:
            peer.sendall(b"how are you")
            return peer.recv(100)


    def listen(peer):
        return peer.recv(100)


    def work(address, rounds):
        for _ in range(rounds):
            ask(address)


    def idle(waiting):
        return waiting.get()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_an_answer_that_does_not_come_is_told_and_a_thread_that_waits_for_work_is_not(
    make_module: MakeModule,
    watch: tuple[LongWaitWatch, list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(long_waits, "SILENT_S", 0.5)
    monkeypatch.setattr(long_waits, "ELSEWHERE", 3)
    module = make_module("poller", POLLER)
    waiting: queue.Queue[None] = queue.Queue()
    ours, news = socket.socketpair()
    clients = []

    def answer(listening: socket.socket) -> None:
        for number in range(12):  # the last one is never answered
            client = listening.accept()[0]
            clients.append(client)
            client.recv(100)
            if number < 11:
                time.sleep(0.05)
                client.sendall(b"well")

    with socket.create_server(("127.0.0.1", 0)) as listening, ours, news:
        threads = [
            threading.Thread(target=answer, args=(listening,), daemon=True),
            threading.Thread(target=module.work, args=(listening.getsockname(), 12), daemon=True),
            threading.Thread(target=module.listen, args=(news,), daemon=True),
            threading.Thread(target=module.idle, args=(waiting,), daemon=True),
        ]
        for thread in threads:
            thread.start()
        begun = time.monotonic()
        looked(watch[0], lambda: watch[1] and time.monotonic() > begun + 2.5)
        for client in clients:
            client.close()
        waiting.put(None)
        ours.sendall(b"news")
        for thread in threads:
            thread.join(5)
    assert watch[1]
    for record in watch[1]:  # it may be told more than once while it lasts
        own = [frame for frame in record["frames"] if frame["own"]]
        assert [frame["function"] for frame in own] == ["work", "ask"]
        assert "an answer" in record["message"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_waits_too_short_to_be_seen_are_heard(
    tmp_path: Path,
    make_module: MakeModule,
    watch: tuple[LongWaitWatch, list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = subprocess.Popen.communicate
    monkeypatch.setattr(subprocess.Popen, "communicate", ended_waits.heard(plain))
    ended_waits.ended.clear()
    module = make_module("converter", CONVERTER)
    for _ in range(long_waits.USUAL_FEW):
        module.run(0)
    assert len(ended_waits.ended) == long_waits.USUAL_FEW
    thread = threading.Thread(target=module.run, args=(600,), daemon=True)
    thread.start()
    try:
        looked(watch[0], lambda: watch[1])
    finally:
        (tmp_path / "stop").touch()
        thread.join()
    assert len(watch[1][0]["durations_s"]) == long_waits.USUAL_FEW
