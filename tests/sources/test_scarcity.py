"""No memory, no disk, no descriptors: the service answers all the same, and drops are shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from selfheal_agent import spooling
from selfheal_agent.launch import environment
from selfheal_engine.sources.discovery import read_cards
from selfheal_engine.sources.probes import ProbeSet
from tests.sources.conftest import Start

pytestmark = pytest.mark.e2e

SERVER = """
    import resource
    import sys
    from http.server import BaseHTTPRequestHandler, HTTPServer

    KEPT = []


    def crash(rows):
        picture = rows + rows
        return picture["none"]


    def fill():
        try:
            while True:
                KEPT.append(bytearray(500_000))
        finally:
            del KEPT[-3:]


    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/scarce":
                with open("/proc/self/statm") as stream:
                    size = int(stream.read().split()[0]) * resource.getpagesize()
                resource.setrlimit(resource.RLIMIT_AS, (size + 8_000_000,) * 2)
            try:
                if self.path == "/crash":
                    crash(["x" * 1_000_000])
                if self.path == "/fill":
                    fill()
            finally:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"ok")

        def log_message(self, *args):
            pass


    class Server(HTTPServer):
        def handle_error(self, request, client_address):
            pass  # a traceback that the full disk does not take would end the server


    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_a_service_at_its_memory_limit_is_still_watched(start: Start) -> None:
    service = start({"server.py": SERVER}, sys.executable, "{project}/server.py", "{port}")
    service.until(lambda: service.get("/") == 200)
    assert service.get("/scarce") == 200
    for _ in range(3):
        assert service.get("/fill") == 200
        assert [service.get("/crash") for _ in range(10)] == [200] * 10

    def each_is_told() -> bool:
        service.source.sample(time.time())
        crashes = service.source._probes.exceptions
        return crashes >= 33 and sum(o.count for o in service.seen) == crashes

    service.until(each_is_told)
    service.until(lambda: service.requests() == 35)
    assert "fill" in {o.crash.function for o in service.seen if o.crash is not None}


def test_a_service_on_a_full_disk_is_found_and_watched(start: Start) -> None:
    shell = f"ulimit -f 0; exec {sys.executable} {{project}}/server.py {{port}}"
    service = start({"server.py": SERVER}, "/bin/sh", "-c", shell)
    service.until(lambda: service.get("/") == 200)
    service.until(lambda: service.probes() == 1)
    run_dir = Path(service.source._settings.run_dir)
    assert not list(run_dir.glob("*.json")), "no card could be written"
    assert [card.pid for card in read_cards(run_dir)] == [service.source.root_pid]
    assert service.get("/crash") == 200
    service.until(lambda: [o.count for o in service.seen if o.exception == "TypeError"] == [1])

    def said() -> bool:
        service.source.sample(time.time())
        return any("no card" in note for note in service.source.notes())

    service.until(said)


CRASHES = """
    import logging
    for number in range({count}):
        scope = {{}}
        exec(compile("def f():\\n    [][1]", f"{{number}}.py", "exec"), scope)
        try:
            scope["f"]()
        except IndexError:
            logging.exception("failed")
"""


def run_alone(tmp_path: Path, *, before: str = "", count: int = 1) -> tuple[int, ProbeSet]:
    """A program that crashes while nobody watches; its pid and what reads it afterwards."""
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(CRASHES.format(count=count)))
    process = subprocess.Popen(
        ["/bin/sh", "-c", f"{before} exec {sys.executable} {program}"],
        env=environment(os.environ, "alone", str(tmp_path / "run"), str(tmp_path)),
        stderr=subprocess.DEVNULL,
    )
    process.wait()
    return process.pid, ProbeSet(tmp_path / "run", process.pid)


def test_what_a_full_disk_cut_off_is_counted_and_said(tmp_path: Path) -> None:
    pid, probes = run_alone(tmp_path, before="ulimit -f 0;")
    assert probes.left_behind() == []
    assert probes.drops == 1
    assert probes.notes == {
        f"process {pid} could not write down all it left: is the disk full?": None
    }
    probes.close()


def test_records_that_nobody_came_for_are_bounded_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spooling, "MAX_FILES", 3)
    monkeypatch.setattr(spooling, "MAX_OF_ALL", 5)
    record = b'{"t":"occurrence","record":{}}\n'
    for pid in range(10, 15):
        assert spooling.spool(str(tmp_path), pid, "9", [record] * 2)
    probes = ProbeSet(tmp_path, 9)
    assert len(probes.left_behind()) == 6
    assert probes.drops == 4
    assert not list(tmp_path.iterdir())
    for root in range(20, 28):
        assert spooling.spool(str(tmp_path), root, str(root), [record])
    left = sorted(int(path.name.split("-")[0]) for path in tmp_path.iterdir())
    assert left == [23, 24, 25, 26, 27], "the oldest went"
    probes.close()


def test_what_the_budget_left_out_is_told_with_what_is_left_behind(tmp_path: Path) -> None:
    _, probes = run_alone(tmp_path, count=100)
    left = probes.left_behind()
    assert probes.exceptions == 100
    assert sum(message["record"]["count"] for _, message in left) <= 100
    assert json.dumps(left)
    probes.close()
