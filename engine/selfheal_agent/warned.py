"""ResourceWarnings: files, sockets and connections that were dropped before they were closed.

CPython closes most of them as they are dropped, so one is no incident: it is recorded as handled,
and is evidence where descriptors or memory grow. Where the service ignores the warning, as
Python does by default, it is still not shown.
"""

from __future__ import annotations

import os
import sys
import time

from selfheal_agent import frames
from selfheal_agent.capture import Capture, thread_name
from selfheal_agent.scrub import scrub_text

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from types import FrameType
    from typing import Any


def install(capture: Capture) -> None:
    """From now on each place that drops an open resource is told once."""
    import warnings

    quiet = _action(warnings.filters) == "ignore"
    if quiet:
        warnings.simplefilter("default", ResourceWarning)
    module: Any = warnings
    shown = module._showwarnmsg

    def _showwarnmsg(msg: Any) -> Any:
        if msg.category is ResourceWarning:
            _take(msg, capture)
            if quiet:
                return None
        return shown(msg)

    module._showwarnmsg = _showwarnmsg


def _action(filters: Any) -> str:
    for action, message, category, module, line in filters:
        everywhere = message is None and module is None and not line
        if everywhere and issubclass(ResourceWarning, category):
            return str(action)
    return "default"


def _take(msg: Any, capture: Capture) -> None:
    try:
        entries = frames.stack_entries(_dropped_in(sys._getframe(2)))
        own = [entry for entry in entries if frames.is_own(entry[0].f_code.co_filename)]
        if not own:
            return
        file, line = _allocated(msg.source) or (own[-1][0].f_code.co_filename, own[-1][2])
        args = getattr(msg.message, "args", ())
        text = args[0] if args and type(args[0]) is str else ""
        record = {
            "kind": "resource",
            "handled": True,
            "time_s": time.time(),
            "pid": os.getpid(),
            "exception": "ResourceWarning",
            "message": scrub_text(text[:500]),
            "frames": frames.take(entries),
            "thread": thread_name(),
            "caught_by": "warnings",
            "growth": [
                {
                    "file": frames.absolute(file),
                    "line": line,
                    "bytes_grown": 0,
                    "count_grown": 1,
                    "type_name": f"unclosed:{type(msg.source).__name__}",
                }
            ],
        }
        capture.event(record, ("warning", file, line, type(msg.source)))
    except Exception:
        capture.beyond += 1


def _dropped_in(frame: FrameType | None) -> FrameType | None:
    # the warnings module and a library's own __del__ stand between us and who let go
    while frame is not None and not frames.is_own(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def _allocated(source: Any) -> tuple[str, int] | None:
    """Where the object was made, known while memory is being traced."""
    tracemalloc = sys.modules.get("tracemalloc")
    if source is None or tracemalloc is None or not tracemalloc.is_tracing():
        return None
    for place in reversed(tracemalloc.get_object_traceback(source) or ()):
        if frames.is_own(place.filename):
            return str(place.filename), int(place.lineno)
    return None
