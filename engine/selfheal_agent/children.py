"""Threads that wait for a child process far longer than they usually do.

A request that waits is found by its own duration. A daemon's loop has none: here the place (the
innermost project frame's line) of every thread that waits for a child is looked at once a second.
How long waits last there is learned from those that ended; a place that none has left yet is
never reported, since supervisors wait for their children for ever, and rightly so.
"""

from __future__ import annotations

import os
import re
import sys
import time
from _thread import get_ident
from collections import deque
from types import CodeType, FrameType

from selfheal_agent import frames, requests, texts
from selfheal_agent.capture import Capture
from selfheal_agent.locks import thread_name_of
from selfheal_agent.stalls import stall_record

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from typing import Any

    Place = tuple[CodeType, int]

STUCK_S = 5.0
USUAL_FACTOR = 10.0
USUAL_MIN_S = 1.0
"""Shorter waits count as this long: looks are a second apart."""
USUAL_FEW = 5
"""So many waits must have ended at a place before another one there can be too long."""
_LIBRARIES = ("/subprocess.py", "/multiprocessing/popen_fork.py", "/multiprocessing/process.py")
_WAITS = frozenset(("wait", "_wait", "_try_wait", "communicate", "_communicate", "poll", "join"))
_CALLS = re.compile(r"\bos\.wait|\bwait(?:pid|id|3|4)\(")


class ChildWatch:
    """Places and how long was waited there; `look` is called by the probe's thread."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._stood: dict[int, tuple[Place, int, float]] = {}
        """By thread: place, how often it gave up the processor so far, since when."""
        self._usual: dict[Place, deque[float]] = {}

    def look(self) -> None:
        now = time.monotonic()
        serving = {request.thread for request in list(requests.in_flight.values())}
        stood: dict[int, tuple[Place, int, float]] = {}
        for ident, frame in sys._current_frames().items():
            own = _own_frame_that_waits(frame)
            if own is None or ident == get_ident() or ident in serving:
                continue
            place = (own.f_code, own.f_lineno or 0)
            switches = _switches(ident)
            since = now
            before = self._stood.get(ident)
            if before is not None:
                # one that sleeps in one system call does not; a loop of short waits does
                still = before[:2] == (place, switches) and switches >= 0
                since = before[2] if still else now
                if not still:
                    self._ended(before, now)
            stood[ident] = (place, switches, since)
            self._judge(place, frame, ident, now - since)
        for ident, before in self._stood.items():
            if ident not in stood:
                self._ended(before, now)
        self._stood = stood

    def _ended(self, before: tuple[Place, int, float], now: float) -> None:
        place = before[0]
        if place in self._usual or len(self._usual) < 200:
            self._usual.setdefault(place, deque(maxlen=50)).append(now - before[2])

    def _judge(self, place: Place, frame: FrameType, ident: int, seconds: float) -> None:
        usual = sorted(self._usual.get(place, ()))
        if seconds < STUCK_S or len(usual) < USUAL_FEW:
            return
        if seconds < USUAL_FACTOR * max(USUAL_MIN_S, usual[int(0.95 * (len(usual) - 1))]):
            return
        key = ("child", *place)
        record: dict[str, Any] = {"kind": "stall"}
        if self._capture.is_new(key):
            record = stall_record(
                frames.stack_entries(frame),
                seconds,
                f"a child process has been waited for here for {seconds:.1f} s",
                thread=thread_name_of(ident),
                caught_by="children",
                durations_s=[round(value, 3) for value in usual],
            )
        self._capture.event(record, key)


def _own_frame_that_waits(frame: FrameType | None) -> FrameType | None:
    """The project frame in which a thread waits for a child; None where it does not."""
    inside = False
    while frame is not None:
        code = frame.f_code
        if frames.is_own(code.co_filename):
            return frame if inside or _waits_itself(frame) else None
        inside = inside or (code.co_name in _WAITS and code.co_filename.endswith(_LIBRARIES))
        frame = frame.f_back
    return None


def _waits_itself(frame: FrameType) -> bool:
    code = frame.f_code
    if not any(name.startswith("wait") for name in code.co_names):
        return False
    file = frames.absolute(code.co_filename)
    return bool(_CALLS.search(texts.line_of(file, frame.f_lineno or 0, code)))


def _switches(ident: int) -> int:
    """How often a thread began to sleep in the kernel so far; -1 where that cannot be told."""
    threading = sys.modules.get("threading")
    thread = threading._active.get(ident) if threading is not None else None
    native = thread.__dict__.get("_native_id") if thread is not None else os.getpid()
    try:
        with open(f"/proc/self/task/{native}/status", encoding="ascii", errors="replace") as lines:
            for line in lines:
                if line.startswith("voluntary_ctxt_switches:"):
                    return int(line.split()[1])
    except (OSError, ValueError):
        return -1
    return -1
