"""Lengths of RabbitMQ queues, asked for in AMQP 0-9-1 itself.

A queue that is declared `passive` is not made, but its count of ready messages is told. Of the
protocol there is as much as that takes (method frames of one channel); the connection stays open
between two questions, so that the broker's log is not filled with ours. Numbers of classes and
methods: AMQP 0-9-1 specification, sections 1.4 to 1.7 of its reference.
"""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Iterable

from selfheal_engine.errors import SelfhealError

METHOD, END = 1, 0xCE
MAX_FRAME = 1 << 20
START, START_OK, TUNE, TUNE_OK = (10, 10), (10, 11), (10, 30), (10, 31)
OPEN, OPEN_OK, CLOSE, CLOSE_OK = (10, 40), (10, 41), (10, 50), (10, 51)
CHANNEL_OPEN, CHANNEL_OPEN_OK = (20, 10), (20, 11)
CHANNEL_CLOSE, CHANNEL_CLOSE_OK = (20, 40), (20, 41)
DECLARE, DECLARE_OK = (50, 10), (50, 11)
PASSIVE = b"\x01"
_NO_TABLE = b"\0\0\0\0"


class AmqpError(SelfhealError):
    """The broker refused, or speaks something else."""


class AmqpQueues:
    """One connection to a broker, for questions about queues. Raises OSError and AmqpError."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        vhost: str = "/",
        user: str = "guest",
        password: str = "guest",
        secure: bool = False,
        timeout_s: float = 0.5,
    ) -> None:
        self._timeout_s = timeout_s
        self._end = time.monotonic() + timeout_s
        self._inbox = b""
        self._open_channel = False
        self._socket = socket.create_connection((host, port), timeout_s)
        try:
            if secure:
                context = ssl.create_default_context()
                self._socket = context.wrap_socket(self._socket, server_hostname=host)
            self._socket.sendall(b"AMQP\0\0\x09\x01")
            self._expect(START)
            plain = b"\0" + user.encode() + b"\0" + password.encode()
            words = [_NO_TABLE, _short("PLAIN"), struct.pack(">I", len(plain)), plain]
            self._send(0, START_OK, b"".join([*words, _short("en_US")]))
            tune = self._expect(TUNE)
            # one channel is enough, frames as large as the broker likes, no heartbeat
            self._send(0, TUNE_OK, struct.pack(">H", 1) + tune[2:6] + b"\0\0")
            self._send(0, OPEN, _short(vhost) + _short("") + b"\0")
            self._expect(OPEN_OK)
        except BaseException:
            self._socket.close()
            raise

    def lengths(self, queues: Iterable[str]) -> int:
        """Messages that are ready in all of these; a queue that nobody made yet is empty."""
        self._end = time.monotonic() + self._timeout_s
        return sum(self._length(name) for name in queues)

    def close(self) -> None:
        try:
            self._send(0, CLOSE, struct.pack(">H", 200) + _short("") + b"\0\0\0\0")
        except OSError:
            return
        finally:
            self._socket.close()

    def _length(self, name: str) -> int:
        if not self._open_channel:
            self._send(1, CHANNEL_OPEN, _short(""))
            self._expect(CHANNEL_OPEN_OK)
            self._open_channel = True
        self._send(1, DECLARE, b"\0\0" + _short(name) + PASSIVE + _NO_TABLE)
        kind, arguments = self._method()
        if kind == CHANNEL_CLOSE:  # there is no such queue, or it is somebody's own
            self._send(1, CHANNEL_CLOSE_OK, b"")
            self._open_channel = False
            return 0
        if kind != DECLARE_OK:
            raise AmqpError(f"the broker answered {kind} to a declaration")
        (ready,) = struct.unpack_from(">I", arguments, 1 + arguments[0])
        return int(ready)

    # ------------------------------------------------------------ frames
    def _send(self, channel: int, kind: tuple[int, int], arguments: bytes) -> None:
        body = struct.pack(">HH", *kind) + arguments
        frame = struct.pack(">BHI", METHOD, channel, len(body)) + body + bytes([END])
        self._socket.settimeout(max(0.01, self._end - time.monotonic()))
        self._socket.sendall(frame)

    def _expect(self, kind: tuple[int, int]) -> bytes:
        found, arguments = self._method()
        if found == kind:
            return arguments
        if found in (CLOSE, CHANNEL_CLOSE):
            text = arguments[3 : 3 + arguments[2]].decode("utf-8", "replace")
            raise AmqpError(f"the broker refused: {text}")
        raise AmqpError(f"the broker answered {found} instead of {kind}")

    def _method(self) -> tuple[tuple[int, int], bytes]:
        """The next method and its arguments; other frames (heartbeats) are passed over."""
        while True:
            head = self._exactly(7)
            if head[:4] == b"AMQP":
                raise AmqpError("the broker speaks another version of AMQP")
            kind, _, size = struct.unpack(">BHI", head)
            if size > MAX_FRAME:
                raise AmqpError("the broker does not speak AMQP")
            body = self._exactly(size + 1)
            if body[-1] != END:
                raise AmqpError("the broker does not speak AMQP")
            if kind == METHOD and size >= 4:
                first, second = struct.unpack_from(">HH", body)
                return (first, second), body[4:-1]

    def _exactly(self, size: int) -> bytes:
        while len(self._inbox) < size:
            self._socket.settimeout(max(0.01, self._end - time.monotonic()))
            part = self._socket.recv(65_536)
            if not part:
                raise ConnectionResetError("the broker closed the connection: wrong password?")
            self._inbox += part
        found, self._inbox = self._inbox[:size], self._inbox[size:]
        return found


def _short(text: str) -> bytes:
    body = text.encode()[:255]
    return bytes([len(body)]) + body
