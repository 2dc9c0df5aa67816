"""asyncio tasks that wait where tasks do not usually wait for long.

No thread is stuck then and no callback is slow; the task just never goes on. Each second the
place (innermost project frame and instruction) of every task is compared with a second ago.
How long tasks usually stay at a place is learned from those that moved on. A place that none
has left yet counts only when it waits for the other side of a connection that we opened:
idle clients of a server wait for long, and rightly so.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from types import CodeType

from selfheal_agent import frames
from selfheal_agent.capture import Capture
from selfheal_agent.clients import waits_for_client
from selfheal_agent.stalls import stall_record, task_entries
from selfheal_agent.values import instance_dict

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from typing import Any

    Place = tuple[CodeType, int]

STUCK_S = 5.0
USUAL_FACTOR = 10.0
USUAL_FEW = 5
"""So many tasks must have moved on before a place counts as known."""
UNKNOWN_S = 15.0
"""One task alone at an unknown place is reported after this; two after STUCK_S."""
MAX_TASKS = 2_000


class TaskWatch:
    """Places and dwell times; `look` is called by the probe's thread each second."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._stood: dict[int, tuple[Place, float]] = {}
        self._usual: dict[Place, deque[float]] = {}
        self._ephemeral = _ephemeral_ports()

    def look(self, loops: list[Any]) -> None:
        now = time.monotonic()
        stood: dict[int, tuple[Place, float]] = {}
        waiting: dict[Place, list[tuple[float, Any]]] = {}
        for task in _tasks(loops):
            entries = task_entries(task)
            own = [entry for entry in entries if frames.is_own(entry[0].f_code.co_filename)]
            if not own:
                continue
            place = (own[-1][0].f_code, own[-1][1])
            before = self._stood.pop(id(task), None)
            if before is not None and before[0] != place:
                self._moved_on(before, now)
            since = before[1] if before is not None and before[0] == place else now
            stood[id(task)] = (place, since)
            waiting.setdefault(place, []).append((now - since, task))
        for before in self._stood.values():
            self._moved_on(before, now)  # its task has ended
        self._stood = stood
        for place, found in waiting.items():
            self._judge(place, found)

    def _moved_on(self, before: tuple[Place, float], now: float) -> None:
        if len(self._usual) < 2_000 or before[0] in self._usual:
            self._usual.setdefault(before[0], deque(maxlen=50)).append(now - before[1])

    def _judge(self, place: Place, found: list[tuple[float, Any]]) -> None:
        longest, task = max(found, key=lambda item: item[0])
        if longest < STUCK_S:
            return
        usual = self._usual.get(place, ())
        if len(usual) >= USUAL_FEW:
            if longest < USUAL_FACTOR * max(1.0, sorted(usual)[int(0.95 * (len(usual) - 1))]):
                return
        else:
            alone = sum(seconds >= STUCK_S for seconds, _ in found) < 2
            if (alone and longest < UNKNOWN_S) or not self._waits_for_peer(task):
                return
        if waits_for_client(task_entries(task)):
            return
        self._report(place, longest, len(found), task, list(usual))

    def _waits_for_peer(self, task: Any) -> bool:
        """Whether a stream that the task reads belongs to a connection that we opened."""
        for frame, _, _ in reversed(task_entries(task)):
            reader = frame.f_locals.get("self")
            transport = instance_dict(reader).get("_transport") if reader is not None else None
            if transport is None:
                continue
            try:
                ours = transport.get_extra_info("sockname")
            except Exception:
                return False
            return type(ours) is tuple and len(ours) > 1 and ours[1] in self._ephemeral
        return False

    def _report(
        self, place: Place, seconds: float, count: int, task: Any, usual: list[float]
    ) -> None:
        key = ("task", *place)
        record: dict[str, Any] = {"kind": "stall"}
        if self._capture.is_new(key):
            more = f"; {count} tasks wait here" if count > 1 else ""
            record = stall_record(
                task_entries(task),
                seconds,
                f"the task has waited here for {seconds:.1f} s{more}",
                thread=str(task.get_name())[:100],
                caught_by="tasks",
                durations_s=[round(value, 3) for value in usual],
            )
        self._capture.event(record, key)


def _tasks(loops: list[Any]) -> list[Any]:
    asyncio_tasks = sys.modules.get("asyncio.tasks")
    if asyncio_tasks is None:
        return []
    found: list[Any] = []
    for loop in loops:
        try:
            found.extend(asyncio_tasks.all_tasks(loop))
        except RuntimeError:
            continue  # the set kept changing while it was read: next second
    return found[:MAX_TASKS]


def _ephemeral_ports() -> range:
    """Local ports that the kernel gives to outgoing connections, ip(7)."""
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as stream:
            low, high = stream.read().split()
        return range(int(low), int(high) + 1)
    except (OSError, ValueError):
        return range(32768, 61000)
