"""Which part of a failing expression or statement had the wrong value.

The exception's words say what was done with the value (called, iterated, unpacked, compared,
stored into); the captured values say which of several parts it was.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

from selfheal_engine.diagnosis.captured import evaluate
from selfheal_engine.model import Value

Scope = Mapping[str, Value]
Part = tuple[ast.expr | None, ast.expr | None]
"""(the part with the wrong value, the missing key)."""

_ON_CONTAINER = (
    "is not subscriptable",
    "item assignment",
    "item deletion",
    "indices must be",
    "index out of range",
    "slice indices",
)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.GeneratorExp)


def speaks_of_none(message: str) -> bool:
    return "NoneType" in message or bool(re.search(r"\bNone\b", message))


def culprit_of(
    node: ast.AST, statement: ast.stmt, scope: Scope, exception: str, message: str
) -> Part:
    """The part of `node`, which failed inside `statement`, and the key that was missing."""
    name = exception.rpartition(".")[2]
    none = speaks_of_none(message)
    if isinstance(node, ast.AugAssign):
        if name.startswith("ZeroDivision") or "not iterable" in message:
            return node.value, None
        return _none_among([node.target, node.value], scope, message, none, True), None
    if isinstance(node, ast.Tuple | ast.List) and isinstance(node.ctx, ast.Store):
        return _unpacked(node, statement), None
    if isinstance(node, ast.Await):
        return node.value, None
    if isinstance(node, ast.Attribute) and name in ("AttributeError", ""):
        return node.value, None
    if isinstance(node, ast.Subscript) and (
        name in ("KeyError", "IndexError", "") or any(w in message for w in _ON_CONTAINER)
    ):
        return node.value, node.slice
    if isinstance(node, ast.FormattedValue):
        return (node.value if none else None), None
    if isinstance(node, ast.JoinedStr):
        values = [n.value for n in ast.walk(node) if isinstance(n, ast.FormattedValue)]
        return _none_among(values, scope, message, none), None
    if isinstance(node, ast.BinOp):
        if name == "ZeroDivisionError":
            return node.right, None
        return _none_among([node.left, node.right], scope, message, none, True), None
    if isinstance(node, ast.Compare):
        if "is not iterable" in message:
            return node.comparators[-1], None
        operands = [node.left, *node.comparators]
        return _none_among(operands, scope, message, none, len(operands) == 2), None
    if isinstance(node, ast.UnaryOp):
        return node.operand, None
    if isinstance(node, (*_COMPREHENSIONS, ast.DictComp)) and "not iterable" in message:
        return node.generators[0].iter, None  # the first one is read where it is written
    if isinstance(node, ast.Call):
        return _of_call(node, statement, scope, message), None
    header = _header_value(node if isinstance(node, ast.stmt) else statement)
    if isinstance(node, ast.stmt) or header is node:
        return header, None
    return (node if isinstance(node, ast.expr) and none else None), None


def _unpacked(target: ast.expr, statement: ast.stmt) -> ast.expr | None:
    """What was unpacked into the target: the assigned value, or the loop's item (no expression)."""
    if isinstance(statement, ast.Assign) and target in statement.targets:
        return statement.value
    return None


def _of_call(node: ast.Call, statement: ast.stmt, scope: Scope, message: str) -> ast.expr | None:
    if "is not callable" in message:
        return node.func
    none = speaks_of_none(message)
    about_result = (
        "is not iterable" in message or "unpack" in message or "context manager" in message
    )
    if about_result and _is_consumed(node, statement):
        return node
    found = _none_among(list(_arguments(node, message)), scope, message, none)
    if found is None and none:
        # a collection that holds the None: what is wrong is one of its items
        return next((a for a in node.args if _holds_none(evaluate(a, scope))), None)
    return found


def _is_consumed(node: ast.expr, statement: ast.stmt) -> bool:
    """The call's own result is iterated, unpacked or entered, not one of its arguments."""
    for part in ast.walk(statement):
        if getattr(part, "iter", None) is node:
            return True
        if isinstance(part, ast.Starred) and part.value is node:
            return True
    return _header_value(statement) is node


def _arguments(node: ast.Call, message: str) -> Iterator[ast.expr]:
    """The arguments; of a comprehension, a display or a key function, what gives the values.

    Comparing, adding and joining look into what they are given, so that there the None may be
    an item rather than the argument.
    """
    looks_inside = "instances of" in message or "operand" in message or "sequence item" in message
    arguments = [*node.args, *(k.value for k in node.keywords)]
    if looks_inside:
        keys = [k.value for k in node.keywords if k.arg == "key"]
        yield from (key.body for key in keys if isinstance(key, ast.Lambda))
        for argument in node.args:
            if isinstance(argument, _COMPREHENSIONS):
                yield argument.elt
            elif isinstance(argument, ast.List | ast.Tuple | ast.Set):
                yield from argument.elts
    for argument in arguments:
        yield argument.value if isinstance(argument, ast.Starred) else argument


def _holds_none(value: Value | None) -> bool:
    if value is None or value.type_name not in ("list", "tuple", "set", "deque"):
        return False
    return any(item.is_none for _, item in value.children)


def _none_among(
    nodes: list[ast.expr], scope: Scope, message: str, none: bool, pair: bool = False
) -> ast.expr | None:
    """The part that is None by its value; of a pair whose values are unknown, by the message."""
    for node in nodes:
        value = evaluate(node, scope)
        if value is not None and value.is_none and not isinstance(node, ast.Constant):
            return node
    if not none:
        return None
    unknown = [n for n in nodes if evaluate(n, scope) is None and _may_be_none(n)]
    operands = re.search(r"'([\w.]+)' and '([\w.]+)'", message)
    if operands and pair and operands[1] != operands[2]:
        index = 0 if operands[1] == "NoneType" else 1
        return nodes[index] if nodes[index] in unknown else None
    item = re.match(r"sequence item (\d+)", message)
    if item and int(item[1]) < len(nodes) and nodes[int(item[1])] in unknown:
        return nodes[int(item[1])]
    return unknown[0] if unknown else None


def _may_be_none(node: ast.expr) -> bool:
    never = (
        ast.Constant,
        ast.Lambda,
        ast.JoinedStr,
        ast.List,
        ast.Tuple,
        ast.Set,
        ast.Dict,
        ast.ListComp,
        ast.SetComp,
        ast.DictComp,
        ast.GeneratorExp,
        ast.BinOp,
        ast.Compare,
    )
    return not isinstance(node, never)


def _header_value(statement: ast.stmt) -> ast.expr | None:
    if isinstance(statement, ast.For | ast.AsyncFor):
        return statement.iter
    if isinstance(statement, ast.With | ast.AsyncWith):
        return statement.items[0].context_expr
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Tuple | ast.List):
        return statement.value
    return None
