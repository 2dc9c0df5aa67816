"""Is it the client that a request waits for? A slow upload is no stall of the service.

A thread that reads from or writes to a connection which the service itself accepted waits for
whoever is at the other end. An accepted connection is known by its local port: somebody in this
network namespace listens on it.
"""

from __future__ import annotations

import _socket
import sys

from selfheal_agent.values import instance_dict, instance_slots

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from types import FrameType
    from typing import Any

    Entries = list[tuple[FrameType, int, int]]

HOLDERS = {
    "/socket.py": "_sock",
    "/ssl.py": "",
    "/asyncio/streams.py": "_transport",
    "/gunicorn/http/unreader.py": "sock",
}
"""Files whose `self` waits on a socket -> the attribute that holds it; "": `self` is one."""
INNERMOST = 4


def waits_for_client(entries: Entries) -> bool:
    """Whether the innermost frames of a stack wait on a connection that was accepted."""
    for frame, _, _ in reversed(entries[-INNERMOST:]):
        file = frame.f_code.co_filename
        attribute = next((a for end, a in HOLDERS.items() if file.endswith(end)), None)
        if attribute is None:
            continue
        held = frame.f_locals.get("self")
        for name in (attribute, "_transport", "_sock") if attribute else ():
            inside = instance_dict(held)
            held = inside.get(name, dict(instance_slots(held)).get(name, held))
        if issubclass(type(held), _socket.socket):
            return accepted(held)
    return False


def accepted(connection: Any) -> bool:
    """Whether the socket's own end is one that is listened on."""
    try:
        own = _socket.socket.getsockname(connection)
    except OSError:
        return False
    if type(own) is tuple and len(own) >= 2:
        return own[1] in listening_ports()
    return bool(own) and connection.family == getattr(_socket, "AF_UNIX", None)


def listening_ports() -> set[int]:
    """TCP ports that are listened on here; empty where the system does not tell."""
    ports: set[int] = set()
    if not sys.platform.startswith("linux"):
        return ports
    for table in ("/proc/self/net/tcp", "/proc/self/net/tcp6"):
        try:
            with open(table, encoding="ascii") as lines:
                for line in lines:
                    fields = line.split()
                    if len(fields) > 3 and fields[3] == "0A":
                        ports.add(int(fields[1].rpartition(":")[2], 16))
        except OSError:
            continue
    return ports
