"""Patches that treat the place where it hurts: what is missing is made up or passed over."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.reflection_engine.change import Change
from selfheal_engine.reflection_engine.rule import Finding
from selfheal_engine.reflection_engine.rules.errors import tells


class HiddenAbsence:
    """An empty stand-in for what is missing: a caller's bug goes on unseen."""

    name = "hidden_absence"
    weight = 0.5
    VALID = (
        ("a = b.c\n", "if b is None:\n    raise LookupError('no b')\na = b.c\n"),
        ("a = b['c']\n", "a = b.get('c', 5)\n"),
    )
    INVALID = (
        ("a = b.c.d\n", "a = (b.c or {}).d\n"),
        ("a = b['c']\n", "a = b.get('c', {})\n"),
        ("a = len(b)\n", "a = len(b or [])\n"),
    )

    def findings(self, change: Change) -> Iterator[Finding]:
        for node in change.new_nodes():
            if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
                empty = _is_empty(node.values[-1])
            elif isinstance(node, ast.Call) and len(node.args) == 2:
                got = isinstance(node.func, ast.Attribute) and node.func.attr == "get"
                empty = got and _is_empty(node.args[1])
            else:
                continue
            if empty:
                yield node.lineno, "an empty value stands in for the missing one: is that true?"


def _is_empty(node: ast.expr) -> bool:
    if isinstance(node, ast.Dict):
        return not node.keys
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return not node.elts
    return False


class SilentSkip:
    """A new guard that leaves the work undone without a word."""

    name = "silent_skip"
    weight = 0.6
    VALID = (
        (
            "for x in xs:\n    f(x.y)\n",
            "for x in xs:\n    if x.y is None:\n        log.warning('no y')\n        continue\n"
            "    f(x.y)\n",
        ),
        (
            "def f(x):\n    save(x.y)\n",
            "def f(x):\n    if x.y is None:\n        raise ValueError('no y')\n    save(x.y)\n",
        ),
    )
    INVALID = (
        (
            "for x in xs:\n    f(x.y)\n",
            "for x in xs:\n    if x.y is None:\n        continue\n    f(x.y)\n",
        ),
        (
            "def f(x):\n    save(x.y)\n",
            "def f(x):\n    if x.y is None:\n        return\n    save(x.y)\n",
        ),
    )

    def findings(self, change: Change) -> Iterator[Finding]:
        for node in change.new_nodes():
            if not isinstance(node, ast.If) or node.orelse or tells(node.body):
                continue
            last = node.body[-1]
            bare = isinstance(last, ast.Return) and last.value is None
            if (bare or isinstance(last, ast.Continue)) and change.is_new(last):
                yield node.lineno, "the work is left undone without a word: say so, or refuse"
