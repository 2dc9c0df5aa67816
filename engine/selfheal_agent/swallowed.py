"""Exceptions that the service's own code catches and says nothing of: an option from 3.12 on.

`sys.monitoring` tells of every exception that is handled anywhere; those that end in a handler of
the project are recorded as handled, once for each place. Nothing marks the exception itself: one
that is logged or raised again later is told of as usual.
"""

from __future__ import annotations

import sys
from types import CodeType

from selfheal_agent import capture as capturing
from selfheal_agent import frames
from selfheal_agent.capture import Capture

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from typing import Any

TOOL = 3
NAME = "selfheal swallowed"
MAX_PLACES = 500
_FLOW = (StopIteration, StopAsyncIteration, GeneratorExit, KeyboardInterrupt, SystemExit)


def install(capture: Capture) -> bool:
    """Begin; False where this Python or another tool does not allow it."""
    monitoring: Any = getattr(sys, "monitoring", None)
    if monitoring is None:
        return False
    try:
        monitoring.use_tool_id(TOOL, NAME)
    except ValueError:
        return False
    counts: dict[tuple[CodeType, int, type], int] = {}

    def handled(code: CodeType, offset: int, exc: BaseException) -> None:
        if not frames.is_own(code.co_filename) or issubclass(type(exc), _FLOW):
            return
        place = (code, offset, type(exc))
        if place not in counts and len(counts) >= MAX_PLACES:
            return
        counts[place] = counts.get(place, 0) + 1
        try:
            _record(exc, place, capture)
        except Exception:
            capture.beyond += 1

    monitoring.register_callback(TOOL, monitoring.events.EXCEPTION_HANDLED, handled)
    monitoring.set_events(TOOL, monitoring.events.EXCEPTION_HANDLED)
    return True


def stop() -> None:
    """No exception calls us any more."""
    monitoring: Any = getattr(sys, "monitoring", None)
    if monitoring is not None and monitoring.get_tool(TOOL) == NAME:
        monitoring.register_callback(TOOL, monitoring.events.EXCEPTION_HANDLED, None)


def _record(exc: BaseException, place: tuple[CodeType, int, type], capture: Capture) -> None:
    key = ("swallowed", *place)
    record: dict[str, Any] = {"kind": "exception", "handled": True}
    if capture.is_new(key):
        entries = frames.traceback_entries(exc.__traceback__)
        record = {**capturing.describe(exc, "exception", "swallowed", entries), "handled": True}
    capture.event(record, key)
