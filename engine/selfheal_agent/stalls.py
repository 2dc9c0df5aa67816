"""Threads that do not move and requests that run far beyond their own distribution.

Each second the probe's thread looks where every thread stands: a thread whose frame and
instruction are the same as before has not moved. Waiting for work is normal and is told apart
from waiting for a lock or for an answer by the functions at the end of the stack.
"""

from __future__ import annotations

import os
import sys
import time
from _thread import get_ident
from types import FrameType

from selfheal_agent import frames, good_calls, histogram, requests
from selfheal_agent.capture import Capture
from selfheal_agent.clients import waits_for_client
from selfheal_agent.lock_orders import LockOrders, Order
from selfheal_agent.locks import Wait, cycles, thread_name_of, waits

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from typing import Any

    Entries = list[tuple[FrameType, int, int]]

STALL_MIN_S = 2.0
"""No request counts as stalled before this."""
STALL_FACTOR = 8.0
"""... nor before this many times the p99 of its own route (or of all requests)."""
FEW = 5
FEW_FACTOR = 30.0
"""With 5 to 19 known requests: this many times the slowest of them, 3 s at least."""
STALL_UNKNOWN_S = 10.0
"""Limit for requests of a process that has served fewer than 5."""
LOOP_BLOCKED_S = 1.8
"""An event loop this long inside one callback is reported as a stall."""
RISK_S = 30.0
"""A lock wait of this length alone makes a risk of 0.9; a cycle is 1, an inversion 0.5."""


class StallWatch:
    """Where each thread stood when it was last seen to move."""

    def __init__(self, capture: Capture, totals: requests.Totals) -> None:
        self._capture = capture
        self._totals = totals
        self._stood: dict[int, tuple[int, int, float]] = {}
        self._explained: set[int] = set()
        self._inside: dict[int, tuple[int, float]] = {}
        self._orders = LockOrders()
        self.risk = 0.0
        self.lock_waits: list[Wait] = []
        self.stalled = 0

    def look(self) -> None:
        """One look, by the probe's thread, once a second."""
        now = time.monotonic()
        me = get_ident()
        live = sys._current_frames()
        stuck: dict[int, float] = {}
        stood: dict[int, tuple[int, int, float]] = {}
        for ident, frame in live.items():
            if ident == me:
                continue
            before = self._stood.get(ident)
            since = now
            if before is not None and before[:2] == (id(frame), frame.f_lasti):
                since = before[2]
            stood[ident] = (id(frame), frame.f_lasti, since)
            stuck[ident] = now - since
        self._stood = stood
        self.lock_waits = waits(live, stuck, min_stuck_s=2.0)
        found = cycles(self.lock_waits)
        self._orders.watch()
        self._orders.look(live)
        for pair in self._orders.inversions():
            self._report_inversion(*pair)
        self.risk = self._risk(found)
        if found:
            self._report_deadlock(found, live)
        # who waits for a lock is told by the lock, not as a slow request
        self._explained = {wait.thread for wait in self.lock_waits if wait.held_by}
        self._look_at_loops(live)
        self._look_at_requests(live)

    def stuck_s(self, ident: int) -> float:
        """Seconds for which a thread has stood where it stands."""
        stood = self._stood.get(ident)
        return time.monotonic() - stood[2] if stood is not None else 0.0

    def _risk(self, found: list[list[Wait]]) -> float:
        if found:
            return 1.0
        longest = max((wait.stuck_s for wait in self.lock_waits), default=0.0)
        return max(self._orders.risk, round(min(0.9, 0.9 * longest / RISK_S), 3))

    def _report_deadlock(self, found: list[list[Wait]], live: dict[int, FrameType]) -> None:
        cycle = found[0]
        key = ("deadlock", tuple(sorted((w.code, w.line) for w in cycle)))
        record: dict[str, Any] = {"kind": "deadlock"}
        if self._capture.is_new(key):
            first = cycle[0]
            record = {
                "kind": "deadlock",
                "time_s": time.time(),
                "pid": os.getpid(),
                "exception": "Deadlock",
                "message": "; ".join(w.describe() for w in cycle),
                "frames": frames.take(frames.stack_entries(live.get(first.thread))),
                "thread": first.name,
                "caught_by": "stalls",
                "threads": [self._waiting(w, live) for w in cycle],
            }
        self._capture.event(record, key)

    def _report_inversion(self, first: Order, second: Order) -> None:
        key = ("inversion", first.code, first.line, second.code, second.line)
        record = {
            "kind": "deadlock",
            "time_s": time.time(),
            "pid": os.getpid(),
            "exception": "LockOrderInversion",
            "message": f"{first.text()}; {second.text()}: two threads at once wait for ever",
            "frames": second.copied_frames(),
            "thread": second.thread[1],
            "caught_by": "locks",
            "threads": [
                {
                    "name": order.thread[1],
                    "frames": order.copied_frames(),
                    "stuck_s": 0.0,
                    "waits_for": order.names[1],
                    "held_by": other.thread[1],
                }
                for order, other in ((first, second), (second, first))
            ],
        }
        self._capture.event(record, key)

    def _waiting(self, wait: Wait, live: dict[int, FrameType]) -> dict[str, Any]:
        return {
            "name": wait.name,
            "frames": frames.take(frames.stack_entries(live.get(wait.thread))),
            "stuck_s": wait.stuck_s,
            "waits_for": wait.what,
            "held_by": wait.held_by_name,
        }

    def _look_at_requests(self, live: dict[int, FrameType]) -> None:
        now = requests.clock()
        self.stalled = 0
        for request in list(requests.in_flight.values()):
            running = now - request.started
            if running < STALL_MIN_S or request.thread in self._explained:
                continue
            frame = live.get(request.thread)
            self.stalled += request.stall_told
            if request.stall_told:
                continue
            if frame is None or running < self._limit_s(request):
                continue
            if request.task is not None:
                entries = task_entries(request.task)
            else:
                entries = frames.stack_entries(frame)
            if waits_for_client(entries):
                continue
            request.stall_told = True
            if entries:
                self._report_stall(request, entries, running)

    def _look_at_loops(self, live: dict[int, FrameType]) -> None:
        """An event loop that stays inside one callback answers nobody meanwhile."""
        now = time.monotonic()
        inside: dict[int, tuple[int, float]] = {}
        for ident, frame in live.items():
            callback = _callback_of_loop(frame)
            if callback is None:
                continue
            before = self._inside.get(ident)
            since = before[1] if before is not None and before[0] == id(callback) else now
            inside[ident] = (id(callback), since)
            if now - since >= LOOP_BLOCKED_S and self._report_blocked(ident, frame, now - since):
                self._explained.add(ident)  # all its requests wait for that one call
        self._inside = inside
        loop_lags.clear()
        loop_lags.update({ident: now - since for ident, (_, since) in inside.items()})

    def _report_blocked(self, ident: int, frame: FrameType, seconds: float) -> bool:
        """False where no code of the project is to blame."""
        entries = frames.stack_entries(frame)
        own = [f for f, _, _ in entries if frames.is_own(f.f_code.co_filename)]
        if not own:
            return False
        key = ("blocked", own[-1].f_code, own[-1].f_lineno)
        record: dict[str, Any] = {"kind": "stall"}
        if self._capture.is_new(key):
            record = stall_record(
                entries,
                seconds,
                f"the event loop has been inside this call for {seconds:.1f} s",
                exception="EventLoopBlocked",
                thread=thread_name_of(ident),
                caught_by="stalls",
            )
        self._capture.event(record, key)
        return True

    def _limit_s(self, request: requests.InFlight) -> float:
        route = request.route_of(request.environ) if request.route_of else ""
        totals = self._totals.routes.get(route)
        counts = totals.counts if totals is not None and totals.requests >= 20 else None
        if counts is None and totals is not None and totals.requests >= FEW:
            return max(3.0, FEW_FACTOR * histogram.middle_s(max(totals.counts)))
        if counts is None:
            counts = {}
            for other in self._totals.routes.values():
                for index, count in other.counts.items():
                    counts[index] = counts.get(index, 0) + count
            if sum(counts.values()) < 20:
                return STALL_UNKNOWN_S
        p99 = histogram.quantile_s(counts, 0.99) or 0.0
        return max(STALL_MIN_S, STALL_FACTOR * p99)

    def _report_stall(self, request: requests.InFlight, entries: Entries, running: float) -> None:
        frame = entries[-1][0]
        own = [f for f, _, _ in entries if frames.is_own(f.f_code.co_filename)]
        crash = own[-1] if own else frame
        key = ("stall", crash.f_code, crash.f_lineno)
        tickets = {id(f): text for f in own[-2:] if (text := good_calls.entry_of_stack(f))}
        route = request.route_of(request.environ) if request.route_of else ""
        totals = self._totals.routes.get(route)
        self._capture.event(
            {
                "kind": "stall",
                "time_s": time.time(),
                "began_s": time.time() - running,
                "pid": os.getpid(),
                "exception": "Stall",
                "message": f"has not returned for {running:.1f} s, waiting in "
                f"{frames.qualified_name(frame.f_code)}",
                "frames": frames.take(entries, tickets),
                "thread": thread_name_of(request.thread),
                "caught_by": "stalls",
                "request": requests.record_of(request),
                "durations_s": _durations(totals),
                "codes": [(f.f_code, f.f_globals) for f in own[-3:]],
            },
            key,
        )


def stall_record(entries: Entries, seconds: float, message: str, **more: Any) -> dict[str, Any]:
    """The record of something that has stood for so long where these entries say."""
    own = [f for f, _, _ in entries if frames.is_own(f.f_code.co_filename)]
    return {
        "kind": "stall",
        "time_s": time.time(),
        "began_s": time.time() - seconds,
        "pid": os.getpid(),
        "exception": "Stall",
        "message": message,
        "frames": frames.take(entries),
        "codes": [(f.f_code, f.f_globals) for f in own[-3:]],
        **more,
    }


def _callback_of_loop(frame: FrameType | None) -> FrameType | None:
    """The outermost project frame above an event loop's own frames on a thread's stack."""
    outermost = None
    while frame is not None:
        file = frame.f_code.co_filename
        if frames.is_own(file):
            outermost = frame
        elif file.endswith(("asyncio/base_events.py", "asyncio/runners.py")):
            # servers import the application inside the loop, before they serve anybody
            importing = outermost is not None and outermost.f_code.co_name == "<module>"
            return None if importing else outermost
        frame = frame.f_back
    return None


def task_entries(task: Any) -> Entries:
    """Where an asyncio task waits: the frames of its coroutine and of what that awaits."""
    entries: Entries = []
    waiter = task.get_coro()
    while waiter is not None and len(entries) < 100:
        for prefix in ("cr", "gi", "ag"):
            frame = getattr(waiter, f"{prefix}_frame", None)
            if frame is not None:
                if not frames.is_ours(frame.f_code.co_filename):
                    entries.append((frame, frame.f_lasti, frame.f_lineno or 0))
                waiter = getattr(waiter, f"{prefix}_await", None) or getattr(
                    waiter, f"{prefix}_yieldfrom", None
                )
                break
        else:
            break
    return entries


def oldest_s() -> float:
    """Age of the oldest request in flight."""
    now = requests.clock()
    return max(
        (now - request.started for request in list(requests.in_flight.values())), default=0.0
    )


def loop_lag_ms() -> float:
    """How late the event loop runs its callbacks; 0 where no loop is watched."""
    return 1000.0 * max((lag for lag in loop_lags.values()), default=0.0)


loop_lags: dict[int, float] = {}
"""Seconds by loop; written by the asyncio integration."""


def _durations(totals: requests.RouteTotals | None) -> list[float]:
    """Up to 100 past durations that have the route's distribution."""
    if totals is None or not totals.requests:
        return []
    step = max(1, totals.requests // 100)
    made: list[float] = []
    seen = 0
    for index in sorted(totals.counts):
        for _ in range(totals.counts[index]):
            if seen % step == 0:
                made.append(round(histogram.middle_s(index), 6))
            seen += 1
    return made[:120]


def describe_threads(watch: StallWatch | None) -> list[dict[str, Any]]:
    """Every thread but the probe's, as `model.WaitingThread` in JSON."""
    found = []
    by_lock = {wait.thread: wait for wait in watch.lock_waits} if watch is not None else {}
    serving = {request.thread for request in list(requests.in_flight.values())}
    for ident, frame in sys._current_frames().items():
        if ident == get_ident():
            continue
        wait = by_lock.get(ident)
        idle = wait is None and ident not in serving and _waits_for_work(frame)
        found.append(
            {
                "name": thread_name_of(ident),
                "frames": frames.take(frames.stack_entries(frame)[-12:]),
                "stuck_s": watch.stuck_s(ident) if watch is not None and not idle else 0.0,
                "waits_for": wait.what if wait is not None else "work (idle)" if idle else "",
                "held_by": wait.held_by_name if wait is not None else "",
            }
        )
    return found


def _waits_for_work(frame: FrameType) -> bool:
    """Whether a thread rests in a library: in a queue, a selector, a sleep, an accept."""
    code = frame.f_code
    return not frames.is_own(code.co_filename) or code.co_name == "<module>"
