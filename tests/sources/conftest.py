"""Real services: written to a temporary project, started with the probe, always stopped."""

from __future__ import annotations

import socket
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from selfheal_engine.config import Settings
from selfheal_engine.model import Occurrence, Target
from selfheal_engine.sources import ServiceSource, open_source

GUNICORN = str(Path(sys.executable).with_name("gunicorn"))

SHOP = """
    import os
    import time
    from flask import Flask, jsonify, request

    app = Flask(__name__)
    CACHE = {}


    class Cart:
        def __init__(self, items):
            self.items = items

        def total(self, order):
            zone = order["address"]["zip"]
            return len(zone) + len(self.items)


    @app.get("/")
    def hello():
        return "hello"


    @app.get("/order/<int:number>")
    def order(number):
        return jsonify(total=price(number))


    def price(number):
        found = {"address": {"zip": "1010"} if number % 2 else None}
        return Cart([number]).total(found)


    @app.post("/checkout")
    def checkout():
        body = request.get_json()
        return jsonify(cents=body["cents"] // body["share"])


    @app.get("/slow")
    def slow():
        time.sleep(float(request.args["s"]))
        return "done"


    @app.get("/leak/<int:number>")
    def leak(number):
        CACHE[number] = "x" * 6000
        return "kept"


    open(f"{os.getpid()}.loaded", "w").close()
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass
class Running:
    """A started service and what its source said so far."""

    source: ServiceSource
    port: int
    project: Path
    seen: list[Occurrence] = field(default_factory=list)

    def get(self, path: str, body: bytes | None = None) -> int:
        """Status of one request; 0 when the connection broke."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=body)
        if body is not None:
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return int(response.status)
        except urllib.error.HTTPError as why:
            return int(why.code)
        except OSError:
            return 0

    def until(self, condition: Callable[[], object], seconds: float = 60.0) -> None:
        """Poll the source until the condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"waited {seconds} s; seen: {self.summary()}"
            self.seen.extend(self.source.poll(0.2))

    def probes(self) -> int:
        """Processes whose probe answers."""
        return sum(process.has_probe for process in self.source.service().processes)

    def requests(self) -> int:
        """Counted so far; a worker tells them apart from its crashes, and later."""
        return sum(requests for requests, _ in self.source.route_counts().values())

    def summary(self) -> list[tuple[object, ...]]:
        return [(o.kind, o.exception, o.message, o.count, o.caught_by) for o in self.seen]

    def count(self, kind: str = "exception") -> int:
        return sum(o.count for o in self.seen if o.kind == kind)


Start = Callable[..., Running]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    project = tmp_path / "project"
    project.mkdir()
    return Settings(
        project=str(project), run_dir=str(tmp_path / "run"), state_dir=str(tmp_path / "state")
    )


@pytest.fixture
def start(settings: Settings) -> Iterator[Start]:
    """start(files, *command): writes the files and starts the command with {port} filled in."""
    running: list[Running] = []

    def begin(files: dict[str, str], *command: str) -> Running:
        project = Path(settings.project)
        for name, text in files.items():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        port = free_port()
        filled = tuple(
            word.replace("{port}", str(port)).replace("{project}", str(project)) for word in command
        )
        found = Running(open_source(Target(command=filled), settings), port, project)
        running.append(found)
        return found

    yield begin
    for service in running:
        service.source.close(stop_service=True)


@pytest.fixture
def shop(start: Start) -> Running:
    """Flask under gunicorn, 2 workers with 4 threads each."""
    arguments = "-w 2 -k gthread --threads 4 --chdir {project} -b 127.0.0.1:{port} shop:app"
    service = start({"shop.py": SHOP}, GUNICORN, *arguments.split())
    service.until(lambda: service.probes() == 3)
    service.until(lambda: len(list(service.project.glob("*.loaded"))) == 2)
    return service
