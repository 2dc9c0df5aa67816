"""What grows, where it was allocated and who holds it. Runs on command only.

Two looks, some seconds apart. tracemalloc (started for that time only, unless the service runs
it anyway) says which lines allocated. A walk from the project's own modules, classes, objects
and closures says which containers grew and by which name they are held; the newest elements of
a grown container were traced, so that its line and its holder are brought together.
"""

from __future__ import annotations

import gc
import os
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from itertools import islice
from types import CellType, CodeType, FrameType, FunctionType, MethodType, ModuleType

from selfheal_agent.frames import absolute, is_own, is_own_module
from selfheal_agent.roots import further_roots
from selfheal_agent.values import (
    ids,
    instance_dict,
    instance_slots,
    qualified_type,
    type_dict_of,
    type_module_of,
    type_mro_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from collections.abc import Iterator
    from typing import Any

MAX_VISITED = 60_000
MAX_DEPTH = 6
MAX_ELEMENTS = 40
"""Elements of a container that are walked into."""
MAX_PARTS = 200
"""Objects that one element's size is counted over."""
MAX_CACHED = 300
"""Results of a bounded cache whose lines are looked up."""
MIN_MORE = 5
STEADY = 0.3
"""The second half must grow by at least this share of the first."""
BOUNDED = "(bounded)"
"""Ends the name of a container that cannot outgrow its limit."""
_CODE = (type, ModuleType, FunctionType, CodeType, FrameType)
_SIZED = ids(dict, list, set, deque, OrderedDict, defaultdict, Counter)
_FLAT = ids(str, bytes, int, float, bool, type(None))
_LISTED = ids(list, tuple, set, frozenset, deque)
_KEYS = ids(str, int)


class MemoryWatch:
    """One report in the making: the first look now, `middle`, then the last in `report`.

    Only what grew in both halves is told: a cache that fills up and levels off is no leak.
    """

    def __init__(self) -> None:
        import tracemalloc

        # containers first: what tracemalloc sees later has then surely been counted there
        self._sizes = {id(value): len(value) for value, _, _ in held_containers()}
        gc.collect()
        self._ours = not tracemalloc.is_tracing()
        if self._ours:
            tracemalloc.start(12)
        self._before = tracemalloc.take_snapshot()
        self._descriptors = descriptors_by_kind()
        self._bounded: set[tuple[str, int]] = set()
        """Lines whose results only a bounded cache holds."""
        self.path: list[tuple[str, int]] = []
        """(file, line) of the project's frames that led to the newest element, outermost first."""
        self.grown: set[int] = set()
        """By id the containers that grew."""

    def middle(self) -> None:
        """The look in between."""
        import tracemalloc

        gc.collect()
        self._middle_sizes = {id(value): len(value) for value, _, _ in held_containers()}
        self._middle = tracemalloc.take_snapshot()

    def report(self) -> list[dict[str, Any]]:
        """`model.Growth` values as JSON, largest first; stops what it started."""
        import tracemalloc

        gc.collect()
        after = tracemalloc.take_snapshot()
        holders = self._grown_containers(tracemalloc)
        steady = self._steady_lines(after)
        if self._ours:
            tracemalloc.stop()
        found = []
        for stat in after.compare_to(self._before, "lineno"):
            place = stat.traceback[0]
            if stat.size_diff <= 0 or (place.filename, place.lineno) not in steady:
                continue
            file = absolute(place.filename)
            if (file, place.lineno) in self._bounded and (file, place.lineno) not in holders:
                continue
            holder, type_name, _, held = holders.pop((file, place.lineno), ("", "", 0, 0))
            # what the elements refer to was often allocated in a library's lines
            size = max(stat.size_diff, held)
            found.append(_growth(file, place.lineno, size, stat.count_diff, type_name, holder))
            if len(found) >= 10:
                break
        found.sort(key=lambda growth: (not growth["holder"], -growth["bytes_grown"]))
        for (file, line), (holder, type_name, more, size) in holders.items():
            found.append(_growth(file, line, size, more, type_name, holder))
        return found + self._grown_descriptors()

    def _steady_lines(self, after: Any) -> set[tuple[str, int]]:
        """Project lines whose memory grew in the first half and in the second."""
        halves = []
        for late, early in ((self._middle, self._before), (after, self._middle)):
            halves.append(
                {
                    (stat.traceback[0].filename, stat.traceback[0].lineno): stat.size_diff
                    for stat in late.compare_to(early, "lineno")
                    if stat.size_diff > 0 and is_own(stat.traceback[0].filename)
                }
            )
        first, second = halves
        return {place for place in second if second[place] >= STEADY * first.get(place, 1 << 60)}

    def _grown_containers(self, tracemalloc: Any) -> dict[tuple[str, int], Any]:
        """(file, line) that put the newest element in -> (holder, type, elements, bytes)."""
        grown = []
        caches: list[Any] = []
        for value, name, file in held_containers(caches):
            # one that was not there is judged by where its newest elements came from
            more = len(value) - self._sizes.get(id(value), 0)
            at_half = self._middle_sizes.get(id(value), 0) - self._sizes.get(id(value), 0)
            if more >= MIN_MORE and at_half > 0 and more - at_half >= STEADY * at_half:
                grown.append((more, name, file, value))
        for cache in caches:
            kept = islice(reversed(gc.get_referents(cache)), MAX_CACHED)
            self._bounded.update(p for item in kept if (p := _place(tracemalloc, item)))
        grown.sort(key=lambda item: -item[0])
        found: dict[tuple[str, int], Any] = {}
        for more, name, file, value in grown[:20]:
            newest = list(_newest(value))
            size = int(more * _sizes_of(newest) / max(1, _elements_of(value, newest)))
            place = next((p for item in newest if (p := _place(tracemalloc, item))), None)
            if BOUNDED in name:
                inside = [part for item in newest for part in gc.get_referents(item)]
                self._bounded.update(
                    p for item in [*newest, *inside] if (p := _place(tracemalloc, item))
                )
                continue
            if place is None and id(value) not in self._sizes:
                continue
            self.grown.add(id(value))
            found.setdefault(place or (file, 0), (name, qualified_type(type(value)), more, size))
            if place is not None and not self.path:
                self.path = next(
                    (path for item in newest if (path := _own_path(tracemalloc, item))), []
                )
        return found

    def _grown_descriptors(self) -> list[dict[str, Any]]:
        now = descriptors_by_kind()
        return [
            _growth("", 0, 0, now[kind] - self._descriptors[kind], f"descriptor:{kind}", "")
            for kind in now
            if now[kind] - self._descriptors[kind] >= MIN_MORE
        ]


def _growth(
    file: str, line: int, size: int, count: int, type_name: str, holder: str
) -> dict[str, Any]:
    return {
        "file": file,
        "line": line,
        "bytes_grown": size,
        "count_grown": count,
        "type_name": type_name,
        "holder": holder,
    }


def _newest(value: Any) -> Iterator[Any]:
    """The last few elements of a container, keys and values of a mapping."""
    try:
        if issubclass(type(value), dict):
            for key, item in list(islice(reversed(list(dict.items(value))), 5)):
                yield item
                yield key
        elif issubclass(type(value), (list, deque)):
            yield from list(value)[-5:]
        else:
            yield from list(islice(value, 5))
    except RuntimeError:
        return


def _elements_of(value: Any, newest: list[Any]) -> int:
    """How many elements the newest are: a mapping's come as keys and values."""
    return len(newest) // 2 if issubclass(type(value), dict) else len(newest)


def _sizes_of(elements: list[Any]) -> int:
    """Bytes that go when the elements go: with what each alone refers to, up to MAX_PARTS.

    What several of them share (a class, a lock, the service's configuration) is not theirs.
    """
    owners: Counter[int] = Counter()
    parts: dict[int, Any] = {}
    for element in elements:
        reached = _parts_of(element)
        owners.update(list(reached))
        parts.update(reached)
    return sum(_size(parts[part]) for part, times in owners.items() if times == 1)


def _parts_of(element: Any) -> dict[int, Any]:
    """id -> object: an element and what can be reached from it, modules and code left out."""
    reached: dict[int, Any] = {}
    pending = deque([element])
    while pending and len(reached) < MAX_PARTS:
        part = pending.popleft()
        if id(part) in reached or issubclass(type(part), _CODE):
            continue
        reached[id(part)] = part
        pending.extend(gc.get_referents(part))
    return reached


def _size(value: Any) -> int:
    """Its own bytes; a `__sizeof__` that the service wrote is not called."""
    for base in type_mro_of(type(value)):
        method = type_dict_of(base).get("__sizeof__")
        if method is not None:
            theirs = type(method) is FunctionType
            return object.__sizeof__(value) if theirs else sys.getsizeof(value)
    return 0


def _place(tracemalloc: Any, value: Any) -> tuple[str, int] | None:
    """The project line that allocated an object."""
    trace = tracemalloc.get_object_traceback(value)
    for frame in reversed(trace or ()):
        if is_own(frame.filename):
            return absolute(frame.filename), frame.lineno
    return None


def _own_path(tracemalloc: Any, value: Any) -> list[tuple[str, int]]:
    trace = tracemalloc.get_object_traceback(value)
    return [(absolute(f.filename), f.lineno) for f in trace or () if is_own(f.filename)]


def held_containers(bounded_caches: list[Any] | None = None) -> Iterator[tuple[Any, str, str]]:
    """(container, "catalog._CACHE", file) of what the project's modules and its code hold.

    Caches of functools with a limit are added to `bounded_caches`: what they hold is theirs.
    """
    seen: set[int] = set()
    pending: deque[tuple[Any, str, str, int]] = deque()
    for name, module in list(sys.modules.items()):
        if type(module) is not ModuleType:
            continue
        file = module.__dict__.get("__file__")
        if type(file) is str and is_own(file):
            seen.add(id(module.__dict__))
            for key, value in list(module.__dict__.items()):
                if not key.startswith("__"):
                    pending.append((value, f"{name}.{key}", file, 0))
    pending.extend((value, name, file, 1) for value, name, file in further_roots())
    while pending and len(seen) < MAX_VISITED:
        value, name, file, depth = pending.popleft()
        if id(value) in seen or id(type(value)) in _FLAT:
            continue
        seen.add(id(value))
        if id(type(value)) in _SIZED:
            full = type(value) is deque and value.maxlen is not None
            yield value, name + BOUNDED if full else name, file
        if bounded_caches is not None and _is_bounded_cache(value):
            bounded_caches.append(value)
        if depth < MAX_DEPTH:
            try:
                pending.extend((v, name + part, file, depth + 1) for part, v in _inside(value))
            except RuntimeError:
                continue  # changed by another thread while we walked


def _inside(value: Any) -> Iterator[tuple[str, Any]]:
    """(suffix of the name, value) of what an object holds."""
    cls = type(value)
    if issubclass(cls, dict):
        for key, item in list(islice(dict.items(value), MAX_ELEMENTS)):
            yield f"[{key!r}]" if id(type(key)) in _KEYS else "[...]", item
    elif id(cls) in _LISTED:
        for item in list(islice(value, MAX_ELEMENTS)):
            yield "[...]", item
    elif cls is FunctionType:
        yield from _inside_function(value)
    elif cls is MethodType:
        yield "", value.__self__
    elif type_module_of(cls) == "functools":  # the cache of an lru_cache lies in C
        bounded = _is_bounded_cache(value)
        mark = BOUNDED if bounded else "(cache)"
        yield from ((mark, item) for item in gc.get_referents(value) if type(item) is dict)
    elif issubclass(cls, type):
        if is_own_module(sys.modules.get(type_module_of(value))):
            for key, item in list(type_dict_of(value).items()):
                if not key.startswith("__"):
                    plain = issubclass(type(item), (staticmethod, classmethod))
                    yield f".{key}", item.__func__ if plain else item
    elif cls is not ModuleType:
        for key, item in list(instance_dict(value).items()):
            yield f".{key}", item
        for key, item in instance_slots(value):
            yield f".{key}", item


def _is_bounded_cache(value: Any) -> bool:
    if type_module_of(type(value)) != "functools":
        return False
    parameters = getattr(value, "cache_parameters", None)
    return parameters is not None and parameters()["maxsize"] is not None


def _inside_function(function: FunctionType) -> Iterator[tuple[str, Any]]:
    if not is_own(function.__code__.co_filename):
        # a decorator's wrapper: functools.lru_cache and its like are C objects
        yield from (("", item) for item in (function.__dict__.get("__wrapped__"),) if item)
        return
    code = function.__code__
    defaults = function.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount][code.co_argcount - len(defaults) :]
    for name, default in zip(names, defaults):
        yield f"({name}=)", default
    for name, cell in zip(code.co_freevars, function.__closure__ or ()):
        if type(cell) is CellType:
            try:
                yield f".<{name}>", cell.cell_contents
            except ValueError:
                continue
    for key, item in list(function.__dict__.items()):
        yield f".{key}", item


def descriptors_by_kind() -> Counter[str]:
    """Open descriptors: file, socket, pipe, anon_inode."""
    kinds: Counter[str] = Counter()
    try:
        names = os.listdir("/proc/self/fd")
    except OSError:
        return kinds
    for name in names:
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        kinds[target.split(":")[0] if ":" in target else "file"] += 1
    return kinds
