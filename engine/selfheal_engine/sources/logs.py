"""Log files and journals, followed from their end: new tracebacks become occurrences.

Nothing here blocks: each look reads what is there, at most `MAX_READ` bytes. A file may be
rotated (another file under its name), truncated in place, or not exist yet.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Protocol

from selfheal_engine.errors import TargetError
from selfheal_engine.model import Occurrence
from selfheal_engine.project import Project
from selfheal_engine.sources.printed import occurrence_of
from selfheal_engine.sources.traceback_format import ParsedTraceback
from selfheal_engine.sources.tracebacks import TracebackParser

MAX_READ = 1_000_000
"""Bytes of one look at one log."""
MAX_BEHIND = 32_000_000
"""A log that is further ahead than this is read from nearer its end again."""
MAX_LINE = 1_000_000
QUIET_S = 0.25
"""A traceback has ended when nothing followed its exception for so long."""
BROKEN_OFF_S = 5.0


class Tail(Protocol):
    """Something that lines come from."""

    name: str
    skipped: int

    def read(self) -> bytes: ...

    def skip(self) -> None: ...

    def close(self) -> None: ...


class FileTail:
    """The bytes that are appended to a file after it was first looked at."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.skipped = 0
        """Bytes that were passed over because they came too fast."""
        self._path = path
        self._stream: IO[bytes] | None = None
        self._inode = 0
        if path.is_dir():
            raise TargetError(f"{path} is a folder: --log wants a file")
        if path.exists() and not self._open():
            raise TargetError(f"the log {path} cannot be read: run as a user who may")
        self.skip()

    def read(self) -> bytes:
        """What is new; the rest of a rotated file comes before the new one."""
        if self._stream is None and not self._open():
            return b""
        assert self._stream is not None
        try:
            size = os.fstat(self._stream.fileno()).st_size
            position = self._stream.tell()
            if size < position:
                position = self._stream.seek(0)
            if size - position > MAX_BEHIND:
                self.skipped += size - MAX_READ - position
                self._stream.seek(size - MAX_READ)
            part = self._stream.read(MAX_READ)
        except OSError:
            self.close()
            return b""
        if not part and self._replaced():
            self.close()
            return self.read()
        return part

    def skip(self) -> None:
        """Go to the end: what is there now is of no interest."""
        if self._stream is not None:
            self._stream.seek(0, os.SEEK_END)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _open(self) -> bool:
        try:
            stream = self._path.open("rb")
        except OSError:
            return False
        self._stream = stream
        self._inode = os.fstat(stream.fileno()).st_ino
        return True

    def _replaced(self) -> bool:
        try:
            return self._path.stat().st_ino != self._inode
        except OSError:
            return False


class JournalTail:
    """The journal of a systemd unit from now on, read through journalctl."""

    def __init__(self, unit: str) -> None:
        self.name = f"the journal of {unit}"
        self.skipped = 0
        program = shutil.which("journalctl")
        if program is None:
            raise TargetError(f"there is no journalctl to read the journal of {unit}: use --log")
        self._process = subprocess.Popen(
            [program, "--follow", "--lines=0", "--output=cat", f"--unit={unit}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        assert self._process.stdout is not None
        self._stream = self._process.stdout
        os.set_blocking(self._stream.fileno(), False)

    def read(self) -> bytes:
        try:
            return self._stream.read(MAX_READ) or b""
        except (OSError, ValueError):
            return b""

    def skip(self) -> None:
        while self.read():
            continue

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(5)
        self._stream.close()


class LogReader:
    """One log: its bytes as lines, its lines as occurrences."""

    def __init__(self, tail: Tail, project: Project, pid: int) -> None:
        self.tail = tail
        self._project = project
        self._pid = pid
        self._parser = TracebackParser()
        self._rest = b""
        self._came_s = time.monotonic()

    @property
    def broken(self) -> int:
        """Tracebacks without an end, and parts of the log that were passed over."""
        return self._parser.broken + (self.tail.skipped > 0)

    def poll(self, now: Callable[[], float] = time.monotonic) -> list[Occurrence]:
        """The exceptions that were told completely since the last look. Never blocks."""
        part = self.tail.read()
        found: list[ParsedTraceback] = []
        if part:
            self._came_s = now()
            *lines, self._rest = (self._rest + part).split(b"\n")
            for line in lines:
                found += self._parser.feed(line.decode("utf-8", "replace"))
            if len(self._rest) > MAX_LINE:
                self._rest = self._rest[:MAX_LINE]
        elif now() - self._came_s > BROKEN_OFF_S:
            found += self._end()
        elif now() - self._came_s > QUIET_S:
            found += self._parser.flush(only_complete=True)
        return list(self._occurrences(found))

    def _end(self) -> list[ParsedTraceback]:
        found: list[ParsedTraceback] = []
        if self._rest:
            rest, self._rest = self._rest, b""
            found += self._parser.feed(rest.decode("utf-8", "replace"))
        return found + self._parser.flush()

    def _occurrences(self, found: Iterable[ParsedTraceback]) -> Iterable[Occurrence]:
        for parsed in found:
            occurrence = occurrence_of(parsed, self._project, self._pid, "log")
            if occurrence is not None:
                yield occurrence


def standard_streams(pid: int) -> list[Path]:
    """The files that a process writes its output and errors to, if they are files."""
    found: list[Path] = []
    for number in (2, 1):
        try:
            target = Path(os.readlink(f"/proc/{pid}/fd/{number}"))
        except OSError:
            continue
        if target.is_file() and target not in found:
            found.append(target)
    return found
