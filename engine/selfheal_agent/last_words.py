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


ending = ["exit"]
"""How the process ends: "crash" once an exception went uncaught or the status is not 0."""


def install(
    capture: Callable[[], Capture],
    flush: Callable[[float], None],
    goodbye: Callable[[], None],
    before_exec: Callable[[], None],
) -> None:
    """Chain to whatever hooks are there."""
    before = sys.excepthook

    def excepthook(cls: Any, exc: Any, tb: Any) -> Any:
        ending[0] = "crash"
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
        if status != 0:
            ending[0] = "crash"
        try:
            goodbye()
        finally:  # even when a signal interrupts it
            exit_now(status)

    os._exit = _exit
    replace, replace_with = os.execv, os.execve

    def execv(path: Any, argv: Any) -> Any:
        before_exec()
        first = _first_again(os.environ)
        if first:
            os.environ["PYTHONPATH"] = first
        return replace(path, argv)

    def execve(path: Any, argv: Any, env: Any) -> Any:
        before_exec()
        first = _first_again(env)
        return replace_with(path, argv, {**env, "PYTHONPATH": first} if first else env)

    os.execv, os.execve = execv, execve  # all of os.exec* goes through these two


def _first_again(env: Any) -> str:
    """PYTHONPATH with our folder first, "" when it is; wrappers put their own before it."""
    if type(env) not in (dict, type(os.environ)):
        return ""
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "boot")
    path = env.get("PYTHONPATH")
    entries = path.split(os.pathsep) if type(path) is str else []
    if here not in entries or entries[0] == here:
        return ""
    return os.pathsep.join([here, *(entry for entry in entries if entry != here)])
