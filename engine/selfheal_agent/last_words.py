"""The interpreter's own hooks: uncaught, unraisable, and the end of the process.

Set before anything else runs, so this module loads nothing; the rest comes with the first
exception.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from collections.abc import Callable
    from typing import Any

    from selfheal_agent.capture import Capture


def install(
    capture: Callable[[], Capture],
    flush: Callable[[float], None],
    goodbye: Callable[[], None],
) -> None:
    """Chain to whatever hooks are there."""
    before = sys.excepthook

    def excepthook(cls: Any, exc: Any, tb: Any) -> Any:
        capture().exception(exc, "excepthook", tb=tb)
        flush(0.5)
        return before(cls, exc, tb)

    sys.excepthook = excepthook
    unraisable_before = sys.unraisablehook

    def unraisablehook(unraisable: Any) -> Any:
        capture().exception(unraisable.exc_value, "unraisable", tb=unraisable.exc_traceback)
        return unraisable_before(unraisable)

    sys.unraisablehook = unraisablehook
    exit_now = os._exit

    def _exit(status: int) -> Any:
        goodbye()
        exit_now(status)

    os._exit = _exit
