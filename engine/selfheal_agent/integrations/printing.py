"""print: what a handler tells of the exception it caught, in a service that keeps no log.

A loop that must go on catches everything and prints it. That is as much of a report as a record
of logging is; whether the handler expected what it caught is seen in the source, by the engine.
"""

from __future__ import annotations

import sys
from types import ModuleType

from selfheal_agent import frames
from selfheal_agent.capture import Capture, message_of

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from typing import Any


def patch_print(builtins: ModuleType, capture: Capture) -> None:
    original = builtins.print

    def telling(*values: Any, **options: Any) -> None:
        exc = sys.exc_info()[1]
        if exc is not None:
            _printed(exc, values, options.get("file"), capture)
        original(*values, **options)

    telling.__module__, telling.__doc__ = "builtins", original.__doc__
    telling.__name__ = telling.__qualname__ = "print"  # as pickle looks for it
    telling.__wrapped__ = original  # type: ignore[attr-defined]
    builtins.print = telling  # type: ignore[attr-defined]


def _printed(exc: BaseException, values: tuple[Any, ...], file: Any, capture: Capture) -> None:
    try:
        caught = exc.__traceback__
        if caught is None or not frames.is_own(caught.tb_frame.f_code.co_filename):
            return  # a library's handler: what it tells is its own affair
        if sys._getframe(2).f_globals.get("__name__") == "traceback":
            capture.exception(exc, "traceback")  # shown whole: nobody expected it
        elif file is sys.stderr or _tells_of(exc, values):
            capture.exception(exc, "print", handled=True)
    except Exception:
        capture.beyond += 1


def _tells_of(exc: BaseException, values: tuple[Any, ...]) -> bool:
    """Whether the printed values are the exception or speak of it; no code of the service runs."""
    words = ""
    for value in values:
        if value is exc:
            return True
        if type(value) is str:
            words = words or message_of(exc) or type(exc).__name__
            if words in value:
                return True
    return False
