"""The warm server, seen from the engine: jobs go in, reports come out, a lost server is cold.

One sandbox holds a process that has the service's libraries imported (inside/zygote.py); each
job is a fork of it in namespaces of its own. It saves interpreter start and imports, which are
most of what checking a patch costs.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfheal_engine.project import Project
from selfheal_engine.sandbox_validator import seccomp
from selfheal_engine.sandbox_validator.limits import MIB, Limits
from selfheal_engine.sandbox_validator.wall import TOOLS, Run, Walled, start_walled

START_AT_MOST_S = 30.0


@dataclass(slots=True)
class _Waiting:
    """A job whose report is awaited."""

    lines: list[bytes] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    why: str = ""
    errors: bytes = b""


class WarmServer:
    """Runs jobs in forks of a warm process. Thread-safe; close() when done."""

    def __init__(
        self,
        project: Project,
        preload: Sequence[str],
        limits: Limits,
        jobs: int,
        read_only: Sequence[Path] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._project = project
        self._limits = limits
        self._jobs = jobs
        self._read_only = list(read_only)
        self._env = dict(env or {})
        self._preload = list(preload)
        self._lock = threading.Lock()
        self._waiting: dict[int, _Waiting] = {}
        self._number = 0
        self._pending = b""
        self._ready = threading.Event()
        self._gone = threading.Event()
        self._walled: Walled | None = None
        # the sandbox dies with the thread that started it, so one thread serves it throughout
        self._thread = threading.Thread(target=self._serve, name="warm sandbox", daemon=True)
        self._thread.start()

    def usable(self) -> bool:
        """Whether jobs can be given; waits for the imports of the start."""
        self._ready.wait(START_AT_MOST_S)
        return self._ready.is_set() and not self._gone.is_set()

    def run(
        self, script: str, body: Mapping[str, Any], files: Mapping[str, bytes], wall_s: float
    ) -> Run | None:
        """Run one inside script; None when the server is gone and the job must be run cold."""
        if not self.usable():
            return None
        waiting = _Waiting()
        with self._lock:
            self._number += 1
            number = self._number
            self._waiting[number] = waiting
        started = time.monotonic()
        if not self._send(self._order(number, script, body, files, wall_s)):
            return None
        while not waiting.ended.wait(0.5):
            if self._gone.is_set():
                return None
        return _run_of(waiting, time.monotonic() - started)

    def cancel_all(self) -> None:
        with self._lock:
            numbers = list(self._waiting)
        for number in numbers:
            self._send({"kill": number})

    def close(self) -> None:
        """Stop the server and everything in it."""
        self._gone.set()
        if self._walled is not None:
            self._walled.stop("closed")
        self._thread.join(10)

    def _order(
        self,
        number: int,
        script: str,
        body: Mapping[str, Any],
        files: Mapping[str, bytes],
        wall_s: float,
    ) -> dict[str, Any]:
        limits = self._limits
        return {
            "job": number,
            "script": script,
            "body": body,
            "root": str(self._project.root.resolve()),
            "files": {name: base64.b64encode(text).decode() for name, text in files.items()},
            "env": self._env,
            "wall_s": wall_s,
            "memory_bytes": limits.memory_bytes,
            "disk_bytes": limits.disk_bytes,
            "inodes": limits.files + 100,
            "rlimits": {
                "RLIMIT_NPROC": limits.processes,
                "RLIMIT_DATA": limits.memory_bytes,
                "RLIMIT_FSIZE": limits.disk_bytes,
                "RLIMIT_CPU": int(2 * wall_s) + 2,
            },
        }

    def _send(self, order: Mapping[str, Any]) -> bool:
        walled = self._walled
        if walled is None or walled.process.stdin is None:
            return False
        try:
            with self._lock:
                walled.process.stdin.write(json.dumps(order).encode() + b"\n")
                walled.process.stdin.flush()
        except (OSError, ValueError):
            return False
        return True

    def _serve(self) -> None:
        limits = self._limits
        whole = Limits(
            wall_s=float("inf"),
            cpu_s=float("inf"),
            memory_bytes=self._jobs * limits.memory_bytes + 512 * MIB,
            disk_bytes=limits.disk_bytes,
            processes=self._jobs * limits.processes + 16,
            descriptors=limits.descriptors,
        )
        try:
            walled = start_walled(
                [self._project.python, f"{TOOLS}/inside/zygote.py"],
                project=self._project.root,
                env=self._env,
                limits=whole,
                read_only=self._read_only,
                zygote=True,
            )
        except OSError:
            self._give_up()
            return
        self._walled = walled
        setup = {
            "preload": self._preload,
            "filter": base64.b64encode(seccomp.program()).decode(),
        }
        self._send(setup)
        walled.pump(None, self._heard, lambda chunk: None, self._gone.is_set)
        self._give_up()

    def _give_up(self) -> None:
        self._gone.set()
        self._ready.set()

    def _heard(self, chunk: bytes) -> None:
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if "ready" in record:
                self._ready.set()
                continue
            waiting = self._waiting.get(record.get("job", -1))
            if waiting is None:
                continue
            if "line" in record:
                waiting.lines.append(record["line"].encode())
            elif "end" in record:
                waiting.why = record["end"]
                waiting.errors = base64.b64decode(record["errors"])
                with self._lock:
                    self._waiting.pop(record["job"], None)
                waiting.ended.set()


def _run_of(waiting: _Waiting, seconds: float) -> Run:
    """A job's lines as the run that a cold sandbox would have given."""
    out = b"\n".join(waiting.lines)
    closing: dict[str, Any] = {}
    for line in waiting.lines:
        if line.startswith(b'{"cell"'):
            closing = json.loads(line)
    changed = tuple(closing.get("changed", ()))
    if waiting.why == "timeout":
        return Run(-9, out, waiting.errors, seconds, timed_out=True, changed=changed)
    why = waiting.why
    if closing.get("cell") == "failed":
        why = f"the sandbox could not be built: {closing['why']}"
    elif not why and closing.get("full"):
        why = "disk: the run used up the space that a sandbox has"
    return Run(-1 if why else 0, out, waiting.errors, seconds, infrastructure=why, changed=changed)
