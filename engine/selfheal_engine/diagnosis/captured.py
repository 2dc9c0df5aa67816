"""Evaluates expressions on captured values: names, attributes, keys, constants.

Nothing runs: the captured pictures are looked up. What was not captured is `None` (unknown),
which is not the same as a captured `None` value.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping

from selfheal_engine.model import Frame, Value

Scope = Mapping[str, Value]
_COMPLETE = ("dict", "list", "tuple")


def scope_of(frame: Frame) -> dict[str, Value]:
    return dict(frame.locals)


def evaluate(node: ast.AST | None, scope: Scope) -> Value | None:
    """The captured value of an expression; None where it cannot be told."""
    if isinstance(node, ast.Name):
        return scope.get(node.id)
    if isinstance(node, ast.Constant):
        length = len(node.value) if isinstance(node.value, str | bytes) else None
        text = node.value if isinstance(node.value, str) else repr(node.value)
        return Value(type(node.value).__name__, text, length)
    if isinstance(node, ast.Attribute):
        base = evaluate(node.value, scope)
        return None if base is None else child(base, node.attr)
    if isinstance(node, ast.Subscript):
        base, key = evaluate(node.value, scope), evaluate(node.slice, scope)
        if base is None or key is None:
            return None
        return child(base, _position(base, key))
    if isinstance(node, ast.NamedExpr):
        return evaluate(node.value, scope)
    if isinstance(node, ast.Await | ast.Starred):
        return None
    return None


def child(value: Value, name: str) -> Value | None:
    return next((inner for key, inner in value.children if key == name), None)


def has_key(value: Value, name: str) -> bool | None:
    """Whether a captured mapping holds the key; None where the picture is not complete."""
    if child(value, name) is not None:
        return True
    return None if value.truncated or value.type_name not in _COMPLETE else False


def integer(value: Value | None) -> int | None:
    if value is None or value.type_name not in ("int", "bool"):
        return None
    try:
        return int(value.text) if value.type_name == "int" else int(value.text == "True")
    except ValueError:
        return None


def is_zero(value: Value | None) -> bool:
    if value is None or value.type_name not in ("int", "float", "bool", "Decimal"):
        return False
    try:
        return float(value.text) == 0 if value.text != "False" else True
    except ValueError:
        return False


def _position(base: Value, key: Value) -> str:
    """Lists count negative positions from the end."""
    number = integer(key)
    if number is not None and number < 0 and base.length is not None:
        return str(base.length + number)
    return key.text
