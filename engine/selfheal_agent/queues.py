"""Backlogs: queues and executors, remembered when they are made, deques, and brokers.

A deque is a queue where code of the project takes items from it to use them (`x = d.popleft()`);
one that is only trimmed at its end is a window. A broker's queues are not looked at from here:
the app is told where they are and asks.
"""

from __future__ import annotations

import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from typing import Any

queues_made: weakref.WeakSet[Any] = weakref.WeakSet()
executors_made: weakref.WeakSet[Any] = weakref.WeakSet()


deques_seen: dict[int, Any] = {}
"""Weak references by id: a deque has no hash."""
brokers: dict[str, dict[str, Any]] = {}
"""Where Celery and RQ keep what waits, by URL: {"url", "keys", "user", "password"}."""


def depth() -> tuple[int, dict[str, int]]:
    """(all waiting items, by kind of queue). len() of built-in containers only."""
    by_kind = {"queue": 0, "executor": 0, "deque": 0}
    for reference in list(deques_seen.values()):
        found = reference()
        by_kind["deque"] += len(found) if found is not None else 0
    for queue in list(queues_made):
        by_kind["queue"] += _length(queue)
    for executor in list(executors_made):
        work = executor.__dict__.get("_work_queue")
        if work is not None:
            by_kind["executor"] += int(work.qsize())
        pending = executor.__dict__.get("_pending_work_items")
        if type(pending) is dict:
            by_kind["executor"] += len(pending)
    return sum(by_kind.values()), by_kind


def _length(queue: Any) -> int:
    state = getattr(queue, "__dict__", {})
    items = state.get("queue", None)
    if items is None:
        items = state.get("_queue", ())
    return len(items) if type(items).__module__ in ("builtins", "collections") else 0


def pools() -> dict[str, float]:
    """Threads of the executors and how many of them are at work."""
    size = used = 0
    for executor in list(executors_made):
        state = executor.__dict__
        threads = state.get("_threads")
        idle = getattr(state.get("_idle_semaphore"), "_value", None)
        if type(threads) is set and type(idle) is int:
            size += int(state.get("_max_workers") or len(threads))
            used += max(0, len(threads) - idle)
    return {"pool_size": size, "pool_used": used} if size else {}


def room(by_kind: dict[str, int]) -> dict[str, int]:
    """How many items the queues take before they refuse more.

    Nothing where something waits that has no bound of its own: then the sum bounds nothing.
    """
    if by_kind["executor"] or by_kind["deque"]:
        return {}
    most = 0
    for queue in list(queues_made):
        state = getattr(queue, "__dict__", {})
        bound = state.get("maxsize", state.get("_maxsize", 0))
        if type(bound) is int and bound > 0:
            most += bound
        elif _length(queue):
            return {}
    return {"queue_limit": most} if most else {}


def forget() -> None:
    """In a forked child: the parent's queues are not ours."""
    deques_seen.clear()
    brokers.clear()
    queues_made.clear()
    executors_made.clear()


def remember(cls: Any, into: weakref.WeakSet[Any], but: Any = ()) -> None:
    """From now on every new instance of a class of queues or executors is known.

    Those of the subclass `but` are not.
    """
    original = cls.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        original(self, *args, **kwargs)
        if not issubclass(type(self), but):
            into.add(self)

    __init__.__wrapped__ = original  # type: ignore[attr-defined]
    cls.__init__ = __init__
