"""One engine decides for a service; a second one only looks.

The probe refuses changes by a second app; the write-ahead record needs the same care, since an
engine that finds an incident of a living one there would finish its work a second time. A lock
in the service's folder says who holds it. Two services that merely share a name ("app") get a
folder each.
"""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from selfheal_engine.errors import HistoryError

LOCK_FILE = "engine.lock"
_WRITING_S = 1.0
"""A holder that has not said who it is after so long is taken for one of this service."""


@dataclass(slots=True)
class Holding:
    """The folder of a service's files, and who may write there."""

    folder: Path
    held_by: str = ""
    """Why this engine only looks; "" when it holds the service."""
    descriptor: int = -1

    def serves(self, root_pid: int) -> None:
        """The service was started anew under this pid."""
        if self.descriptor >= 0:
            os.ftruncate(self.descriptor, 0)
            os.pwrite(self.descriptor, f"{os.getpid()} {root_pid}\n".encode("ascii"), 0)

    def close(self) -> None:
        """Let go; the lock also goes with the process, however it ends."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = -1


def hold(services: Path, name: str, root_pid: int) -> Holding:
    """Take the service's folder below `services`, or learn who has it. Raises HistoryError.

    `root_pid` is the service's outermost process: it tells a namesake from the same service.
    """
    for number in count(1):
        folder = services / (name if number == 1 else f"{name}-{number}")
        holding = _try(folder, root_pid)
        if holding is not None:
            return holding
    raise AssertionError  # count() has no end


def _try(folder: Path, root_pid: int) -> Holding | None:
    """None when an engine of another service with this name has the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as why:
        raise HistoryError(f"cannot use {folder}: {why.strerror}; choose --state") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        engine, service = _holder(descriptor)
        os.close(descriptor)
        if service not in (0, root_pid):
            return None
        who = f"the engine with pid {engine}" if engine else "another engine"
        return Holding(folder, f"{who} watches this service; this one only looks")
    holding = Holding(folder, descriptor=descriptor)
    holding.serves(root_pid)
    return holding


def _holder(descriptor: int) -> tuple[int, int]:
    """(engine's pid, its service's pid) of who has the lock; zeros when it does not say."""
    deadline = time.monotonic() + _WRITING_S
    while True:
        words = os.pread(descriptor, 64, 0).split()
        if len(words) == 2 and all(word.isdigit() for word in words):
            return int(words[0]), int(words[1])
        if time.monotonic() > deadline:
            return 0, 0
        time.sleep(0.01)
