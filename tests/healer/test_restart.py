"""What a bug left in a process goes with the process, where the owner lets the app restart it."""

from __future__ import annotations

import shlex
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from selfheal_engine.config import Settings
from selfheal_engine.errors import SelfhealError
from selfheal_engine.healer import Applied, apply_patch, live, remnants
from selfheal_engine.model import Diagnosis, Incident, Target
from selfheal_engine.sources import ServiceSource, open_source

from .conftest import MakeCandidate, Service

pytestmark = pytest.mark.e2e

SERVE = """
import resource, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
import shop

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        text = shop.page(self.path).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *words):
        pass

class Server(HTTPServer):
    def handle_error(self, *words):
        pass

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
LEAKY = b"""import os

def page(path):
    handle = os.open("/dev/null", os.O_RDONLY)
    if path == "/known":
        return ""
    os.close(handle)
    return path
"""
MENDED = LEAKY.replace(b'        return ""', b'        os.close(handle)\n        return ""')


class Shop:
    """A service that the app started, and how it is asked."""

    def __init__(self, settings: Settings) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = (sys.executable, f"{settings.project}/serve.py", str(self.port))
        self.source: ServiceSource = open_source(Target(command=command), settings)
        while not any(process.has_probe for process in self.source.service().processes):
            self.source.poll(0.1)

    def get(self, path: str) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as page:
                return bool(page.status == 200)
        except OSError:
            return False

    def descriptors(self) -> int:
        return psutil.Process(self.source.root_pid).num_fds()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    project = tmp_path / "project"
    project.mkdir()
    (project / "serve.py").write_text(SERVE, encoding="utf-8")
    (project / "shop.py").write_bytes(LEAKY)
    return Settings(
        project=str(project),
        run_dir=str(tmp_path / "run"),
        state_dir=str(tmp_path / "state"),
        approve="high",
    )


@pytest.fixture
def shop(settings: Settings) -> Iterator[Shop]:
    shop = Shop(settings)
    yield shop
    shop.source.close(stop_service=True)


@pytest.fixture
def leak(incident: Incident) -> Incident:
    assert incident.occurrence is not None
    record = replace(incident.occurrence, exception="OSError")
    return replace(incident, occurrence=record, bug_type="resource_cleanup")


def apply(
    shop: Shop, settings: Settings, candidate: MakeCandidate, leak: Incident, new: bytes
) -> Applied:
    return apply_patch(
        replace(candidate(new, LEAKY), functions=("page",)),
        shop.source.project,
        shop.source,
        settings,
        Path(settings.state_dir) / "vault",
        incident=leak,
    )


def leak_all(shop: Shop) -> None:
    while shop.get("/known"):
        assert shop.descriptors() <= 64


def test_a_service_without_descriptors_is_whole_again(
    shop: Shop, settings: Settings, candidate: MakeCandidate, leak: Incident
) -> None:
    leak_all(shop)
    before = shop.source.root_pid
    asked = sum(requests for requests, _ in shop.source.route_counts().values())
    applied = apply(shop, settings, candidate, leak, MENDED)
    assert (applied.way, applied.stuck) == ("restart", "")
    assert "freed" in applied.note
    assert shop.source.root_pid != before
    assert not psutil.pid_exists(before)
    free = shop.descriptors()
    assert all(shop.get("/known") for _ in range(70))
    assert shop.descriptors() <= free + 2
    assert shop.source.service().alive
    # what was counted before the restart still counts
    assert sum(requests for requests, _ in shop.source.route_counts().values()) >= asked + 70


def test_without_leave_it_is_swapped_and_what_to_do_is_said(
    shop: Shop, settings: Settings, candidate: MakeCandidate, leak: Incident
) -> None:
    while shop.descriptors() < 50:  # with none left the process could not read the patch either
        assert shop.get("/known")
    before = shop.source.root_pid
    applied = apply(shop, replace(settings, approve="medium"), candidate, leak, MENDED)
    assert applied.way == "swap"
    assert "--approve high" in applied.note
    assert shop.source.root_pid == before


def test_a_patch_with_which_the_service_does_not_start_is_taken_back(
    shop: Shop, settings: Settings, candidate: MakeCandidate, leak: Incident
) -> None:
    leak_all(shop)
    broken = MENDED + b'\nif __import__("sys").argv[1:]:\n    raise SystemExit("no")\n'
    with pytest.raises(SelfhealError, match=r"not applied: .*the service ended with status 1"):
        apply(shop, settings, candidate, leak, broken)
    assert (Path(settings.project) / "shop.py").read_bytes() == LEAKY
    assert shop.get("/other")
    assert shop.source.service().alive


def test_the_owners_command_comes_before_ours(shop: Shop, settings: Settings) -> None:
    before = shop.source.root_pid
    word = Path(settings.state_dir) / "asked"
    word.parent.mkdir(parents=True, exist_ok=True)
    owner = replace(settings, restart_command=f"touch {shlex.quote(str(word))}")
    assert live.restart(shop.source, owner) is None
    assert word.exists()
    assert shop.source.root_pid == before


@pytest.mark.parametrize(
    ("kind", "bug_type", "caught_by", "kept"),
    [
        ("deadlock", "race_condition_fix", "stalls", True),
        ("stall", "race_condition_fix", "stalls", True),
        ("stall", "timeout_guard", "stalls", False),
        ("stall", "timeout_guard", "long waits", True),
        ("exception", "resource_cleanup", "asyncio", True),
        ("exception", "null_check", "wsgi", False),
    ],
)
def test_what_stays_with_a_process(
    service: Service, incident: Incident, kind: str, bug_type: str, caught_by: str, kept: bool
) -> None:
    assert incident.occurrence is not None
    record = replace(incident.occurrence, kind=kind, caught_by=caught_by)  # type: ignore[arg-type]
    told = replace(incident, occurrence=record, bug_type=bug_type)
    assert remnants.holds_on(told, service.service()) is kept


@pytest.mark.parametrize("ended", [True, False])
def test_a_worker_that_has_ended_is_missing_in_its_process(
    service: Service, incident: Incident, ended: bool
) -> None:
    found = Diagnosis("null_check", (), (), "one item ended the worker", ended_worker=ended)
    assert remnants.holds_on(replace(incident, diagnosis=found), service.service()) is ended


def test_a_leak_told_in_time_needs_new_processes_only_when_most_is_gone(
    shop: Shop, leak: Incident
) -> None:
    assert leak.occurrence is not None
    early = replace(leak, occurrence=replace(leak.occurrence, kind="resource"))
    assert not remnants.holds_on(early, shop.source.service())
    leak_all(shop)
    assert remnants.holds_on(early, shop.source.service())
