"""Which state is shared, who uses it, and under which lock."""

from __future__ import annotations

STRATEGY = "race_condition_fix"


MUTATES = frozenset(
    {
        "append",
        "add",
        "remove",
        "discard",
        "pop",
        "popitem",
        "popleft",
        "clear",
        "update",
        "insert",
        "extend",
        "setdefault",
        "appendleft",
        "sort",
    }
)
