"""Variants of a recorded input: many that keep its kind, or a few that stand close to it.

What grows with new keys is made to grow by the first, a second crash is found by the others. A
leaf is a text or number somewhere in a value of built-in containers, named by its path. A
variant changes some leaves in a way that keeps their kind: "visitor" becomes "visitor~17", 40
becomes 57, 48.2 becomes 48.2017, as a number or as its text, "10.0.0.25" becomes "10.0.0.42".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

Path = tuple[Any, ...]
DEPTH_AT_MOST = 4
LEAVES_AT_MOST = 24
NEIGHBOURS_AT_MOST = 16
_NUMBERS = re.compile(r"\d{1,6}([.:/ T-]\d{1,6})+Z?")
"""A date, a time of day, a version."""
_IPV4 = re.compile(r"\d{1,3}(\.\d{1,3}){3}")
_HEX = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4,})+")
"""A UUID or a digest."""
_GONE = object()
"""Stands for a key that is taken away."""


def leaves(value: Any, path: Path = ()) -> list[Path]:
    """Paths of the texts and numbers in a value, in order, bounded."""
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return [path]
    if len(path) >= DEPTH_AT_MOST:
        return []
    found: list[Path] = []
    if isinstance(value, dict):
        for key, item in list(value.items())[:LEAVES_AT_MOST]:
            found += leaves(item, (*path, key))
    elif type(value) in (list, tuple):
        for position, item in enumerate(value[:LEAVES_AT_MOST]):
            found += leaves(item, (*path, position))
    return found[:LEAVES_AT_MOST]


def varied(value: Any, paths: Collection[Path], number: int, path: Path = ()) -> Any:
    """A copy with the leaves at `paths` changed by `number`; other objects are shared."""
    if path in paths:
        return _leaf(value, number)
    if not any(chosen[: len(path)] == path for chosen in paths):
        return value
    if isinstance(value, dict):
        return {key: varied(item, paths, number, (*path, key)) for key, item in value.items()}
    if type(value) in (list, tuple):
        items = [varied(item, paths, number, (*path, n)) for n, item in enumerate(value)]
        return type(value)(items)
    return value


def _leaf(value: str | int | float, number: int) -> str | int | float:
    if isinstance(value, int):
        return value + number
    if isinstance(value, float):
        return value + number / 10_000
    if re.fullmatch(r"-?\d+\.\d+", value):
        return f"{value}{number}"
    if re.fullmatch(r"-?\d{1,15}", value):
        return str(int(value) + number)
    if _IPV4.fullmatch(value):
        first, second, third, last = (int(part) for part in value.split("."))
        near = ((third << 8) + last + number) % (1 << 16)
        return f"{first}.{second}.{near >> 8}.{near & 255}"
    if _NUMBERS.fullmatch(value):
        return _counted_down(value, number)
    if _HEX.fullmatch(value):
        return f"{value[:-8]}{(int(value[-8:], 16) + number) % (1 << 32):08x}"
    return f"{value}~{number}"


def _counted_down(value: str, number: int) -> str:
    """A date or a time of its kind: each of its numbers is as long as it was, and no larger.

    What bounds them, the days of a month say, bounds them above.
    """
    parts = re.split(r"(\d+)", value)
    for place in range(len(parts) - 2, 0, -2):
        text = parts[place]
        lowest = 10 ** (len(text) - 1) if len(text) > 1 and text[0] != "0" else 1
        room = max(1, int(text) - lowest + 1)
        parts[place] = f"{int(text) - number % room:0{len(text)}}"
        number //= room
    return "".join(parts)


def at(value: Any, path: Path) -> Any:
    """The leaf at a path."""
    for part in path:
        value = value[part]
    return value


def is_number(leaf: Any) -> bool:
    """A number, or a text that says one."""
    return not isinstance(leaf, str) or bool(re.fullmatch(r"-?\d{1,15}(\.\d+)?", leaf))


def changes(value: Any) -> list[tuple[Path, Any]]:
    """(path, new leaf) of the neighbours, those nearest to the top first, bounded.

    One leaf is another in each, in ways that real traffic knows: a value is missing, empty, zero
    or of the other sign, a key is gone, a list has nothing in it.
    """
    found = sorted(_changes(value, ()), key=lambda change: len(change[0]))
    return found[:NEIGHBOURS_AT_MOST]


def _changes(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if len(path) > 1:  # the argument list itself stays as it is
        yield from ((path, new) for new in _instead_of(value))
    if len(path) >= DEPTH_AT_MOST:
        return
    if type(value) is dict:
        for key in list(value):
            if len(path) > 1 or path == ("body",):
                yield (*path, key), _GONE
            yield from _changes(value[key], (*path, key))
    elif type(value) in (list, tuple):
        for position, item in enumerate(value):
            yield from _changes(item, (*path, position))


def _instead_of(value: Any) -> tuple[Any, ...]:
    kind = type(value)
    if value is None:
        return ("",)
    if kind is str:
        return (None, "") if value else (None, "x")
    if kind is int or kind is float:
        return (None, kind(0)) if value else (None, kind(-1))
    if kind in (list, dict, tuple):
        return (None, kind()) if value else (None,)
    return ()


def changed(value: Any, path: Path, new: Any) -> Any:
    """A copy with another leaf at `path`; what lies beside it is shared."""
    if not path:
        return new
    if type(value) is dict:
        copy = dict(value)
        if len(path) == 1 and new is _GONE:
            del copy[path[0]]
        else:
            copy[path[0]] = changed(value[path[0]], path[1:], new)
        return copy
    items = list(value)
    items[path[0]] = changed(items[path[0]], path[1:], new)
    return type(value)(items)


def named(path: Path, new: Any) -> str:
    """In words: "argument 1['address'] is None"."""
    rest = path[1:]
    place = str(path[0])
    if path[0] in (0, 1):  # of a call: positional arguments, then those by keyword
        place = f"argument {rest[0] + 1 if path[0] == 0 else rest[0]}"
        rest = rest[1:]
    place += "".join(f"[{part!r}]" for part in rest)
    return f"{place} is missing" if new is _GONE else f"{place} is {new!r}"
