"""Whether what is missing was there a moment before, so that somebody took it since.

A check that has just let the call through cannot be wrong by itself: between it and the use of
the key another thread, or another task at an `await`, was faster. To ask once more only makes
the gap smaller.
"""

from __future__ import annotations

import ast

from selfheal_engine.diagnosis.source_file import Function, SourceFile

_NEXT = frozenset({"pop", "popleft", "popitem"})
_TAKES = frozenset({"pop", "popleft", "popitem", "remove", "discard", "clear"})


def looked_up(node: ast.AST, statement: ast.stmt) -> tuple[ast.expr, ast.expr] | None:
    """(collection, key) of a failing look-up or removal by key."""
    if isinstance(statement, ast.Delete) and not isinstance(node, ast.Subscript):
        node = statement.targets[0]
    if isinstance(node, ast.Subscript):
        return node.value, node.slice
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return None
    removes = node.func.attr in ("pop", "remove") and len(node.args) == 1
    return (node.func.value, node.args[0]) if removes else None


def takes_any(node: ast.AST) -> ast.expr | None:
    """The collection out of which a failing call takes whichever item is next."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return None
    first = node.args[0] if node.args else ast.Constant(0)
    first = first.operand if isinstance(first, ast.UnaryOp) else first
    by_place = isinstance(first, ast.Constant) and isinstance(first.value, int | bool)
    return node.func.value if node.func.attr in _NEXT and by_place else None


def asked_before(file: SourceFile, node: ast.AST, statement: ast.stmt) -> ast.If | None:
    """The `if key [not] in collection` that holds where `statement` uses the key.

    Either an earlier statement that leaves when the key is missing, or an `if` around it. Of what
    is taken whichever it is, the `if [not] collection`.
    """
    filled = filled_before(file, node, statement)
    if filled is not None:
        return filled
    known = known_before(file, node, statement)
    if not isinstance(known, ast.If) or not isinstance(known.test, ast.Compare):
        return None
    return known if isinstance(known.test.ops[0], ast.In) or leaves(known) else None


def known_before(file: SourceFile, node: ast.AST, statement: ast.stmt) -> ast.stmt | None:
    """The statement after which the key must be there: it asked for it, put it in, or used it.

    None where the function itself takes something out or names the key anew in between.
    """
    found = looked_up(node, statement)
    if found is None:
        return None
    container, key = (file.segment(part) for part in found)
    inner: ast.stmt = statement
    while True:
        for earlier in reversed(_before(file, inner)):
            asks = _asks(file, earlier, ast.NotIn, container, key)
            if asks and isinstance(earlier, ast.If):
                put_in = any(_uses(file, s, container, key) for s in earlier.body)
                if leaves(earlier) or put_in:
                    return earlier
            if _changes(file, earlier, container, key):
                return None
            if _uses(file, earlier, container, key):
                return earlier
        outer = file.parent(inner)
        if not isinstance(outer, ast.stmt) or isinstance(outer, Function | ast.ClassDef):
            return None
        if _asks(file, outer, ast.In, container, key) and inner in getattr(outer, "body", ()):
            return outer if isinstance(outer, ast.If) else None
        inner = outer


def filled_before(file: SourceFile, node: ast.AST, statement: ast.stmt) -> ast.If | None:
    """The check after which there must be something to take; None as for `known_before`."""
    taken = takes_any(node)
    if taken is None:
        return None
    container = file.segment(taken)
    inner: ast.stmt = statement
    while True:
        for earlier in reversed(_before(file, inner)):
            test = earlier.test if isinstance(earlier, ast.If) and leaves(earlier) else None
            if isinstance(earlier, ast.If) and _says_filled(file, test, container) is False:
                return earlier
            if _changes(file, earlier, container, container):
                return None
        outer = file.parent(inner)
        if not isinstance(outer, ast.stmt) or isinstance(outer, Function | ast.ClassDef):
            return None
        met = isinstance(outer, ast.If) and inner in outer.body
        if isinstance(outer, ast.If) and met and _says_filled(file, outer.test, container):
            return outer
        if isinstance(outer, ast.While) and _says_filled(file, outer.test, container):
            return None  # it takes in each round, and may take twice in one
        inner = outer


def _says_filled(file: SourceFile, test: ast.expr | None, container: str) -> bool | None:
    """What a condition says when it is met: that there is something, nothing, or neither."""
    if test is None:
        return None
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = _says_filled(file, test.operand, container)
        return None if inner is None else not inner
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        counts = file.segment(test.left) == f"len({container})"
        bound = test.comparators[0]
        if not counts or not isinstance(bound, ast.Constant):
            return None
        empty = (ast.Eq, 0), (ast.LtE, 0), (ast.Lt, 1)
        filled = (ast.NotEq, 0), (ast.Gt, 0), (ast.GtE, 1)
        says = (type(test.ops[0]), bound.value)
        return says in filled if says in (*empty, *filled) else None
    said = test.args[0] if isinstance(test, ast.Call) and _is_len(test) else test
    return True if file.segment(said) == container else None


def _is_len(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id == "len" and len(call.args) == 1


def waits_between(known: ast.stmt, statement: ast.stmt, function: Function) -> bool:
    """Whether the function awaits something between the check and the use."""
    return any(
        isinstance(n, ast.Await | ast.AsyncFor | ast.AsyncWith)
        and known.lineno <= n.lineno <= statement.lineno
        for n in ast.walk(function)
    )


def leaves(check: ast.stmt) -> bool:
    """Whether it is an `if` whose last statement leaves the function or the round of a loop."""
    left = (ast.Return, ast.Raise, ast.Continue, ast.Break)
    return isinstance(check, ast.If) and not check.orelse and isinstance(check.body[-1], left)


def _before(file: SourceFile, statement: ast.stmt) -> list[ast.stmt]:
    block = file.block_of(statement)
    return block[: block.index(statement)] if statement in block else []


def _asks(
    file: SourceFile, check: ast.stmt, kind: type[ast.cmpop], container: str, key: str
) -> bool:
    test = check.test if isinstance(check, ast.If) else None
    return (
        isinstance(test, ast.Compare)
        and len(test.ops) == 1
        and isinstance(test.ops[0], kind)
        and file.segment(test.left) == key
        and file.segment(test.comparators[0]) == container
    )


def _uses(file: SourceFile, statement: ast.stmt, container: str, key: str) -> bool:
    """Whether a simple statement fails without the key, or puts it in."""
    if not isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Expr):
        return False
    for node in ast.walk(statement):
        if isinstance(node, ast.Lambda | ast.IfExp | ast.BoolOp):
            return False  # it may not come to that
        if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Del):
            found = file.segment(node.value) == container and file.segment(node.slice) == key
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            sets = node.func.attr == "setdefault" and file.segment(node.func.value) == container
            found = sets and file.segment(node.args[0]) == key
        else:
            continue
        if found:
            return True
    return False


def _changes(file: SourceFile, statement: ast.stmt, container: str, key: str) -> bool:
    """Whether the statement takes something out of the collection or gives a name anew."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            found = node.func.attr in _TAKES and file.segment(node.func.value) == container
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Del):
            found = file.segment(node.value) == container
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            found = file.segment(node) in (container, key)
        else:
            continue
        if found:
            return True
    return False
