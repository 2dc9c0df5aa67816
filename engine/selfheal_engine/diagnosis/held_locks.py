"""Who may still hold the lock that a stuck thread waits for.

The line that waits is only the victim. A lock that is taken by `acquire()` and not released on
some way out of its function is held for ever once that way was gone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from selfheal_engine.diagnosis.failure import Failure
from selfheal_engine.diagnosis.source_file import Function, SourceFile, Sources

_LEAVES = (ast.Return, ast.Raise, ast.Break, ast.Continue)


@dataclass(frozen=True)
class Holder:
    """A function that takes the lock and does not release it whatever happens."""

    file: SourceFile
    function: Function
    taken: ast.Expr
    lock: str
    leaves: bool
    """Some way out leaves it taken; otherwise only an error between the two would."""


def awaited_lock(failure: Failure | None) -> str:
    """The text of what the failing statement waits to acquire, "" when it waits for no lock."""
    if failure is None:
        return ""
    statement = failure.statement
    if isinstance(statement, ast.With | ast.AsyncWith):
        texts = [failure.file.segment(item.context_expr) for item in statement.items]
        return next((text for text in texts if _is_lock(text)), "")
    calls = [n for n in ast.walk(statement) if isinstance(n, ast.Call)]
    for call in calls:
        if isinstance(call.func, ast.Attribute) and call.func.attr == "acquire":
            return failure.file.segment(call.func.value)
    return ""


def holders(sources: Sources, failure: Failure | None) -> list[Holder]:
    """Those who leave the awaited lock taken on some way out, then those who would on an error."""
    lock = awaited_lock(failure)
    if failure is None or not lock:
        return []
    owner = failure.file.class_of(failure.statement)
    found: list[Holder] = []
    for file in sources.all():
        for function in file.functions.values():
            same_owner = file is failure.file and file.class_of(function) is owner
            if not lock.startswith("self.") or same_owner:
                found += _in_function(file, function, lock)
    return sorted(found, key=lambda holder: not holder.leaves)


def _in_function(file: SourceFile, function: Function, lock: str) -> Iterator[Holder]:
    taken = [n for n in ast.walk(function) if owner_of_call(file, n, "acquire") == lock]
    given = [n for n in ast.walk(function) if owner_of_call(file, n, "release") == lock]
    if not taken or file.function_of(taken[0]) is not function:
        return
    finals = [s for t in ast.walk(function) if isinstance(t, ast.Try) for s in t.finalbody]
    if any(g in set(ast.walk(s)) for s in finals for g in given):
        return
    first = taken[0]
    assert isinstance(first, ast.Expr)
    ways = [n for n in ast.walk(function) if isinstance(n, _LEAVES) and n.lineno > first.lineno]
    last = max((g.lineno for g in given if isinstance(g, ast.Expr)), default=0)
    leaves = not given or any(
        way.lineno < last and not _released_before(file, way, given) for way in ways
    )
    yield Holder(file, function, first, lock, leaves)


def _released_before(file: SourceFile, way: ast.stmt, given: list[ast.AST]) -> bool:
    """Whether a statement before it in its own block releases the lock."""
    block = file.block_of(way)
    return any(statement in given for statement in block[: block.index(way)])


def owner_of_call(file: SourceFile, node: ast.AST, method: str) -> str:
    """The owner's text of a statement `owner.method(...)`, "" for everything else."""
    call = node.value if isinstance(node, ast.Expr) else None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return ""
    return file.segment(call.func.value) if call.func.attr == method else ""


def _is_lock(text: str) -> bool:
    name = text.rpartition(".")[2].lower()
    return any(word in name for word in ("lock", "mutex", "sem", "cond", "guard"))
