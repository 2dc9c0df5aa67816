"""What waits: deques that are used as queues, a broker's lists, a spool folder."""

from __future__ import annotations

import socketserver
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from selfheal_engine.config import Settings
from selfheal_engine.sources import ServiceSource
from selfheal_engine.sources.brokers import Brokers, lengths
from tests.sources.conftest import Start

DEQUES = """
    import collections
    import queue
    import threading
    import time

    free_connections = queue.LifoQueue(10)
    for _ in range(10):
        free_connections.put(None)
    mails = queue.Queue()
    mails.put("hello")
    jobs = collections.deque(range(7))
    window = collections.deque(range(100))
    last = collections.deque(range(50), maxlen=50)


    class Pump:
        def __init__(self):
            self.inbox = collections.deque("abc")

        def step(self):
            item = self.inbox.popleft()
            print(item)

        def run(self, stop):
            while not stop.wait(1):
                if stop.is_set():
                    self.step()


    def work():
        return jobs.popleft()


    def trim():
        while len(window) > 100:
            window.popleft()


    def recent():
        return last.popleft()


    threading.Thread(target=Pump().run, args=(threading.Event(),)).start()
"""


def test_what_is_taken_to_be_used_waits_and_a_window_or_a_pool_does_not(start: Start) -> None:
    service = start({"pump.py": DEQUES}, sys.executable, "{project}/pump.py")
    service.until(lambda: _depth(service.source) == 11)


def _depth(source: ServiceSource) -> float | None:
    return source.sample(time.time()).readings["queue_depth"].value


class Redis(socketserver.StreamRequestHandler):
    """As much of a Redis as knows lengths."""

    lists: ClassVar[dict[str, int]] = {"celery": 12, "rq:queue:default": 3}
    heard: ClassVar[list[list[str]]] = []

    def handle(self) -> None:
        while line := self.rfile.readline():
            words = []
            for _ in range(int(line[1:])):
                self.rfile.readline()
                words.append(self.rfile.readline().decode().strip())
            self.heard.append(words)
            self.wfile.write(self.answer(words))

    def answer(self, words: list[str]) -> bytes:
        if words[0] in ("AUTH", "SELECT"):
            return b"+OK\r\n" if words[-1] != "wrong" else b"-WRONGPASS\r\n"
        return b":%d\r\n" % self.lists.get(words[1], 0)


@pytest.fixture
def redis() -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Redis) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"redis://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def broker(url: str, **more: Any) -> dict[str, Any]:
    return {"url": url, "keys": ["celery", "rq:queue:default"], "user": "", **more}


def test_the_lists_of_a_broker_are_asked_for_their_lengths(redis: str) -> None:
    assert lengths(broker(f"{redis}/3", password="p")) == 15
    assert Redis.heard[-4:-2] == [["AUTH", "p"], ["SELECT", "3"]]
    told = broker(f"{redis}/0")
    assert Brokers().waiting([told, told]) == 15, "two workers tell of one broker"


def test_a_broker_that_refuses_or_is_gone_says_nothing(redis: str) -> None:
    brokers = Brokers()
    assert brokers.waiting([broker(f"{redis}/0", password="wrong")]) is None
    assert brokers.waiting([broker("redis://127.0.0.1:1/0")]) is None
    asked = len(Redis.heard)
    assert brokers.waiting([broker(f"{redis}/0", password="wrong")]) is None
    assert len(Redis.heard) == asked, "it is left alone for a while"


def test_files_of_the_spool_folder_wait(start: Start, settings: Settings, tmp_path: Path) -> None:
    service = start(
        {"idle.py": "import time\ntime.sleep(600)\n"}, sys.executable, "{project}/idle.py"
    )
    for name in ("a", "b"):
        (tmp_path / "spool").mkdir(exist_ok=True)
        (tmp_path / "spool" / name).touch()
    service.source._settings = replace(settings, queue_dir=str(tmp_path / "spool"))
    service.until(lambda: _depth(service.source) == 2)
