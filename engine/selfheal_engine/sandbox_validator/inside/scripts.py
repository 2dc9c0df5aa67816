"""Imports a script without starting what it serves.

A script's top level defines things and then runs them: it serves, loops or waits for ever. Its
statements are executed one by one; one that rests, or works for long, is broken off, and one
that fails is left out, so that what stands around it is there. Threads and processes that the
script would start are not started, and it never sleeps.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import CodeType, FrameType, ModuleType
from typing import Any

LOOK_S = 0.05
IDLE_S = 0.4
"""A statement that waited this long, neither running nor kept from running, serves or waits."""
BUSY_S = 5.0
"""CPU seconds after which a statement is taken for the service's work."""
NAPS = 30
"""So many naps in one statement are a loop; one of LONG_NAP_S is waiting for the end."""
LONG_NAP_S = 2.0


class StartedError(BaseException):
    """The statement began to serve; not an Exception, so that the script does not catch it."""


def load(name: str, root: str, *, whole: bool) -> None:
    """Execute the script `name` and leave its module in sys.modules.

    With `whole`, what a statement raises ends it, as when it is run. Raises what its text or an
    import in it raises: SyntaxError, ImportError, NameError.
    """
    path = _path_of(name, root)
    if path is None or name in sys.modules:
        return
    if path in _loaded:
        sys.modules[name] = _loaded[path]
        return
    with open(path, "rb") as file:
        source = file.read()
    module = ModuleType(name)
    module.__file__ = path
    module.__dict__["__builtins__"] = __builtins__
    folder = os.path.dirname(path)
    if folder not in sys.path:
        sys.path.append(folder)
    flags = compile(source, path, "exec", dont_inherit=True).co_flags
    _loaded[path] = sys.modules[name] = module
    for node in ast.parse(source, path).body:
        code = compile(ast.Module([node], []), path, "exec", flags & _FUTURES, dont_inherit=True)
        try:
            with _nothing_started():
                _execute(code, module.__dict__)
        except (ImportError, NameError, SyntaxError):
            raise
        except SystemExit:
            return
        except Exception:
            if whole:
                raise
        except StartedError:
            continue


_loaded: dict[str, ModuleType] = {}
_FUTURES = 0x0FF0000 | 0x1000000
"""The flags of `from __future__` imports in a code object."""


def _path_of(name: str, root: str) -> str | None:
    path = os.path.join(root, *name.split(".")) + ".py"
    if os.path.isfile(path):
        return path
    with contextlib.suppress(ImportError, ValueError):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None and spec.origin.endswith(".py"):
            return spec.origin
    return None


def _execute(code: CodeType, scope: dict[str, Any]) -> None:
    if threading.current_thread() is not threading.main_thread():
        exec(code, scope)
        return
    watch = _Watch()
    before = signal.signal(signal.SIGALRM, watch.look)
    signal.setitimer(signal.ITIMER_REAL, LOOK_S, LOOK_S)
    try:
        exec(code, scope)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class _Watch:
    """How long a statement rested and worked, outside the imports that it makes."""

    def __init__(self) -> None:
        self.wall, self.ran, self.kept = _times()
        self.idle = self.busy = 0.0

    def look(self, _signal: int, frame: FrameType | None) -> None:
        wall, ran, kept = _times()
        more = ran - self.ran
        # a loaded machine keeps a process waiting that does not rest
        rest = wall - self.wall - more - (kept - self.kept)
        self.wall, self.ran, self.kept = wall, ran, kept
        if _importing(frame):
            return
        self.busy += more
        self.idle += max(0.0, rest)
        if self.idle > IDLE_S or self.busy > BUSY_S:
            raise StartedError


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "_find_and_load":
            return True
        frame = frame.f_back
    return False


def _times() -> tuple[float, float, float]:
    """Wall seconds, CPU seconds, and seconds for which the main thread waited for a CPU."""
    try:
        with open("/proc/self/schedstat", encoding="ascii") as file:
            kept = int(file.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        kept = 0.0
    return time.monotonic(), time.process_time(), kept


@contextlib.contextmanager
def _nothing_started() -> Iterator[None]:
    """No thread, no process, no sleep while it lasts."""
    import multiprocessing.process

    naps = 0

    def sleep(seconds: float) -> None:
        nonlocal naps
        naps += 1
        if naps > NAPS or seconds >= LONG_NAP_S:
            raise StartedError

    def end(*_: Any) -> None:
        raise StartedError

    def start(*_: Any) -> None:
        return

    replaced: list[tuple[Any, str, Any]] = [
        (time, "sleep", sleep),
        (threading.Thread, "start", start),
        (multiprocessing.process.BaseProcess, "start", start),
        (os, "fork", end),
        (os, "_exit", end),
        (os, "execv", end),
        (os, "execve", end),
    ]
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in replaced]
    for owner, name, value in replaced:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in kept:
            setattr(owner, name, value)
