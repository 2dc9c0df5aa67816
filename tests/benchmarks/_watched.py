"""A service started with the probe in a folder of its own, for benchmarks that watch real ones."""

from __future__ import annotations

import contextlib
import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from selfheal_engine.config import Settings
from selfheal_engine.model import Occurrence, Target
from selfheal_engine.sources import ServiceSource, open_source


@dataclass
class Watched:
    """A running service, its source and what that said so far."""

    source: ServiceSource
    port: int
    project: Path
    settings: Settings
    seen: list[Occurrence] = field(default_factory=list)

    def until(self, condition: Callable[[], object], seconds: float = 20.0) -> bool:
        """Poll the source until the condition holds; False when it never did."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                return False
            self.seen.extend(self.source.poll(0.1))
        return True

    def listen(self, seconds: float) -> None:
        """Poll the source for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.seen.extend(self.source.poll(0.1))

    def get(self, path: str, body: bytes | None = None, content_type: str = "") -> int:
        """Status of one request; 0 when there was no answer."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=body)
        if content_type:
            request.add_header("Content-Type", content_type)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as why:
            return int(why.code)
        except OSError:
            return 0

    def say(self, line: str) -> bool:
        """Send one line of text over TCP; whether somebody took it."""
        with contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                connection.settimeout(0.5)
                connection.sendall(line.encode() + b"\n")
                with contextlib.suppress(TimeoutError):
                    connection.recv(4096)
            return True
        return False


@contextlib.contextmanager
def watching(
    source_text: str, command: str, python: Path, folder: Path, name: str = "service.py"
) -> Iterator[Watched]:
    """Start `command` ({python}, {bin} and {port} filled in) on a project of one file.

    Raises TargetError when it cannot be started.
    """
    project = folder / "project"
    project.mkdir(parents=True)
    (project / name).write_text(source_text, encoding="utf-8")
    settings = Settings(
        project=str(project), run_dir=str(folder / "run"), state_dir=str(folder / "state")
    )
    port = free_port()
    words = command.format(python=python, bin=python.parent, port=port).split()
    before = os.getcwd()
    os.chdir(project)
    try:
        source = open_source(Target(command=tuple(words)), settings)
    finally:
        os.chdir(before)
    try:
        yield Watched(source, port, project, settings)
    finally:
        source.close(stop_service=True)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
