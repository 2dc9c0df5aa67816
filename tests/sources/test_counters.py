"""What forecasts and signatures read beside the seven metrics, from a real process."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfheal_engine.config import Settings
from selfheal_engine.sources import procfs
from tests.sources.conftest import Start

BUSY = """
    import gc
    import http.client
    import queue
    import threading
    import time
    from http.server import BaseHTTPRequestHandler, HTTPServer

    jobs = queue.Queue(maxsize=9)
    jobs.put("waits")


    class Slow(BaseHTTPRequestHandler):
        def do_GET(self):
            time.sleep(0.06)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            pass


    server = HTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    kept = [[] for _ in range(200_000)]
    while True:
        gc.collect()
        call = http.client.HTTPConnection("127.0.0.1", server.server_port)
        call.request("GET", "/")
        call.getresponse().read()
        call.close()
"""


def test_pauses_outgoing_calls_and_the_room_of_queues_are_counted(
    start: Start, settings: Settings
) -> None:
    service = start({"busy.py": BUSY}, sys.executable, "{project}/busy.py")
    service.source._settings = replace(settings, latency_budget_ms=250.0)
    seen: dict[str, float] = {}

    def complete() -> Any:
        seen.clear()
        seen.update(service.source.sample(time.time()).counters)
        return seen.get("gc_share") and seen.get("upstream_ms") and "queue_limit" in seen

    service.until(complete)
    assert seen["upstream_ms"] >= 60.0
    assert seen["gc_share"] > 0.0
    assert (seen["queue_limit"], seen["latency_budget_ms"]) == (9.0, 250.0)


@pytest.mark.parametrize(
    ("group", "file", "content", "limit"),
    [
        ("0::/svc", "svc/pids.max", "512\n", 512.0),
        ("0::/svc", "svc/pids.max", "max\n", None),
        ("0::/svc", "other/pids.max", "512\n", None),
        ("7:pids:/svc", "pids/svc/pids.max", "64\n", 64.0),
    ],
)
def test_the_limit_of_threads_is_the_control_group_s(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    group: str,
    file: str,
    content: str,
    limit: float | None,
) -> None:
    for name, text in (("proc/7/cgroup", group + "\n"), (f"sys/fs/cgroup/{file}", content)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(procfs, "Path", lambda path: tmp_path / path.lstrip("/"))
    assert procfs.threads_limit(7) == limit
