"""Variants of a recorded input, so that what grows with new keys is made to grow.

A leaf is a text or whole number somewhere in a value of built-in containers, named by its
path. A variant changes some leaves in a way that keeps their kind: "visitor" becomes
"visitor~17", 40 becomes 57.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

Path = tuple[Any, ...]
DEPTH_AT_MOST = 4
LEAVES_AT_MOST = 24


def leaves(value: Any, path: Path = ()) -> list[Path]:
    """Paths of the texts and numbers in a value, in order, bounded."""
    if isinstance(value, (str, int)) and not isinstance(value, bool):
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
        return value + number if isinstance(value, int) else f"{value}~{number}"
    if not any(chosen[: len(path)] == path for chosen in paths):
        return value
    if isinstance(value, dict):
        return {key: varied(item, paths, number, (*path, key)) for key, item in value.items()}
    if type(value) in (list, tuple):
        items = [varied(item, paths, number, (*path, n)) for n, item in enumerate(value)]
        return type(value)(items)
    return value
