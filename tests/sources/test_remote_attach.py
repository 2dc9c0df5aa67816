"""A service that runs without the probe takes it where its Python can, and is told why not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from selfheal_engine.config import Settings
from selfheal_engine.model import Target
from selfheal_engine.sources import open_source
from selfheal_engine.sources.remote_attach import enter
from tests.sources.conftest import Running, free_port

SERVICE = """\
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def zip_of(order):
    return order["address"]["zip"]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/crash":
            zip_of({"address": None})
        self.send_response(204)
        self.end_headers()


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
NEW = shutil.which("python3.14")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="this Python takes the probe")
def test_an_older_python_is_watched_from_outside_and_says_what_else_there_is(
    sleeper: subprocess.Popen[bytes], settings: Settings
) -> None:
    source = open_source(Target(pid=sleeper.pid), settings)
    try:
        (note,) = [note for note in source.notes() if "takes no probe" in note]
        assert f"{sys.version_info[0]}.{sys.version_info[1]}" in note
        assert "selfheal-tui probe -- CMD" in note
        assert "--log" in note
        assert source.service().alive
    finally:
        source.close(stop_service=False)
    assert sleeper.poll() is None


def test_what_is_no_python_is_left_alone(tmp_path: Path) -> None:
    sleep = shutil.which("sleep")
    if sleep is None:
        pytest.skip("there is no sleep(1)")
    process = subprocess.Popen([sleep, "600"])
    try:
        assert "no Python program" in enter(process.pid, "sleep", tmp_path, "")
        assert not list(tmp_path.iterdir())
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(NEW is None, reason="needs a python3.14 on the PATH")
def test_a_running_service_takes_the_probe_without_a_restart(settings: Settings) -> None:
    project = Path(settings.project)
    (project / "service.py").write_text(SERVICE)
    port = free_port()
    process = subprocess.Popen([str(NEW), "service.py", str(port)], cwd=project)
    try:
        probe = Running(None, port, project)  # type: ignore[arg-type]
        while probe.get("/") != 204:
            assert process.poll() is None
        probe.source = open_source(Target(pid=process.pid), settings)
        probe.until(probe.probes)
        assert probe.get("/crash") == 0
        probe.until(lambda: probe.count() == 1)
        assert probe.seen[0].crash is not None
        assert probe.seen[0].crash.function == "zip_of"
        assert probe.seen[0].crash.arguments
        probe.source.close(stop_service=False)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
