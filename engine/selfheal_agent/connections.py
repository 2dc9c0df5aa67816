"""What the connections of a stream server sent, and whether they were still open at the end.

A server that speaks no HTTP has no request that could be sent again. So the handler of each
connection is noted with the first part of what came in. When something runs out, a few
conversations of each kind go out with the record, those first whose handler has ended while the
connection is still open: played again and again in the sandbox, one of them shows what is left.
"""

from __future__ import annotations

import time
import weakref
from collections import deque

from selfheal_agent import frames, recording
from selfheal_agent.recent import OUT_OF_ROOM, ran_out

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from collections.abc import Callable
    from types import CodeType
    from typing import Any

MAX_LIVE = 256
"""Connections that are listened to at a time."""
MAX_SENT = 2048
"""Bytes that are kept of what a connection sent."""
SPACING_S = 0.01
"""Connections that come faster are not all listened to: each costs some microseconds."""
MAX_KINDS = 24
KEPT = 2
"""Conversations kept of each kind: the handler, how it began, whether it was left open."""
MAX_RECORDS = 10
EVERY_S = 0.5
"""One of a kind that is known is kept at most so often: each holds what its handler was given."""
_WORD = 24


class Heard:
    """One connection: whose it is and the first part of what it sent."""

    __slots__ = (
        "arguments",
        "ended",
        "file",
        "function",
        "is_open",
        "is_served",
        "lasting",
        "module",
        "parts",
        "size",
        "way",
    )

    def __init__(
        self,
        way: str,
        code_or_class: tuple[str, str, str],
        arguments: list[Any],
        lasting: list[int],
        is_served: Callable[[], bool],
        is_open: Callable[[], bool],
    ) -> None:
        """`code_or_class`: file, module and qualified name of what serves it."""
        self.way = way
        self.file, self.module, self.function = code_or_class
        self.arguments = arguments
        """Values of what outlives the connection, at the places in `lasting`; else recordings."""
        self.lasting = lasting
        self.is_served = is_served
        self.is_open = is_open
        self.parts: list[bytes] = []
        self.size = 0
        self.ended = False
        """The client said that it sends nothing more."""

    def keep(self, part: Any) -> None:
        """Called with each part that came in."""
        if self.size < MAX_SENT:
            self.parts.append(bytes(part[: MAX_SENT - self.size]))
        self.size += len(part)


live: dict[int, Heard] = {}
"""By id of what the connection is known by; gone when its handler has ended."""
_kept: dict[tuple[Any, ...], deque[tuple[Heard, bool]]] = {}
_due: dict[tuple[Any, ...], float] = {}


_begun = [0.0]
"""When a connection was listened to last."""


def has_room() -> bool:
    """Whether one more connection is to be listened to."""
    return len(live) < MAX_LIVE and time.monotonic() - _begun[0] >= SPACING_S


def begin(key: int, heard: Heard) -> None:
    """A handler has taken a connection; called where it does."""
    _begun[0] = time.monotonic()
    before = live.get(key)
    if before is not None:  # it is gone, or its id would not have been given again
        _put_away(before, _begun[0])
    if before is not None or len(live) < MAX_LIVE:
        live[key] = heard


def coroutine_arguments(coroutine: Any, held: list[Any]) -> tuple[list[Any], list[int]] | None:
    """What a coroutine that has not begun was called with; None where it cannot be told.

    Objects that the server holds anyway, `held`, are kept themselves and written when they are
    asked for; all else is written now, for it would live longer by being kept.
    """
    call = frames.call_arguments(coroutine.cr_code, coroutine.cr_frame.f_locals)
    if call is None or call["kwargs"]:
        return None
    return split(call["args"], held)


def split(arguments: list[Any], held: list[Any]) -> tuple[list[Any], list[int]]:
    """Each argument itself, at the places named, or its recording."""
    lasting = [n for n, one in enumerate(arguments) if any(one is other for other in held)]
    return (
        [one if n in lasting else _text(one) for n, one in enumerate(arguments)],
        lasting,
    )


def _text(value: object) -> str:
    return "null" if value is None else recording.try_encode(value)


def place_of(code: CodeType, name: str, module: object) -> tuple[str, str, str] | None:
    """File, module and qualified name of a handler's code; None unless it is the project's."""
    if not frames.is_own(code.co_filename):
        return None
    return frames.absolute(code.co_filename), module if type(module) is str else "", name


def look() -> None:
    """Put away the connections whose handler has ended; called in the probe's thread."""
    now = time.monotonic()
    for key, heard in list(live.items()):
        if heard.is_served():
            continue
        if live.get(key) is heard:
            del live[key]
            _put_away(heard, now)


def _put_away(heard: Heard, now: float) -> None:
    left_open = heard.is_open()
    began = b"".join(heard.parts[:1])[:_WORD].split(b" ")[0]
    kind: tuple[Any, ...] = (heard.file, heard.function, left_open, began)
    if kind not in _kept and len(_kept) >= MAX_KINDS:
        kind = (heard.file, heard.function, left_open, None)
    if now >= _due.get(kind, 0.0) and len(_kept) < 2 * MAX_KINDS:
        _due[kind] = now + EVERY_S
        _kept.setdefault(kind, deque(maxlen=KEPT)).append((heard, left_open))


def forget() -> None:
    """Start anew, as a forked child does."""
    live.clear()
    _kept.clear()
    _due.clear()


def for_record(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The conversations that belong to a record; [] unless it tells of what ran out."""
    name = str(record.get("exception", "")).rpartition(".")[2]
    wanted = record["kind"] == "resource" or name in OUT_OF_ROOM
    if not wanted and not ran_out(name, str(record.get("message", ""))):
        return []
    look()
    found = [
        kept[-1 - newest]
        for newest in range(KEPT)
        for kept in list(_kept.values())
        if newest < len(kept)
    ]
    found.sort(key=lambda one: not one[1])
    return [_plain(heard, left_open) for heard, left_open in found[:MAX_RECORDS]]


def _plain(heard: Heard, left_open: bool) -> dict[str, Any]:
    """A `model.ConnectionRecord` as plain JSON, scrubbed."""
    import base64

    from selfheal_agent.requests import scrub_body
    from selfheal_agent.scrub import scrub_lines

    sent = scrub_lines(scrub_body(b"".join(heard.parts)).decode("latin-1")).encode("latin-1")
    return {
        "way": heard.way,
        "file": heard.file,
        "module": heard.module,
        "function": heard.function,
        "arguments": [
            _text(one) if n in heard.lasting else one for n, one in enumerate(heard.arguments)
        ],
        "lasting": heard.lasting,
        "sent": {"b64": base64.b64encode(sent).decode("ascii")},
        "truncated": heard.size > MAX_SENT,
        "ended": heard.ended,
        "left_open": left_open,
    }


def coroutine_runs(coroutine: Any) -> Callable[[], bool]:
    """Tells whether a coroutine has not come to its end; it is not kept alive by being asked."""
    known = weakref.ref(coroutine)

    def runs() -> bool:
        found = known()
        return found is not None and found.cr_frame is not None

    return runs
