"""What callers rely on: parameters, the kind of value returned, checks that were there."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.reflection_engine.change import Change, FunctionNode, own_nodes
from selfheal_engine.reflection_engine.rule import Finding


class ChangedSignature:
    """A function that takes other arguments than before: its callers are not in the patch."""

    name = "changed_signature"
    weight = 1.0
    VALID = (
        ("def f(a):\n    return a\n", "def f(a):\n    return a or 0\n"),
        ("def f(a):\n    return a\n", "def f(a, timeout=None):\n    return a\n"),
    )
    INVALID = (
        ("def f(a):\n    return a\n", "def f(a, b):\n    return a\n"),
        ("def f(a, b):\n    return a\n", "def f(a):\n    return a\n"),
        ("def f(a):\n    return a\n", "async def f(a):\n    return a\n"),
    )

    def findings(self, change: Change) -> Iterator[Finding]:
        for name, new, old in change.functions():
            if old is None:
                continue
            if type(new) is not type(old):
                yield new.lineno, f"`{name}` is awaited differently now; callers break"
            elif _names(new)[: len(_names(old))] != _names(old) or _needed(new) > _needed(old):
                yield new.lineno, f"`{name}` takes other arguments than its callers give"


def _names(function: FunctionNode) -> list[str]:
    arguments = function.args
    return [a.arg for a in (*arguments.posonlyargs, *arguments.args)]


def _needed(function: FunctionNode) -> int:
    arguments = function.args
    keyword_only = sum(default is None for default in arguments.kw_defaults)
    return len(_names(function)) - len(arguments.defaults) + keyword_only


class OtherKindOfReturn:
    """A new `return None` (or bare one) in a function that always gave a value."""

    name = "none_returned"
    weight = 0.9
    VALID = (
        (
            "def f(a):\n    return a.b\n",
            "def f(a):\n    if a is None:\n        raise ValueError('no a')\n    return a.b\n",
        ),
        (
            "def f(a):\n    if not a:\n        return None\n    return a.b\n",
            "def f(a):\n    if not a or not a.b:\n        return None\n    return a.b\n",
        ),
        ("def f(a):\n    a.b()\n", "def f(a):\n    if a is None:\n        return\n    a.b()\n"),
    )
    INVALID = (
        (
            "def f(a):\n    return a.b\n",
            "def f(a):\n    if a is None:\n        return None\n    return a.b\n",
        ),
        ("def f(a):\n    return a.b\n", "def f(a):\n    if a:\n        return a.b\n    return\n"),
        ("def f(a):\n    return a.b\n", "def f(a):\n    return a.b if a else None\n"),
    )

    def findings(self, change: Change) -> Iterator[Finding]:
        for name, new, old in change.changed_functions():
            if old is None or not _values(old) or any(_is_none(v) for v in _values(old)):
                continue
            for node in own_nodes(new):
                if isinstance(node, ast.Return) and _gives_none(node) and change.is_new(node):
                    yield node.lineno, f"`{name}` may now return None: do all callers expect it?"
                    break


def _values(function: FunctionNode) -> list[ast.expr | None]:
    return [node.value for node in own_nodes(function) if isinstance(node, ast.Return)]


def _is_none(value: ast.expr | None) -> bool:
    return value is None or (isinstance(value, ast.Constant) and value.value is None)


def _gives_none(node: ast.Return) -> bool:
    if isinstance(node.value, ast.IfExp):
        return _is_none(node.value.body) or _is_none(node.value.orelse)
    return _is_none(node.value)


class RemovedCheck:
    """A check (assert, raise) that was there before and is gone."""

    name = "removed_check"
    weight = 1.5
    VALID = (
        (
            "def f(a):\n    if not a:\n        raise ValueError\n    return a\n",
            "def f(a):\n    if not a:\n        raise ValueError('empty')\n    return a\n",
        ),
    )
    INVALID = (
        (
            "def f(a):\n    if not a:\n        raise ValueError\n    return a\n",
            "def f(a):\n    return a\n",
        ),
        ("def f(a):\n    assert a\n    return a\n", "def f(a):\n    return a\n"),
    )

    def findings(self, change: Change) -> Iterator[Finding]:
        for name, new, old in change.functions():
            if old is not None and _checks(new) < _checks(old):
                yield new.lineno, f"a check that `{name}` made before is gone"


def _checks(function: FunctionNode) -> int:
    return sum(isinstance(node, ast.Raise | ast.Assert) for node in own_nodes(function))
