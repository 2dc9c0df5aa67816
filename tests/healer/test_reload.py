"""Where a swap is refused, the service is reloaded the way it expects it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from selfheal_engine.config import Settings
from selfheal_engine.healer import apply_patch, live, revert_patch
from selfheal_engine.model import FunctionSwap, Incident, ProcessInfo, ServiceInfo, SwapResult
from selfheal_engine.model.vocabulary import OccurrenceKind
from selfheal_engine.project import Project

from .conftest import MakeCandidate, Service

OLD = b"def application(environ, start):\n    start('200 OK', [])\n    return [b'old']\n"
NEW = OLD.replace(b"old", b"new")


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Gunicorn:
    """A real pre-fork server with two workers, seen as a source that refuses to swap."""

    def __init__(self, root: Path, *options: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        words = ["-w", "2", "-b", f"127.0.0.1:{self.port}", *options]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *words, "wsgi:application"],
            cwd=root,
            stderr=subprocess.DEVNULL,
        )
        eventually(lambda: self.answer() == b"old")
        eventually(lambda: len(self.workers()) == 2)

    def answer(self) -> bytes:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as channel:
                channel.sendall(b"GET / HTTP/1.0\r\n\r\n")
                parts = []
                while part := channel.recv(4096):
                    parts.append(part)
        except OSError:
            return b""
        return b"".join(parts).rpartition(b"\r\n\r\n")[2]

    def workers(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.process.pid).children()]

    swaps = False

    def service(self) -> ServiceInfo:
        master = psutil.Process(self.process.pid)
        processes = tuple(
            ProcessInfo(p.pid, p.ppid(), " ".join(p.cmdline()), p.create_time(), has_probe=True)
            for p in (master, *master.children())
        )
        return ServiceInfo("shop", "", "gunicorn", processes)

    def restart(self) -> str | None:
        return "this app did not start it"

    def expect_restart(self) -> None:
        return None

    def hold_text(self, path: str) -> None:
        return None

    def swap(self, swap: FunctionSwap, pids: tuple[int, ...] = ()) -> list[SwapResult]:
        return [SwapResult(pid, self.swaps, reason="no") for pid in pids or self.workers()]

    def revert(self, swap: FunctionSwap, pids: tuple[int, ...] = ()) -> list[SwapResult]:
        return self.swap(swap, pids)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Gunicorn]]:
    (tmp_path / "wsgi.py").write_bytes(OLD)
    started: list[Gunicorn] = []

    def run(*options: str) -> Gunicorn:
        started.append(Gunicorn(tmp_path, *options))
        return started[-1]

    yield run
    for server in started:
        server.process.terminate()
        server.process.wait()


@pytest.mark.e2e
def test_a_prefork_master_gets_new_workers_on_the_new_text_and_back(
    start: Callable[..., Gunicorn], tmp_path: Path, candidate: MakeCandidate
) -> None:
    server = start()
    project = Project(tmp_path, sys.executable)
    settings = Settings(state_dir=str(tmp_path / "state"))
    vault = tmp_path / "vault"
    before = server.workers()
    applied = apply_patch(candidate(NEW, OLD, "wsgi.py"), project, server, settings, vault)
    assert applied.way == "reload"
    assert not set(before) & set(server.workers())
    eventually(lambda: server.answer() == b"new")
    assert server.process.poll() is None
    assert revert_patch(applied, project, server, settings, vault).ok
    eventually(lambda: server.answer() == b"old")


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("kind", "bug_type", "way"),
    [
        ("deadlock", "race_condition_fix", "reload"),
        ("exception", "resource_cleanup", "reload"),
        ("resource", "resource_cleanup", "swap"),
        ("exception", "null_check", "swap"),
    ],
)
def test_processes_that_hold_on_to_what_the_bug_did_are_reloaded_after_the_swap(
    start: Callable[..., Gunicorn],
    tmp_path: Path,
    candidate: MakeCandidate,
    incident: Incident,
    kind: OccurrenceKind,
    bug_type: str,
    way: str,
) -> None:
    server = start()
    server.swaps = True
    assert incident.occurrence is not None
    record = replace(incident.occurrence, kind=kind)
    applied = apply_patch(
        candidate(NEW, OLD, "wsgi.py"),
        Project(tmp_path, sys.executable),
        server,
        Settings(state_dir=str(tmp_path / "state"), canary=False),
        tmp_path / "vault",
        incident=replace(incident, occurrence=record, bug_type=bug_type),
    )
    assert (applied.way, applied.stuck) == (way, "")
    if way == "reload":
        eventually(lambda: server.answer() == b"new")


def test_where_nothing_reloads_the_swap_stays_and_says_what_is_left(
    service: Service, project: Project, candidate: MakeCandidate, incident: Incident, tmp_path: Path
) -> None:
    assert incident.occurrence is not None
    record = replace(incident.occurrence, kind="deadlock")
    applied = apply_patch(
        candidate(),
        project,
        service,
        Settings(state_dir=str(tmp_path / "state")),
        tmp_path / "vault",
        incident=replace(incident, occurrence=record),
    )
    assert applied.way == "swap"
    assert "reload_command" in applied.stuck
    assert "until a restart" in applied.note


@pytest.mark.e2e
def test_a_preloading_master_is_not_reloaded(start: Callable[..., Gunicorn]) -> None:
    server = start("--preload")
    assert live.reload(server.service(), Settings()) is not None
    assert server.answer() == b"old"


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/shop.service\n", ("shop.service", False)),
        ("0::/system.slice/system-shop.slice/shop@1.service/worker\n", ("shop@1.service", False)),
        (
            "0::/user.slice/user-1.slice/user@1.service/app.slice/shop.service",
            ("shop.service", True),
        ),
        ("0::/user.slice/user-1.slice/user@1.service/init.scope", None),
        ("0::/user.slice/user-1.slice/session-3.scope\n", None),
        ("1:name=systemd:/system.slice/shop.service\n0::/\n", ("shop.service", False)),
        ("0::/\n", None),
    ],
)
def test_the_unit_is_read_from_the_control_group(cgroup: str, unit: object) -> None:
    assert live.unit_of(cgroup) == unit


@pytest.mark.parametrize(
    ("can_reload", "scope", "result"),
    [("yes", False, None), ("yes", True, None), ("no", False, "shop.service has no ExecReload=")],
)
def test_a_unit_is_reloaded_by_systemctl_where_it_can(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    can_reload: str,
    scope: bool,
    result: str | None,
) -> None:
    said = tmp_path / "said"
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(
        f'#!/bin/sh\necho "$@" >> {said}\n[ "$1" = reload ] || echo {can_reload}\n'
    )
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(live, "_unit", lambda service: ("shop.service", scope))
    service = ServiceInfo("shop", "", "", ())
    way = live.way_to_reload(service, Settings())
    assert (way.does if way else None) == (None if result else "Runs systemctl reload shop.service")
    assert live.reload(service, Settings()) == result
    reloads = [line for line in said.read_text().splitlines() if "reload shop.service" in line]
    assert reloads == ([] if result else [("--user " if scope else "") + "reload shop.service"])


@pytest.mark.e2e
def test_a_process_that_would_die_of_sighup_is_not_sent_one() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])  # gunicorn"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as parent:
        family = psutil.Process(parent.pid)
        eventually(lambda: bool(family.children()))
        processes = tuple(
            ProcessInfo(p.pid, p.ppid(), " ".join(p.cmdline()), 0.0)
            for p in (family, *family.children())
        )
        found = live.reload(ServiceInfo("shop", "", "", processes), Settings())
        assert found is not None
        assert "reload_command" in found
        assert parent.poll() is None
        parent.communicate(b"\n", timeout=10)
