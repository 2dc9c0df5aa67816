"""The bytes between a serving engine and its viewers.

A unix socket, 0600 in a folder that is 0700, and both sides check the other's user by
SO_PEERCRED. Each message is four bytes of length, big-endian, then a JSON object. To the
viewer: `{"hello": {...}}` first, then `{"snapshot": ...}`, `{"event": ...}` and
`{"answer": id, "result": ... | "error": {...}}`; to the engine: `{"call": name, "id": n,
"arguments": [...]}`.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from pathlib import Path
from typing import Any

from selfheal_engine import errors
from selfheal_engine.config import Settings
from selfheal_engine.errors import SelfhealError

VERSION = 1
MOST_BYTES = 256 << 20
"""A longer message is a mistake, not a snapshot."""
_LENGTH = struct.Struct(">I")
_PEER = struct.Struct("3i")


def sockets_folder(settings: Settings) -> Path:
    """Where serving engines put their sockets, one `<service>.sock` each."""
    return settings.run_path() / "engines"


def send(channel: socket.socket, message: dict[str, Any]) -> None:
    """One message, whole. Raises OSError."""
    body = json.dumps(message, ensure_ascii=True).encode("ascii")
    channel.sendall(_LENGTH.pack(len(body)) + body)


def receive(channel: socket.socket) -> dict[str, Any] | None:
    """The next message; None when the other side has gone. Raises OSError, ValueError."""
    head = _exactly(channel, _LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > MOST_BYTES:
        raise ValueError(f"a message of {length} bytes")
    body = _exactly(channel, length)
    if body is None:
        return None
    message = json.loads(body)
    if not isinstance(message, dict):
        raise ValueError("a message that is no object")
    return message


def same_user(channel: socket.socket) -> bool:
    """Whether the other side is this user or root (unix(7), SO_PEERCRED)."""
    raw = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    _, uid, _ = _PEER.unpack(raw)
    return uid in (os.getuid(), 0)


def error_to_plain(why: BaseException) -> dict[str, str]:
    """A failure as it travels: the family's own by name, anything else as a bug's text."""
    if isinstance(why, SelfhealError):
        return {"kind": type(why).__name__, "text": str(why)}
    return {"kind": "", "text": f"{type(why).__name__}: {why}"}


def error_from_plain(plain: dict[str, str]) -> Exception:
    """The failure that `error_to_plain` described."""
    kind = getattr(errors, plain.get("kind", "") or "-", None)
    if isinstance(kind, type) and issubclass(kind, SelfhealError):
        return kind(plain["text"])
    return RuntimeError(plain.get("text", ""))


def _exactly(channel: socket.socket, size: int) -> bytes | None:
    parts = []
    while size:
        part = channel.recv(min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
