"""Who writes a record under another key than everybody else, or a value as text alone.

A missing key, or a text where a value is wanted, fails where it is read and is wrong where it was
written. Records of one kind are told by the keys that their displays share.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from selfheal_engine.diagnosis.failure import Failure
from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.diagnosis.source_file import SourceFile, Sources

LEAST_SHARED = 2
"""So many keys in common make two displays records of one kind."""
_AS_TEXT = frozenset({"isoformat", "strftime", "str", "dumps", "hex"})


@dataclass(frozen=True)
class OddWriter:
    """One key of a dict's display that its siblings spell otherwise."""

    file: SourceFile
    key: ast.Constant
    written: str
    wanted: str

    @property
    def function(self) -> str:
        owner = self.file.function_of(self.key)
        return self.file.qualified_name(owner) if owner is not None else "<module>"


def odd_keys(sources: Sources, failure: Failure) -> Iterator[OddWriter]:
    """Of a look-up by a constant key: displays that have one other key in its place."""
    node = failure.node
    if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Constant):
        return
    wanted = node.slice.value
    if not isinstance(wanted, str):
        return
    displays = [
        (file, found, keys)
        for file in sources.all()
        for found in ast.walk(file.tree)
        if isinstance(found, ast.Dict) and len(keys := _keys(found)) == len(found.keys) > 0
    ]
    usual = [set(keys) for _, _, keys in displays if wanted in keys]
    read = _read(sources)
    for file, _, keys in displays:
        for other in usual:
            odd, shared = set(keys) - other, set(keys) & other
            if other - set(keys) != {wanted} or len(odd) != 1 or len(shared) < LEAST_SHARED:
                continue
            (written,) = odd
            if written not in read:  # else it is a key of its own
                yield OddWriter(file, keys[written], written, wanted)
                break


def _keys(display: ast.Dict) -> dict[str, ast.Constant]:
    return {
        key.value: key
        for key in display.keys
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }


def _read(sources: Sources) -> set[str]:
    """The constant keys that are looked up somewhere."""
    found: set[str] = set()
    for file in sources.all():
        for node in ast.walk(file.tree):
            key: ast.expr | None = None
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
                key = node.slice
            elif isinstance(node, ast.Call) and called_name(node) in ("get", "pop") and node.args:
                key = node.args[0]
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                found.add(key.value)
    return found


def value_behind(node: ast.expr) -> ast.expr | None:
    """The value of which an expression is the text; None for any other."""
    if not isinstance(node, ast.Call) or called_name(node) not in _AS_TEXT:
        return None
    if isinstance(node.func, ast.Name):
        return node.args[0] if len(node.args) == 1 and not node.keywords else None
    if isinstance(node.func, ast.Attribute) and called_name(node) != "dumps":
        return node.func.value
    return node.args[0] if len(node.args) == 1 else None
