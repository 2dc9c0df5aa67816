"""A service that does its worst: the probe counts what it must drop and never gets in the way."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from pathlib import Path

import pytest

from selfheal_engine.sources.connection import ProbeConnection
from tests.sources.conftest import Start

pytestmark = pytest.mark.e2e

TORTURE = """
    import logging, os, sys, threading, time
    log = logging.getLogger("torture")
    log.addHandler(logging.NullHandler())  # formatting would run the hostile hooks itself
    log.propagate = False

    class Hostile:
        def _never(self, *args):
            os._exit(77)
        __repr__ = __str__ = __getattr__ = __reduce__ = __reduce_ex__ = __len__ = _never
        __iter__ = __bool__ = __eq__ = __hash__ = __dir__ = __format__ = __getstate__ = _never
        __class__ = property(_never)

    class HostileError(Exception):
        def _never(self, *args):
            os._exit(78)
        __str__ = __repr__ = __reduce__ = __setattr__ = _never

    def main():
        done = 0
        big = "x" * 1_000_000
        ring = []
        ring.append(ring)
        begun = time.monotonic()
        for n in range(10_000):
            scope = {"HostileError": HostileError}
            raised = "HostileError(n)" if n % 2 else "ValueError(n)"
            source = f"def f(n, hostile, big, ring):\\n    raise {raised}\\n"
            exec(compile(source, f"/nowhere/crash{n}.py", "exec"), scope)
            try:
                scope["f"](n, Hostile(), big, ring)
            except Exception as why:
                log.error("failed", exc_info=(type(why), why, why.__traceback__))
            done += 1
            if n == 5_000:
                os.closerange(4, 200)
        with open("report.tmp", "w") as report:
            report.write(f'{{"done": {done}, "seconds": {time.monotonic() - begun}}}')
        os.rename("report.tmp", "report.json")
        while not os.path.exists("go-on"):
            time.sleep(0.05)
        while True:
            try:
                raise LookupError("after the storm")
            except LookupError:
                log.exception("failed")
            time.sleep(0.2)

    main()
"""


def test_ten_thousand_distinct_hostile_crashes_are_survived_and_counted(start: Start) -> None:
    service = start(
        {"torture.py": TORTURE},
        "/bin/sh",
        "-c",
        f"cd {{project}} && exec {sys.executable} torture.py",
    )
    report = service.project / "report.json"
    service.until(report.exists, seconds=60)
    told = json.loads(report.read_text())
    assert told["done"] == 10_000
    assert service.source.service().alive

    def counted() -> bool:
        service.source.sample(time.time())
        return service.source._probes.exceptions >= 10_000

    service.until(counted)
    assert service.source._probes.exceptions == 10_000
    assert service.source.drops() > 0
    (service.project / "go-on").touch()

    def goes_on() -> bool:
        service.source.sample(time.time())
        return service.source._probes.exceptions > 10_000

    service.until(goes_on)
    kinds = {occurrence.exception for occurrence in service.seen}
    assert kinds <= {"ValueError", "__main__.HostileError", "LookupError"}


def test_a_probe_of_another_user_is_refused_by_the_app(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can play another user")
    path = tmp_path / "1.sock"
    ready_r, ready_w = os.pipe()
    pid = os.fork()
    if pid == 0:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        os.chmod(path, 0o666)
        os.setuid(65534)
        listener.listen()
        os.write(ready_w, b"x")
        listener.accept()[0].recv(100)
        os._exit(0)
    try:
        os.read(ready_r, 1)
        with pytest.raises(OSError, match="runs as uid"):
            ProbeConnection(path)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(ready_r)
        os.close(ready_w)


def test_an_app_of_another_user_is_refused_by_the_probe(start: Start, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can play another user")
    service = start(
        {"idle.py": "import time\ntime.sleep(60)\n"}, sys.executable, "{project}/idle.py"
    )
    service.until(lambda: service.probes() == 1)
    path = next(Path(service.source._settings.run_dir).glob("*.sock"))
    for folder in (path.parent, tmp_path, *tmp_path.parents):
        if folder != Path("/tmp") and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o711)
    path.chmod(0o666)
    pid = os.fork()
    if pid == 0:
        os.setuid(65534)
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(5)
        try:
            peer.connect(str(path))
            said = peer.recv(100)
        except OSError:
            said = b""
        os._exit(0 if said == b"" else 1)
    assert os.waitpid(pid, 0)[1] == 0
