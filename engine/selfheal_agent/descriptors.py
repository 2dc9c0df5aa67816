"""Descriptors that pile up, and the line that opens them.

Counting is one system call a second: each gives the interpreter away and has to get it back, which
a thread that computes makes dear for both. Only while the number rises does an audit hook
(PEP 578: open, socket.__new__, sqlite3.connect, ...) note which project line opens; when that
line's opens account for the rise, it is reported with its stack.
"""

from __future__ import annotations

import os
import sys
import time
from _thread import get_ident
from collections import Counter, deque

from selfheal_agent import frames, requests
from selfheal_agent.capture import Capture, thread_name
from selfheal_agent.memory import descriptors_by_kind

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from collections.abc import Callable
    from typing import Any

RISE = 24
"""Descriptors above the lowest count of the last minute that start the closer look."""
PROOF = 16
"""Opens of one line that must have stayed open before it is reported."""
SHARE = 0.6
MAX_CALLS = 8
"""Different calls of the opening function that are kept for replay."""
_KINDS = {"socket.__new__": "socket", "subprocess.Popen": "pipe"}
"""Audit events whose descriptors are no files."""
_EVENTS = frozenset({"open", "os.open", "sqlite3.connect", *_KINDS})


class DescriptorWatch:
    """Counts of this process; `look` is called by the probe's thread each second."""

    def __init__(self, capture: Capture, put: Callable[[Any], None]) -> None:
        """`put` takes calls that may be replayed to the ring."""
        self._capture = capture
        self._put = put
        self._counts: deque[int] = deque(maxlen=60)
        self._since = 0
        """Open descriptors when the closer look began; 0: no closer look."""
        self._hooked = False
        self._opens: dict[tuple[str, int], list[Any]] = {}
        self._kinds_before: Counter[str] = Counter()
        self._kinds: Counter[str] = Counter()
        self._our_thread = get_ident()
        self._inside = False

    def look(self) -> None:
        now = self._count()
        if now is None:
            return
        self._counts.append(now)
        if not self._since:
            if now - min(self._counts) >= RISE:
                self._begin(now)
            return
        if now < self._since:  # they were closed after all
            self._opens.clear()
            self._since = 0
            return
        self._judge(now - self._since)

    def _count(self) -> int | None:
        try:
            # Linux 6.2 and later say how many there are; a listing is a call for every one of them
            return os.stat("/proc/self/fd").st_size or len(os.listdir("/proc/self/fd")) - 1
        except OSError:
            # no descriptor left even for this: as many as ever were seen, and one more
            return max(self._counts) + 1 if self._counts else None

    def _begin(self, now: int) -> None:
        self._since = now
        self._kinds_before = self._kinds = descriptors_by_kind()
        if not self._hooked:
            self._hooked = True
            sys.addaudithook(self._heard)

    def _heard(self, event: str, _args: Any) -> None:
        if not self._since or event not in _EVENTS or self._inside:
            return
        if get_ident() == self._our_thread:
            return
        self._inside = True
        try:
            self._note(event)
        except Exception:
            self._capture.beyond += 1
        finally:
            self._inside = False

    def _note(self, event: str) -> None:
        frame = sys._getframe(2)
        while frame is not None and not frames.is_own(frame.f_code.co_filename):
            if frame.f_code.co_name in ("_find_and_load", "_handle_fromlist"):
                return  # an import reads files and closes them
            frame = frame.f_back  # type: ignore[assignment]
        if frame is None:
            return
        place = (frame.f_code.co_filename, frame.f_lineno or 0)
        known = self._opens.get(place)
        if known is not None:
            known[0] += 1
            if known[0] % 2 and len(known[4]) < MAX_CALLS:  # not each: routes may take turns
                self._keep_call(known[4], frames.take([(frame, frame.f_lasti, place[1])])[0])
        elif len(self._opens) < 64:
            entries = frames.stack_entries(frame)
            stack = frames.take(entries)
            self._opens[place] = [1, event, stack, requests.current_record(), {}]
            own = next((f for f in reversed(stack) if f["own"]), None)
            self._keep_call(self._opens[place][4], own or {})

    def _keep_call(self, calls: dict[str, Any], frame: dict[str, Any]) -> None:
        if frame.get("arguments"):
            calls[frame["arguments"]] = frame

    def _judge(self, risen: int) -> None:
        kinds = descriptors_by_kind() or self._kinds
        more = kinds - self._kinds_before
        self._kinds = kinds
        grown = [
            (place, noted)
            for place, noted in list(self._opens.items())
            if more[_KINDS.get(noted[1], "file")] >= SHARE * PROOF
        ]
        if risen < PROOF or not grown:
            return
        place, (count, event, stack, request, calls) = max(grown, key=lambda item: int(item[1][0]))
        if count < PROOF or not SHARE * count <= risen * 1.2 or count < SHARE * risen:
            return  # opened here and closed again, or opened elsewhere
        file = frames.absolute(place[0])
        record = {
            "kind": "resource",
            "time_s": time.time(),
            "pid": os.getpid(),
            "exception": "ResourceLeak",
            "message": f"{count} opened here ({event.split('.')[0]}), {risen} more are open",
            "frames": [dict(frame) for frame in stack],
            "thread": thread_name(),
            "caught_by": "descriptors",
            "request": request,
            "growth": [
                {
                    "file": file,
                    "line": place[1],
                    "bytes_grown": 0,
                    "count_grown": min(count, risen),
                    "type_name": f"descriptor:{event}",
                }
            ],
        }
        self._capture.event(record, ("resource", place))
        for arguments, frame in calls.items():
            call = {"function": frame["function"], "file": frame["file"], "arguments": arguments}
            self._put({"t": "good_call", **call, "result": "", "time_s": time.time()})
        calls.clear()
