"""Runs the proposing process of an incident and hands its messages to the engine's inbox."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from selfheal_engine.codec import to_plain
from selfheal_engine.coordinator.job import AHEAD, Job, Workplace
from selfheal_engine.model import Occurrence


@dataclass(frozen=True, slots=True)
class Message:
    """One line from the process that works for `incident`."""

    incident: str
    what: str
    body: dict[str, Any]


MODULE = "selfheal_engine.coordinator.proposing"


def _started(*words: str, output: int) -> subprocess.Popen[str]:
    """The worker in a session of its own, so that all it starts can be ended with it."""
    return subprocess.Popen(
        [sys.executable, "-m", MODULE, *words],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        start_new_session=True,
        text=True,
        encoding="utf-8",
    )


class PreparingProcess:
    """Runs the service's tests once, at low priority, so that the first incident need not wait."""

    def __init__(self, workplace: Workplace) -> None:
        self._process = _started(AHEAD, output=subprocess.DEVNULL)
        assert self._process.stdin is not None
        with suppress(OSError):  # it died at once; the first proposal tells why
            self._process.stdin.write(json.dumps(to_plain(workplace)) + "\n")
            self._process.stdin.close()

    def ended(self) -> bool:
        """Whether it is through; reaps it."""
        return self._process.poll() is not None

    def end(self) -> None:
        """Stop it, with all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class ProposingProcess:
    """A process for one job: started early to be warm, given its job, read by one thread.

    `deliver` is called on the reader thread for each message; after "proposal" or "failed"
    there is none any more. Exactly one of the two always comes, also when the process dies.
    """

    def __init__(self, workplace: Workplace, deliver: Callable[[Message], None]) -> None:
        self.incident = ""
        self._deliver = deliver
        self._process = _started(output=subprocess.PIPE)
        self._cancelled = False
        self._errors = ""
        self._job = ""
        self._reader = threading.Thread(target=self._read, name="proposing", daemon=True)
        self._error_reader = threading.Thread(target=self._read_errors, daemon=True)
        self._error_reader.start()
        self._write(json.dumps(to_plain(workplace)) + "\n")

    def give(self, job: Job) -> None:
        """Hand over the job; messages begin."""
        self.incident = job.incident.id
        self._job = json.dumps(to_plain(job)) + "\n"
        self._reader.start()

    def answer(self, occurrence: Occurrence) -> None:
        """The record that the process has asked for; it waits for it, so this does not block."""
        self._write(json.dumps(to_plain(occurrence)) + "\n")

    def cancel(self) -> None:
        """End the process and all that it started; no message is delivered after this."""
        self._cancelled = True
        try:
            os.killpg(self._process.pid, signal.SIGTERM)
        except ProcessLookupError:
            return

    def wait(self, timeout_s: float) -> None:
        """Give the process time to end; kill it when it does not."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except OSError:
            return  # it died: the reader sees the end of its output and says so

    def _read(self) -> None:
        finished = False
        # on this thread: a process that still imports lets a long job wait in the pipe
        self._write(self._job)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = self._parse(line)
            finished = finished or message.what in ("proposal", "failed")
            if not self._cancelled:
                self._deliver(message)
        code = self._process.wait()
        if not finished and not self._cancelled:
            self._error_reader.join(1.0)
            body = {"text": f"the repair process ended with exit code {code}", "bug": self._errors}
            self._deliver(Message(self.incident, "failed", body))

    def _parse(self, line: str) -> Message:
        plain = json.loads(line)
        return Message(self.incident, plain.pop("what"), plain)

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._errors = (self._errors + line)[-8000:]
