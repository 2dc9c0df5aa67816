"""logging: records with a traceback, and ERROR records without one."""

from __future__ import annotations

import os
import sys
import time
from types import ModuleType

from selfheal_agent import frames, requests
from selfheal_agent.capture import Capture, thread_name
from selfheal_agent.scrub import scrub_text
from selfheal_agent.values import ids, qualified_type

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from typing import Any

ERROR = 40
_PLAIN = ids(str, int, float, bool, type(None), bytes)
_SERVERS = frozenset({"gunicorn", "uvicorn", "hypercorn", "werkzeug", "waitress", "asyncio"})


def patch_logging(logging: ModuleType, capture: Capture) -> None:
    original = logging.Logger.handle

    def handle(self: Any, record: Any) -> Any:
        # before the record is handled: a handler may drop exc_info or end the process
        capture.log_records += 1
        info = record.exc_info
        if type(info) is tuple and len(info) == 3 and info[1] is not None:
            capture.exception(info[1], "logging", record.levelno < ERROR, tb=info[2])
        elif record.levelno >= ERROR and not _of_a_server(record.name):
            _without_traceback(record, capture)
        return original(self, record)

    handle.__wrapped__ = original  # type: ignore[attr-defined]
    logging.Logger.handle = handle


def _without_traceback(record: Any, capture: Capture) -> None:
    # inside an except block the traceback is there, even when the call left it out
    being_handled = sys.exc_info()[1] or requests.suspected()
    if being_handled is not None:
        capture.exception(being_handled, "logging")
    else:
        _log_event(record, capture)


def _of_a_server(name: object) -> bool:
    """A server's own logger, or an access log: what fails there is an answer, which counts."""
    if type(name) is not str:
        return False
    first, _, rest = name.partition(".")
    return first in _SERVERS or name == "django.server" or rest.endswith("access")


def _log_event(record: Any, capture: Capture) -> None:
    try:
        key = ("log", record.name, record.pathname, record.lineno)
        made: dict[str, Any] = {"kind": "log"}
        if capture.is_new(key):
            entries = frames.stack_entries(sys._getframe(3))
            made = {
                "kind": "log",
                "time_s": time.time(),
                "pid": os.getpid(),
                "exception": "",
                "message": _text(record),
                "frames": frames.take(entries),
                "thread": thread_name(),
                "caught_by": "logging",
                "request": requests.current_record(),
            }
            made["frames"] = _until_caller(made["frames"], record)
        capture.event(made, key)
    except Exception:
        capture.beyond += 1


def _until_caller(found: list[dict[str, Any]], record: Any) -> list[dict[str, Any]]:
    for position in range(len(found) - 1, -1, -1):
        if found[position]["line"] == record.lineno and found[position]["file"].endswith(
            os.path.basename(record.pathname)
        ):
            return found[: position + 1]
    return found


def _text(record: Any) -> str:
    message, args = record.msg, record.args
    if type(message) is not str:
        return f"<{qualified_type(type(message))}>"
    if args and type(args) is tuple and all(id(type(arg)) in _PLAIN for arg in args):
        try:
            message = message % args
        except (TypeError, ValueError):
            return scrub_text(message[:1000])
    return scrub_text(message[:1000])
