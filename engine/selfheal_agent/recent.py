"""A few of the last requests of each route and outcome, for what only repetition shows.

Who meets a leak's end is seldom who leaks: the last connection of a pool is missed by whoever
asks next. So some requests are kept while all is well, by route and status, and go out with the
record of what ran out or grew: sent again and again in the sandbox, one of them shows it.
"""

from __future__ import annotations

import time
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from typing import Any

EVERY_S = 1.0
"""At most one of a route and status in this time is kept."""
MAX_KINDS = 60
KEPT = 3
MAX_SENT = 16
MAX_BODY = 8192
"""Larger bodies are not kept: all together must stay small beside the service."""
NEVER_S = float("inf")
OUT_OF_ROOM = frozenset(
    {"Busy", "TooBusy", "BusyError", "Exhausted", "ExhaustedError", "NoCapacity", "CapacityError"}
    | {"NoFreeSlot", "NoSlots", "LimitReached", "QuotaExceeded", "PoolExhausted", "Overloaded"}
    | {"PoolTimeout", "PoolError"}
)
"""Names by which libraries and projects say that nothing is left to hand out."""
_PERHAPS = frozenset({"Empty", "Full", "TimeoutError", "MemoryError"})
_WORDS = (
    "too many open files",
    "can't start new thread",
    "database is locked",
    "pool limit",
    "too many clients",
    "no space left",
    "connection pool",
    "too many connections",
    "disk quota exceeded",
)

due: dict[tuple[str, int], float] = {}
"""When the next request of a route and status may be kept, by `requests.clock`."""
_kept: dict[tuple[str, int], deque[dict[str, Any]]] = {}


def ran_out(name: str, message: str) -> bool:
    """Whether an exception (its class without the module) says that nothing is left to take."""
    return name in OUT_OF_ROOM or any(word in message.lower() for word in _WORDS)


def note(request: Any, route: str, now: float) -> None:
    """A request is over and its kind is due; called in the thread that served it."""
    key = (route, request.status)
    if key not in due and len(due) >= MAX_KINDS:
        return
    due[key] = now + EVERY_S
    if request.kind == "task" or request.body_size > MAX_BODY:
        return
    from selfheal_agent.requests import record_of

    try:
        record = record_of(request)
    except Exception:  # an environment of an unusual kind: the request must end as it would
        due[key] = NEVER_S
        return
    _kept.setdefault(key, deque(maxlen=KEPT)).append(record)


def forget() -> None:
    """Start anew, as a forked child does."""
    due.clear()
    _kept.clear()


def exchanges(file: str, function: str) -> list[dict[str, Any]]:
    """The requests that did not fail as `good_call` messages of a function, rarest kinds first."""
    found = []
    for round_ in range(KEPT):
        for (_, status), kept in list(_kept.items()):
            if status < 500 and round_ < len(kept):
                found.append(kept[-1 - round_])
    return [
        {
            "t": "good_call",
            "function": function,
            "file": file,
            "arguments": "",
            "result": "",
            "time_s": time.time(),
            "request": request,
        }
        for request in found[:MAX_SENT]
    ]


def exchanges_for(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that belong to a record; [] unless it tells of something that ran out."""
    name = str(record.get("exception", "")).rpartition(".")[2]
    wanted = record["kind"] == "resource" or name in _PERHAPS
    if not wanted and not ran_out(name, str(record.get("message", ""))):
        return []
    own = next((frame for frame in reversed(record["frames"]) if frame["own"]), None)
    return exchanges(own["file"], own["function"]) if own is not None else []
