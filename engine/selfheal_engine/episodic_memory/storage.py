"""`JournalStorage`: TinyDB's storage extension point on an append-only, checksummed journal.

Every commit is one line (see `journal`), appended with `O_APPEND` and `fdatasync` under an
exclusive lock on a sidecar file, so several processes may write at once. The documents live
in memory; a process that is about to read or write first takes in what others appended.
Compaction writes a new file beside the old one, syncs it, renames it and syncs the folder.
"""

from __future__ import annotations

import errno
import fcntl
import gc
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tinydb.storages import Storage

from selfheal_engine.episodic_memory import journal
from selfheal_engine.episodic_memory.migration import (
    HEADER,
    check_header,
    is_stock,
    is_torn_header,
    migrate_stock,
)
from selfheal_engine.errors import HistoryError

Documents = dict[str, dict[str, Any]]
Operation = dict[str, Any]
"""{"table": name, "set": {id: document}, "del": [ids], "clear": true}, {"drop": name}, or
{"table": name, "value": anything} for what somebody wrote in place of a table."""

LOCK_WAIT_S = 10.0
COMPACT_BYTES = 4 << 20
"""Least amount of dead text before a journal is rewritten by itself."""
_CHUNK_LINES = 2000


class JournalStorage(Storage):
    """All tables of one history file. Safe to use from several threads and processes."""

    def __init__(self, path: str | os.PathLike[str], *, compact_bytes: int = COMPACT_BYTES) -> None:
        self.path = Path(path)
        self.generation = 0
        """Moves whenever the documents change, by this process or another."""
        self._compact_bytes = compact_bytes
        self._tables: dict[str, Documents] = {}
        self._highest: dict[str, int] = {}
        self._sizes: dict[tuple[str, str], int] = {}
        self._live = 0
        self._thread_lock = threading.RLock()
        self._depth = 0
        self._descriptor = -1
        self._identity: tuple[int, int] | None = None
        self._end = 0
        self._checksum = journal.START
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as why:
            raise HistoryError(
                f"cannot make the folder {self.path.parent}: {why.strerror}; choose --state"
            ) from None
        with self.transaction():
            pass

    # ------------------------------------------------------------ TinyDB's two methods
    def read(self) -> dict[str, Documents] | None:
        """A copy of everything, None when there is no table: what TinyDB's own table expects."""
        with self._thread_lock:
            self.refresh()
            return fresh(self._tables) if self._tables else None

    def write(self, data: dict[str, Any]) -> None:
        """Make `data` the whole content; only what differs is written."""
        plain: dict[str, Documents] = json.loads(_to_json(data))
        with self.transaction():
            operations: list[Operation] = [
                {"drop": name} for name in self._tables if name not in plain
            ]
            for name, documents in plain.items():
                operation = _difference(name, self._tables.get(name), documents)
                if operation is not None:
                    operations.append(operation)
            self.commit(operations)

    def close(self) -> None:
        """Let go of the file; nothing is pending, every commit is on the disk already."""
        with self._thread_lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self._descriptor, self._identity = -1, None

    # ------------------------------------------------------------ what the table uses
    def names(self) -> set[str]:
        """Names of the tables there are."""
        with self._thread_lock:
            self.refresh()
            return set(self._tables)

    def documents(self, table: str) -> Documents | None:
        """The live documents of a table, not to be changed by the caller; None: no such table."""
        with self._thread_lock:
            self.refresh()
            return self._tables.get(table)

    def highest_id(self, table: str) -> int:
        """The highest document id that the table had since it was made or emptied; 0: none."""
        return self._highest.get(table, 0)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Keep other threads from changing the documents."""
        with self._thread_lock:
            yield

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the file against every other writer, with all that they wrote taken in."""
        with self._thread_lock:
            if self._depth:
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1
                return
            with self._file_lock():
                self._depth = 1
                try:
                    self.refresh()
                    yield
                finally:
                    self._depth = 0

    def commit(self, operations: list[Operation]) -> None:
        """Write the operations as one line, all or nothing. Raises HistoryError."""
        if not operations:
            return
        payload = _to_json(operations[0] if len(operations) == 1 else operations)
        with self.transaction():
            line, checksum = journal.seal(self._checksum, payload)
            self._append(line)
            self._end += len(line)
            self._checksum = checksum
            self._take_in(payload, len(line))
            dead = self._end - self._live
            if dead > max(self._compact_bytes, self._live):
                try:
                    self.compact()
                except HistoryError:  # no room: what was committed stands, try again later
                    self._compact_bytes = 2 * dead

    def compact(self) -> None:
        """Rewrite the file with one line for each document that still exists."""
        with self.transaction():
            lines, checksum = _whole(self._tables)
            self._replace(lines)
            self._load(expected=checksum)

    def refresh(self) -> None:
        """Take in what other processes wrote since the last look."""
        if self._identity is not None:
            try:
                found = os.stat(self.path)
            except FileNotFoundError:
                found = None
            if found and (found.st_dev, found.st_ino) == self._identity:
                if found.st_size == self._end:
                    return
                if found.st_size > self._end:
                    self._read_on(found.st_size)
                    return
        if not self._depth:
            with self.transaction():
                return
        self._load()

    # ------------------------------------------------------------ the file
    @contextmanager
    def _file_lock(self) -> Iterator[None]:
        lock = self.path.with_name(self.path.name + ".lock")
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as why:
            raise HistoryError(
                f"cannot open {lock}: {why.strerror}; check who owns the folder, or choose --state"
            ) from None
        try:
            _wait_for_lock(descriptor, self.path)
            yield
        finally:
            os.close(descriptor)

    def _load(self, expected: bytes | None = None) -> None:
        """Read the whole file, under the lock; make it when there is none."""
        self.close()
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            self._descriptor = os.open(self.path, flags, 0o600)
        except OSError as why:
            raise HistoryError(f"cannot open the history {self.path}: {why.strerror}") from None
        self._tables, self._highest, self._sizes, self._live = {}, {}, {}, 0
        self._end, self._checksum = 0, journal.START
        content = _read_all(self._descriptor, 0)
        if is_stock(content):
            tables = migrate_stock(content, self.path)
            lines, expected = _whole(tables)
            self._replace(lines)
            self._load(expected)
            return
        if is_torn_header(content):
            os.ftruncate(self._descriptor, 0)
            self._begin()
            return
        stretch = journal.scan(content)
        check_header(stretch.payloads[:1], self.path)
        self._identity = _identity(self._descriptor)
        with collector_paused():
            for start in range(1, len(stretch.payloads), _CHUNK_LINES):
                self._take_in_lines(stretch.payloads[start : start + _CHUNK_LINES])
        self._live += len(HEADER) + 32
        self._settle_tail(stretch, content, 0)
        if expected is not None and expected != self._checksum:
            raise HistoryError(f"{self.path} changed while it was rewritten; start again")

    def _begin(self) -> None:
        line, checksum = journal.seal(journal.START, HEADER)
        self._append(line)
        _sync_folder(self.path.parent)
        self._identity = _identity(self._descriptor)
        self._end, self._checksum, self._live = len(line), checksum, len(line)

    def _read_on(self, size: int) -> None:
        content = _read_all(self._descriptor, self._end)
        stretch = journal.scan(content, self._checksum)
        if stretch.tail != "none" and not self._depth:
            with self.transaction():  # perhaps a line that is being written: look again alone
                return
        for start in range(0, len(stretch.payloads), _CHUNK_LINES):
            self._take_in_lines(stretch.payloads[start : start + _CHUNK_LINES])
        self._settle_tail(stretch, content, self._end)

    def _settle_tail(self, stretch: journal.Scan, content: bytes, offset: int) -> None:
        """Under the lock: keep what verified; cut a torn tail, refuse damage."""
        self._end, self._checksum = offset + stretch.end, stretch.checksum
        if stretch.tail == "none":
            return
        if stretch.tail == "damaged":
            self.close()
            raise HistoryError(
                f"the history {self.path} is damaged at byte {self._end}: nothing was changed; "
                f"move it away to begin anew, or keep all that still verifies "
                f"with: selfheal-tui history --salvage"
            )
        try:
            if stretch.tail == "unended":
                os.write(self._descriptor, b"\n")
            else:
                os.ftruncate(self._descriptor, self._end)
            os.fdatasync(self._descriptor)
        except OSError as why:
            raise HistoryError(f"cannot mend the end of {self.path}: {why.strerror}") from None
        if stretch.tail == "unended":
            self._read_on(self._end)

    def _append(self, line: bytes) -> None:
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fdatasync(self._descriptor)
        except OSError as why:
            self._identity = None  # read the file anew before it is used again
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
                os.fdatasync(self._descriptor)
            full = why.errno in (errno.ENOSPC, errno.EDQUOT)
            raise HistoryError(
                f"cannot write to the history {self.path}: {why.strerror}; "
                + ("free some space" if full else "nothing was changed")
            ) from None

    def _replace(self, lines: list[bytes]) -> None:
        temporary = self.path.with_name(self.path.name + ".new")  # the lock is ours
        try:
            with open(temporary, "wb", opener=_private) as file:
                file.writelines(lines)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, self.path)
            _sync_folder(self.path.parent)
        except OSError as why:
            with suppress(OSError):
                temporary.unlink()
            raise HistoryError(f"cannot rewrite {self.path}: {why.strerror}") from None

    # ------------------------------------------------------------ the documents
    def _take_in_lines(self, payloads: list[bytes]) -> None:
        entries = json.loads(b"[" + b",".join(payloads) + b"]")
        for entry, payload in zip(entries, payloads, strict=True):
            self._apply(entry, len(payload))

    def _take_in(self, payload: bytes, size: int) -> None:
        self._apply(json.loads(payload), size)

    def _apply(self, entry: Any, size: int) -> None:
        """Bring the documents to the state after the commit, whose line has `size` bytes."""
        self.generation += 1
        operations: list[Operation] = entry if isinstance(entry, list) else [entry]
        changed = sum(len(operation.get("set", ())) for operation in operations)
        share = size // changed if changed else 0
        for operation in operations:
            if "drop" in operation:
                self._forget(operation["drop"])
                self._tables.pop(operation["drop"], None)
                continue
            name = operation["table"]
            if "value" in operation:
                self._forget(name)
                self._tables[name] = operation["value"]
                continue
            table = self._tables.setdefault(name, {})
            if operation.get("clear"):
                self._forget(name)
                table.clear()
            for key in operation.get("del", ()):
                if table.pop(key, None) is not None:
                    self._live -= self._sizes.pop((name, key), 0)
            for key, document in operation.get("set", {}).items():
                table[key] = document
                self._live += share - self._sizes.get((name, key), 0)
                self._sizes[name, key] = share
                if key.isdigit() and int(key) > self._highest.get(name, 0):
                    self._highest[name] = int(key)

    def _forget(self, name: str) -> None:
        self._highest.pop(name, None)
        for key in _keys(self._tables.get(name)):
            self._live -= self._sizes.pop((name, key), 0)


@contextmanager
def collector_paused() -> Iterator[None]:
    """While much is built of which nothing is garbage: the collector would only cost."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def fresh(value: Any) -> Any:
    """A copy of a JSON value that shares nothing changeable with it."""
    kind = type(value)
    if kind is dict:
        return {key: fresh(item) for key, item in value.items()}
    if kind is list:
        return [fresh(item) for item in value]
    return value


def _to_json(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:  # a lone surrogate, as in undecodable file names
        return json.dumps(value).encode("ascii")


def _difference(name: str, old: Any, new: Any) -> Operation | None:
    if not isinstance(new, dict) or not isinstance(old, dict | None):
        return None if old == new else {"table": name, "value": new}
    if old is None or not new:
        return None if old == new else {"table": name, "clear": True, "set": new}
    changed = {key: doc for key, doc in new.items() if key not in old or old[key] != doc}
    removed = [key for key in old if key not in new]
    if not changed and not removed:
        return None
    return {"table": name, "set": changed, "del": removed}


def _whole(tables: dict[str, Documents]) -> tuple[list[bytes], bytes]:
    """A compact journal of the tables, and its last checksum."""
    line, checksum = journal.seal(journal.START, HEADER)
    lines = [line]
    for name, documents in tables.items():
        whole: Operation = {} if isinstance(documents, dict) else {"value": documents}
        operations: list[Operation] = [
            {"table": name, "set": {key: documents[key]}} for key in _keys(documents)
        ]
        for operation in operations or [{"table": name, **whole}]:
            line, checksum = journal.seal(checksum, _to_json(operation))
            lines.append(line)
    return lines, checksum


def _keys(documents: object) -> list[str]:
    return list(documents) if isinstance(documents, dict) else []


def _wait_for_lock(descriptor: int, path: Path) -> None:
    deadline = time.monotonic() + LOCK_WAIT_S
    pause = 0.0005
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise HistoryError(
                    f"the history {path} is held by another process for more than "
                    f"{LOCK_WAIT_S:.0f} s; end it or try again"
                ) from None
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)


def _read_all(descriptor: int, offset: int) -> bytes:
    parts = []
    while part := os.pread(descriptor, 16 << 20, offset):
        parts.append(part)
        offset += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _identity(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
