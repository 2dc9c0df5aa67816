"""A service that runs without the probe takes it where its Python can, and is told why not."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from selfheal_engine.config import Settings
from selfheal_engine.model import Target
from selfheal_engine.sources import open_source, remote_attach
from selfheal_engine.sources.remote_attach import enter
from tests.sources.conftest import GUNICORN, Running, free_port

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
WSGI = """\
def zip_of(order):
    return order["address"]["zip"]


def app(environ, start_response):
    if environ["PATH_INFO"] == "/crash":
        zip_of({"address": None})
    start_response("204 No Content", [])
    return []
"""
CONFIG = """\
import pathlib, signal

def enter(*_):
    [entry] = pathlib.Path({run_dir!r}).glob("enter-*.py")
    exec(compile(entry.read_text(), str(entry), "exec"), {{"__name__": "entry"}})

signal.signal(signal.SIGRTMIN, enter)
"""
"""Stands for sys.remote_exec: the file is run by the main thread, between two of its steps."""
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


@pytest.fixture
def takes_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the probe enter by a signal, as a service of an older Python can be entered."""

    def run_in(_python: str, pid: int, _entry: Path) -> str:
        os.kill(pid, signal.SIGRTMIN)
        return ""

    monkeypatch.setattr(remote_attach, "FIRST", sys.version_info[:2])
    monkeypatch.setattr(remote_attach, "_remote_exec", run_in)


@contextmanager
def gunicorn(settings: Settings, source: str, words: str) -> Iterator[tuple[Running, Target]]:
    """gunicorn with two workers, which nothing watches yet."""
    project = Path(settings.project)
    loading = "import os\nopen(f'{os.getpid()}.loading', 'w').close()\n"
    (project / "shop.py").write_text(loading + source)
    (project / "conf.py").write_text(CONFIG.format(run_dir=settings.run_dir))
    port = free_port()
    command = [GUNICORN, "-c", "conf.py", "-w", "2", "-b", f"127.0.0.1:{port}", *words.split()]
    process = subprocess.Popen([*command, "shop:app"], cwd=project)
    service = Running(None, port, project)  # type: ignore[arg-type]
    try:
        while len(list(project.glob("*.loading"))) < 2:  # both are past their own start
            assert process.poll() is None
        yield service, Target(pid=process.pid)
        service.source.close(stop_service=False)
    finally:
        process.terminate()
        process.wait()


def crashes_are_counted(service: Running) -> None:
    assert [service.get("/crash") for _ in range(6)] == [500] * 6
    service.until(lambda: service.count() == 6)
    service.until(lambda: service.requests() == 6)
    assert {o.crash.function for o in service.seen if o.crash is not None} == {"zip_of"}


@pytest.mark.usefixtures("takes_signals")
@pytest.mark.parametrize("kind", ["sync", "gthread"])
def test_every_process_of_a_running_gunicorn_takes_the_probe(kind: str, settings: Settings) -> None:
    with gunicorn(settings, WSGI, f"-k {kind}") as (service, target):
        while service.get("/") != 204:
            pass
        service.source = open_source(target, settings)
        service.until(lambda: service.probes() == 3)
        assert service.source.notes() == ()
        crashes_are_counted(service)


@pytest.mark.usefixtures("takes_signals")
def test_a_worker_entered_while_it_loads_its_application_is_counted(settings: Settings) -> None:
    """Its application is being made when the probe looks for what is there already."""
    slow = "import pathlib, time\nwhile not pathlib.Path('go').exists():\n    time.sleep(0.02)\n"
    with gunicorn(settings, slow + WSGI, "-k sync") as (service, target):
        service.source = open_source(target, settings)
        service.until(lambda: service.probes() == 3)
        (service.project / "go").touch()
        crashes_are_counted(service)


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
