"""Threads that wait for a child process or a peer's answer far longer than they usually do.

A request that waits is found by its own duration. A daemon's loop has none: here the place (the
innermost project frame's line) of every thread that waits so is looked at once a second. How
long waits last there is learned from those that ended. A place that none has left yet is never
reported: supervisors wait for their children for ever, and rightly so. Only one that asks over
a plain socket, where ends cannot be heard, may be seen for long enough elsewhere instead; whoever
waits for work, in `accept`, a queue or a selector, waits for no answer and is never looked at.
"""

from __future__ import annotations

import _socket
import os
import re
import sys
import time
from _thread import get_ident
from collections import deque
from types import CodeType, FrameType

from selfheal_agent import frames, requests, texts
from selfheal_agent.capture import Capture
from selfheal_agent.clients import accepted
from selfheal_agent.ended_waits import ended
from selfheal_agent.locks import thread_name_of
from selfheal_agent.stalls import stall_record

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from typing import Any

    Place = tuple[CodeType, int]

CAUGHT_BY = "long waits"
STUCK_S = 5.0
USUAL_FACTOR = 10.0
USUAL_MIN_S = 1.0
"""Shorter waits count as this long: looks are a second apart."""
USUAL_FEW = 5
"""So many waits must have ended at a place before another one there can be too long."""
SILENT_S = 60.0
"""An answer over a plain socket is late after this time, where none was seen to come ..."""
ELSEWHERE = 30
"""... in a thread that was met at so many looks without standing there."""
_CHILD, _ANSWER = "a child process has", "an answer has"
_LIBRARIES = (
    ("/subprocess.py", _CHILD),
    ("/multiprocessing/popen_fork.py", _CHILD),
    ("/multiprocessing/process.py", _CHILD),
    ("/http/client.py", _ANSWER),
    ("/smtplib.py", _ANSWER),
    ("/ftplib.py", _ANSWER),
)
_WAITS = frozenset(("wait", "_wait", "_try_wait", "communicate", "_communicate", "poll", "join"))
_WAITS |= {"getresponse", "getreply", "getresp", "getmultiline"}
_CALLS = re.compile(r"\bos\.wait|\bwait(?:pid|id|3|4)\(")
_RECEIVES = re.compile(r"\.recv(?:_into|from|from_into|msg)?\(")
_SENDS = frozenset(("send", "sendall", "sendto", "sendmsg"))


class LongWaitWatch:
    """Places and how long was waited there; `look` is called by the probe's thread."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._stood: dict[int, tuple[Place, int, float]] = {}
        """By thread: place, how often it gave up the processor so far, since when."""
        self._usual: dict[Place, deque[float]] = {}
        self._exact: set[Place] = set()
        """Places at which the end of a wait is heard, and need not be seen."""
        self._elsewhere: dict[int, int] = {}
        """Looks at which a thread was met and did not stand still in such a wait."""

    def look(self) -> None:
        now = time.monotonic()
        for _ in range(len(ended)):
            code, line, seconds = ended.popleft()
            self._exact.add((code, line))
            self._learn((code, line), seconds)
        serving = {request.thread for request in list(requests.in_flight.values())}
        stood: dict[int, tuple[Place, int, float]] = {}
        elsewhere: dict[int, int] = {}
        for ident, frame in sys._current_frames().items():
            if ident == get_ident() or ident in serving:
                continue
            own, what = _own_frame_that_waits(frame)
            elsewhere[ident] = self._elsewhere.get(ident, 0)
            if own is None:
                elsewhere[ident] += 1
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
                    self._saw_end(before, now)
                    elsewhere[ident] += 1
            stood[ident] = (place, switches, since)
            self._judge(place, frame, ident, now - since, what, elsewhere[ident])
        for ident, before in self._stood.items():
            if ident not in stood:
                self._saw_end(before, now)
        self._stood, self._elsewhere = stood, elsewhere

    def _saw_end(self, before: tuple[Place, int, float], now: float) -> None:
        if before[0] not in self._exact:
            self._learn(before[0], now - before[2])

    def _learn(self, place: Place, seconds: float) -> None:
        if place in self._usual or len(self._usual) < 200:
            self._usual.setdefault(place, deque(maxlen=50)).append(seconds)

    def _judge(
        self, place: Place, frame: FrameType, ident: int, seconds: float, what: str, elsewhere: int
    ) -> None:
        if seconds < STUCK_S:
            return
        usual = sorted(self._usual.get(place, ()))
        if len(usual) < USUAL_FEW and (what != _ANSWER or elsewhere < ELSEWHERE):
            return
        longest = usual[int(0.95 * (len(usual) - 1))] if usual else 0.0
        least = STUCK_S if len(usual) >= USUAL_FEW else SILENT_S
        if seconds < max(least, USUAL_FACTOR * max(USUAL_MIN_S, longest)):
            return
        key = ("wait", *place)
        record: dict[str, Any] = {"kind": "stall"}
        if self._capture.is_new(key):
            record = stall_record(
                frames.stack_entries(frame),
                seconds,
                f"{what} been waited for here for {seconds:.1f} s",
                thread=thread_name_of(ident),
                caught_by=CAUGHT_BY,
                durations_s=[round(value, 3) for value in usual],
            )
        self._capture.event(record, key)


def _own_frame_that_waits(frame: FrameType | None) -> tuple[FrameType | None, str]:
    """The project frame in which a thread waits, and for what; None where it does not."""
    what = ""
    while frame is not None:
        code = frame.f_code
        if frames.is_own(code.co_filename):
            what = what or _waits_itself(frame)
            return (frame, what) if what else (None, "")
        if not what and code.co_name in _WAITS:
            ends = (told for end, told in _LIBRARIES if code.co_filename.endswith(end))
            what = next(ends, "")
        frame = frame.f_back
    return None, ""


def _waits_itself(frame: FrameType) -> str:
    code = frame.f_code
    names = code.co_names
    waits = any(name.startswith("wait") for name in names)
    asks = not _SENDS.isdisjoint(names) and any(name.startswith("recv") for name in names)
    if not waits and not asks:
        return ""
    line = texts.line_of(frames.absolute(code.co_filename), frame.f_lineno or 0, code)
    if waits and _CALLS.search(line):
        return _CHILD
    # who only listens waits for news, not for an answer; so does who was called by a client
    return _ANSWER if asks and _RECEIVES.search(line) and not _serves(frame) else ""


def _serves(frame: FrameType) -> bool:
    """Whether the function holds a connection that the service itself has accepted."""
    held = [value for value in frame.f_locals.values() if issubclass(type(value), _socket.socket)]
    return any(accepted(one) for one in held)


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
