"""print: what a handler tells of the exception it caught, in a service that keeps no log.

A loop that must go on catches everything and prints it. That is as much of a report as a record
of logging is; whether the handler expected what it caught is seen in the source, by the engine.
"""

from __future__ import annotations

import builtins
import sys
import traceback

from selfheal_agent import frames
from selfheal_agent.capture import Capture, message_of, traceback_of

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from typing import Any


def install(capture: Capture) -> None:
    """From now on what handlers print of what they caught is heard of."""
    module: Any = traceback
    original, whole = builtins.print, module.print_exc

    def telling(*values: Any, **options: Any) -> None:
        exc = sys.exc_info()[1]
        if exc is not None and _is_own_handler(exc):
            _printed(exc, values, options.get("file"), capture)
        original(*values, **options)

    def print_exc(*values: Any, **options: Any) -> None:
        exc = sys.exc_info()[1]
        if exc is not None and _is_own_handler(exc):
            capture.exception(exc, "traceback")  # shown whole: nobody expected it
        whole(*values, **options)

    telling.__module__, telling.__doc__ = "builtins", original.__doc__
    telling.__name__ = telling.__qualname__ = "print"  # as pickle looks for it
    telling.__wrapped__ = original  # type: ignore[attr-defined]
    # logging has each line of a traceback printed, which would cost every failing request
    module.print = original
    module.print_exc = print_exc
    builtins.print = telling


def _is_own_handler(exc: BaseException) -> bool:
    """Whether the project caught it; what a library's handler tells is its own affair."""
    caught = traceback_of(exc)
    return caught is not None and frames.is_own(caught.tb_frame.f_code.co_filename)


def _printed(exc: BaseException, values: tuple[Any, ...], file: Any, capture: Capture) -> None:
    try:
        if file is sys.stderr or _tells_of(exc, values):
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
