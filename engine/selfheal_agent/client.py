"""One connected app, as the channel's thread sees it: lines in, lines out."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from typing import Any

MAX_LINE_BYTES = 4_000_000


class Client:
    """One connected app."""

    __slots__ = ("attached", "cursor", "gone", "inbox", "inode", "outbox", "owner", "pid", "socket")

    def __init__(self, connection: Any, pid: int) -> None:
        self.socket = connection
        self.inode = inode_of(connection.fileno())
        self.pid = pid
        self.inbox = bytearray()
        self.outbox = bytearray()
        self.attached = self.owner = self.gone = False
        self.cursor = 0

    def say(self, message: dict[str, Any]) -> None:
        import json

        self.outbox += json.dumps(message, separators=(",", ":")).encode() + b"\n"

    def read(self) -> list[dict[str, Any]]:
        import json

        if not self._ours():
            return []
        try:
            part = self.socket.recv(262_144)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError:
            part = b""
        if not part or len(self.inbox) > MAX_LINE_BYTES:
            self.gone = True
            return []
        self.inbox += part
        *lines, rest = self.inbox.split(b"\n")
        self.inbox = bytearray(rest)
        messages = []
        for line in lines:
            try:
                message = json.loads(line)
            except ValueError:
                self.gone = True
                break
            if type(message) is dict:
                messages.append(message)
        return messages

    def write(self) -> None:
        while self.outbox and self._ours():
            try:
                sent = self.socket.send(memoryview(self.outbox)[:262_144])
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self.gone = True
                return
            del self.outbox[:sent]

    def _ours(self) -> bool:
        """Whether nobody closed the descriptor under us and took its number."""
        self.gone = self.gone or inode_of(self.socket.fileno()) != self.inode
        return not self.gone

    def close(self) -> None:
        close_own(self.socket, self.inode)


def close_own(connection: Any, inode: int) -> None:
    """Close a socket, but not what took its number after the service had closed it for us."""
    try:
        if inode_of(connection.fileno()) == inode:
            connection.close()
        else:
            connection.detach()
    except OSError:
        return


def inode_of(fd: int) -> int:
    """What a descriptor stands for; -1 when it is closed."""
    try:
        return os.fstat(fd).st_ino
    except OSError:
        return -1
