"""What grows, where it was allocated and who holds it. Runs on command only.

Two looks at the heap, `wait_s` apart: tracemalloc (started for that time only, unless the
service runs it anyway) says which lines allocated, a census of container sizes says which
containers grew, and the referrers of the largest grower name its holder.
"""

from __future__ import annotations

import gc
import sys
import time
from collections import Counter, OrderedDict, defaultdict, deque
from types import FunctionType, ModuleType
from typing import Any

from selfheal_agent.frames import absolute, is_own
from selfheal_agent.values import instance_dict, qualified_type

MAX_OBJECTS = 3_000_000
_SIZED = (dict, list, set, deque, OrderedDict, defaultdict, Counter)


class MemoryWatch:
    """One report in the making: `first_look`, time passes, `report`."""

    def __init__(self) -> None:
        import tracemalloc

        self._ours = not tracemalloc.is_tracing()
        if self._ours:
            tracemalloc.start(8)
        gc.collect()
        self._before = tracemalloc.take_snapshot()
        self._sizes = _sizes()
        self._types = _types()
        self.started = time.monotonic()

    def report(self) -> list[dict[str, Any]]:
        """`model.Growth` values as JSON, largest first; stops what it started."""
        import tracemalloc

        gc.collect()
        after = tracemalloc.take_snapshot()
        if self._ours:
            tracemalloc.stop()
        holders = self._growing_containers()
        lines = [
            stat
            for stat in after.compare_to(self._before, "lineno")
            if stat.size_diff > 0 and is_own(stat.traceback[0].filename)
        ]
        found = []
        for stat in lines[:10]:
            place = stat.traceback[0]
            found.append(
                {
                    "file": absolute(place.filename),
                    "line": place.lineno,
                    "bytes_grown": stat.size_diff,
                    "count_grown": stat.count_diff,
                    "type_name": "",
                    "holder": "",
                }
            )
        types_grown = (_types() - self._types).most_common(3)
        for growth in found:
            if holders:
                growth["holder"] = holders[0]["holder"]
                growth["type_name"] = types_grown[0][0] if types_grown else ""
        return found + holders

    def _growing_containers(self) -> list[dict[str, Any]]:
        grown = []
        for value in _containers():
            before = self._sizes.get(id(value), 0)
            more = len(value) - before
            if more >= 8 and len(value) >= 16 and (before or more >= 64):
                grown.append((more, value))
        grown.sort(key=lambda pair: -pair[0])
        found = []
        for more, value in grown[:60]:
            holder, file = holder_of(value)
            if not holder or not file:
                continue
            found.append(
                {
                    "file": absolute(file),
                    "line": 0,
                    "bytes_grown": _bytes_of(value, more),
                    "count_grown": more,
                    "type_name": qualified_type(type(value)),
                    "holder": holder,
                }
            )
            if len(found) >= 5:
                break
        return found


def _bytes_of(value: Any, more: int) -> int:
    """Rough size of the newest elements: shallow sizes of a few, times the number."""
    sample = []
    try:
        if isinstance(value, dict):
            newest = list(dict.values(value))[-20:]
            sample = [sys.getsizeof(item) + 100 for item in newest]
        else:
            sample = [sys.getsizeof(item) + 8 for item in list(value)[-20:]]
    except Exception:
        return more * 100
    return int(more * sum(sample) / max(1, len(sample)))


def _containers() -> list[Any]:
    return [value for value in gc.get_objects()[:MAX_OBJECTS] if type(value) in _SIZED]


def _sizes() -> dict[int, int]:
    return {id(value): len(value) for value in _containers()}


def _types() -> Counter[str]:
    return Counter(qualified_type(type(value)) for value in gc.get_objects()[:MAX_OBJECTS])


def holder_of(value: Any, depth: int = 6) -> tuple[str, str]:
    """("catalog._CACHE", file) for what a module, class or function of the project holds."""
    seen = {id(value)}
    paths: deque[tuple[Any, str, int]] = deque([(value, "", 0)])
    skip = {id(paths)}
    while paths and len(seen) < 4000:
        current, suffix, level = paths.popleft()
        for referrer in gc.get_referrers(current):
            if id(referrer) in seen or id(referrer) in skip or type(referrer).__name__ == "frame":
                continue
            seen.add(id(referrer))
            answer = _root(referrer, current, suffix)
            if answer is not None:
                return answer
            if level < depth and isinstance(referrer, (dict, list, tuple, set)):
                paths.append((referrer, suffix, level + 1))
            elif level < depth and not isinstance(referrer, (ModuleType, type(_root))):
                name = _name_in(instance_dict(referrer), current)
                paths.append((referrer, f".{name}{suffix}" if name else suffix, level + 1))
    return "", ""


def _root(referrer: Any, current: Any, suffix: str) -> tuple[str, str] | None:
    if type(referrer) is dict and "__name__" in referrer and "__spec__" in referrer:
        file = str(referrer.get("__file__") or "")
        name = _name_in(referrer, current)
        if name and is_own(file):
            return f"{referrer['__name__']}.{name}{suffix}", file
    if type(referrer) is ModuleType:
        return None
    if isinstance(referrer, type):
        scope = type.__dict__["__dict__"].__get__(referrer)
        name = _name_in(scope, current)
        module = sys.modules.get(str(referrer.__module__))
        file = str(getattr(module, "__file__", "") or "")
        if name and is_own(file):
            return f"{qualified_type(referrer)}.{name}{suffix}", file
    if type(referrer) is FunctionType and is_own(referrer.__code__.co_filename):
        defaults = list(referrer.__defaults__ or ())
        if any(item is current for item in defaults):
            names = referrer.__code__.co_varnames[: referrer.__code__.co_argcount][-len(defaults) :]
            name = names[[item is current for item in defaults].index(True)]
            place = f"{referrer.__module__}.{referrer.__qualname__}({name}=){suffix}"
            return place, referrer.__code__.co_filename
    return None


def _name_in(scope: Any, value: Any) -> str:
    return next((str(k) for k, item in list(scope.items()) if item is value), "")
