"""One probe's socket, seen from the app: JSON lines both ways, the peer's uid checked."""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from pathlib import Path
from typing import Any

MAX_LINE_BYTES = 16_000_000


class ConnectionRefusedByUsError(OSError):
    """The peer is not who it should be."""


class ProbeConnection:
    """A connected probe. Used by one thread."""

    def __init__(self, path: Path, *, read_only: bool = False, attach: bool = True) -> None:
        """Connects and attaches. Raises OSError.

        Not `attach`: one may ask, but records do not come and the probe works no harder.
        """
        self.path = path
        self.hello: dict[str, Any] = {}
        self.owner = False
        self.taken_by = 0
        self.gone = False
        self._messages: list[dict[str, Any]] = []
        self._replies: dict[int, dict[str, Any]] = {}
        self._inbox = bytearray()
        self._next_id = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(1.0)
            _connect(self._socket, path)
            self._check_peer()
            if attach:
                self.send({"t": "attach", "read_only": read_only})
            self._socket.setblocking(False)
        except BaseException:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def pid(self) -> int:
        return int(self.hello.get("pid") or 0) or int(self.path.stem)

    def send(self, message: dict[str, Any]) -> int:
        """Send one message; its id, which the answer will carry."""
        self._next_id += 1
        line = json.dumps({**message, "id": self._next_id}).encode() + b"\n"
        timeout = self._socket.gettimeout()
        try:
            self._socket.settimeout(1.0)
            self._socket.sendall(line)
        except OSError:
            self.gone = True
        finally:
            self._socket.settimeout(timeout)
        return self._next_id

    def receive(self) -> None:
        """Read what is there without blocking; sets `gone` at the end."""
        while True:
            try:
                part = self._socket.recv(1 << 18)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                part = b""
            if not part or len(self._inbox) > MAX_LINE_BYTES:
                self.gone = True
                return
            self._inbox += part
            if b"\n" in part:
                *lines, rest = self._inbox.split(b"\n")
                self._inbox = bytearray(rest)
                for line in lines:
                    self._sort(bytes(line))

    def messages(self) -> list[dict[str, Any]]:
        """What came unasked since the last call."""
        found, self._messages = self._messages, []
        return found

    def reply(self, number: int) -> dict[str, Any] | None:
        """The answer to a message, once."""
        return self._replies.pop(number, None)

    def close(self) -> None:
        self._socket.close()

    def _sort(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            self.gone = True
            return
        kind = message.get("t")
        if kind == "hello":
            self.hello = message
            self.taken_by = int(message.get("taken_by") or 0)
        elif kind == "attached":
            self.owner = bool(message.get("owner"))
            self.taken_by = 0 if self.owner else int(message.get("taken_by") or 0)
        elif kind == "reply":
            self._replies[int(message.get("id") or 0)] = message
            while len(self._replies) > 100:
                self._replies.pop(next(iter(self._replies)))
        else:
            self._messages.append(message)

    def _check_peer(self) -> None:
        packed = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        _, uid, _ = struct.unpack("3i", packed)
        allowed = {os.geteuid()}
        if os.geteuid() == 0:
            allowed.add(self.path.parent.stat().st_uid)
        if uid not in allowed:
            raise ConnectionRefusedByUsError(f"the probe at {self.path} runs as uid {uid}")


def ask_all(
    connections: list[ProbeConnection], message: dict[str, Any], timeout_s: float
) -> dict[int, dict[str, Any]]:
    """Send to all, collect answers until `timeout_s`: answer by pid."""
    import select

    sent = {connection: connection.send(message) for connection in connections}
    answers: dict[int, dict[str, Any]] = {}
    end = time.monotonic() + timeout_s
    while True:
        for connection in list(sent):
            answer = connection.reply(sent[connection])
            if answer is not None:
                answers[connection.pid] = answer
            if answer is not None or connection.gone:
                del sent[connection]
        left = end - time.monotonic()
        if not sent or left <= 0:
            return answers
        ready, _, _ = select.select(list(sent), [], [], left)
        for connection in ready:
            connection.receive()


def hello_of(path: Path, timeout_s: float = 1.0) -> dict[str, Any]:
    """What the probe at a socket says of itself; {} when nobody answers in time."""
    import select

    try:
        connection = ProbeConnection(path, attach=False)
    except OSError:
        return {}
    end = time.monotonic() + timeout_s
    try:
        while not connection.hello and not connection.gone:
            ready, _, _ = select.select([connection], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                break
            connection.receive()
        return connection.hello
    finally:
        connection.close()


def _connect(sock: socket.socket, path: Path) -> None:
    if len(os.fsencode(path)) < 100:
        sock.connect(str(path))
        return
    folder = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
    try:
        sock.connect(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
