"""Where what stays behind was made: the project's line, found by repeating calls under tracemalloc.

Tracing makes calls several times slower, so it runs only once something has been seen to rise.
Memory is found by tracemalloc (PEP 454). Descriptors and children have no memory of their own:
the audit events (PEP 578) of a call that leaves one behind say which line asked for it.
"""

from __future__ import annotations

import gc
import os
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

FRAMES = 12
"""How deep a library may stand between the project's line and the allocation."""
WARMING = 6
CALLS = 40
"""Between two looks, which cost as much as what was kept has pieces."""
SECONDS_AT_MOST = 1.0
LEAST_BYTES = 8.0
"""Bytes a call that a line must have kept to be named."""
_EVENTS = {
    "descriptors": ("open", "socket.__new__", "os.pipe", "pty.openpty", "mmap.__new__"),
    "threads": ("_thread.start_new_thread", "_thread.start_joinable_thread"),
    "children": ("os.fork", "os.posix_spawn", "os.forkpty"),
    "bytes": (),
    "resident bytes": ("mmap.__new__",),
}


def line_that_keeps(
    call: Callable[[int], object], first: int, rising: dict[str, float], root: str
) -> str:
    """ "orders.py:12" relative to `root`, or "" where no line of the project can be named.

    `call` is repeated with numbers from `first` on; `rising` is what grows, by kind. The process
    is of no other use afterwards: audit hooks stay.
    """
    asked = _listen({event for what in rising for event in _EVENTS[what]}, root)
    tracemalloc.start(FRAMES)
    # what the first calls under tracing leave is theirs: caches of the tracer, lazy tables
    _repeat(call, first, WARMING)
    gc.collect()
    before = tracemalloc.take_snapshot()
    asked.clear()
    done, place = 0, ""
    begun = time.thread_time()
    # a buffer that is made larger now and then may rest for hundreds of calls
    while not place and time.thread_time() - begun < SECONDS_AT_MOST:
        made = _repeat(call, first + WARMING + done, CALLS)
        done += made
        gc.collect()
        place = _grown(before, tracemalloc.take_snapshot(), LEAST_BYTES * done, root)
        if made < CALLS:
            break
    tracemalloc.stop()
    return place or (asked.most_common(1)[0][0] if asked else "")


def _grown(
    before: tracemalloc.Snapshot, after: tracemalloc.Snapshot, least: float, root: str
) -> str:
    """The project's line below which most memory came to stay; "" when none kept `least` bytes."""
    kept: Counter[str] = Counter()
    for difference in after.compare_to(before, "traceback"):
        places = (_place(frame, root) for frame in reversed(difference.traceback))
        kept[next(filter(None, places), "")] += difference.size_diff
    del kept[""]
    return next((place for place, size in kept.most_common(1) if size >= least), "")


def _repeat(call: Callable[[int], object], first: int, times: int) -> int:
    """How many of `times` calls were made: until time is up, or what they leave has run out."""
    begun = time.thread_time()
    for number in range(times):
        if time.thread_time() - begun > SECONDS_AT_MOST:
            return number
        try:
            call(first + number)
        except Exception:
            return number
    return times


def _place(frame: Any, root: str) -> str:
    """ "orders.py:12" for a line of the project, "" for any other."""
    file = str(frame.filename)
    if not file.startswith(root + os.sep) or "site-packages" in file:
        return ""
    return f"{os.path.relpath(file, root)}:{frame.lineno}"


def _listen(events: set[str], root: str) -> Counter[str]:
    """Counts the project's lines that ask for any of `events`."""
    asked: Counter[str] = Counter()
    inside = root + os.sep

    def hook(event: str, _: tuple[Any, ...]) -> None:
        if event not in events:
            return
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            file = frame.f_code.co_filename
            if file.startswith(inside) and "site-packages" not in file:
                asked[f"{os.path.relpath(file, root)}:{frame.f_lineno}"] += 1
                return
            frame = frame.f_back

    if events:
        sys.addaudithook(hook)
    return asked
