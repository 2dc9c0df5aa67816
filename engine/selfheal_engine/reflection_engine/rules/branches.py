"""Ways through the code: a loop left before its end, a branch that is never or emptily taken."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise

from selfheal_engine.reflection_engine.change import Change, FunctionNode, own_nodes
from selfheal_engine.reflection_engine.rule import Finding

_ENDS = (ast.Return, ast.Raise, ast.Continue, ast.Break)
_LOOPS = (ast.For, ast.AsyncFor, ast.While)


class AbandonsTheRest:
    """One bad item ends the whole loop with an empty answer: the items behind it are lost.

    Not where the loop was left by a `return` before: it searches, and may stop.
    """

    name = "abandons_the_rest"
    weight = 0.9
    VALID = (
        (
            "def f(xs):\n    for x in xs:\n        send(x.y)\n    return 1\n",
            "def f(xs):\n    for x in xs:\n        if x.y is None:\n            continue\n"
            "        send(x.y)\n    return 1\n",
        ),
        (
            "def f(xs):\n    for x in xs:\n        if x.y == 1:\n            return x\n",
            "def f(xs):\n    for x in xs:\n        if x is None:\n            return None\n"
            "        if x.y == 1:\n            return x\n",
        ),
        (
            "def f(xs):\n    for x in xs:\n        send(x.y)\n",
            "def f(xs):\n    for x in xs:\n        if x.y is None:\n"
            "            return refused(x), 422\n        send(x.y)\n",
        ),
    )
    INVALID = (
        (
            "def f(xs):\n    for x in xs:\n        send(x.y)\n    return 1\n",
            "def f(xs):\n    for x in xs:\n        if x.y is None:\n            return 0\n"
            "        send(x.y)\n    return 1\n",
        ),
        (
            "def f(xs):\n    for x in xs:\n        send(x)\n",
            "def f(xs):\n    for x in xs:\n        try:\n            send(x)\n"
            "        except OSError:\n            log.warning('not sent')\n            return\n",
        ),
    )

    def findings(self, change: Change) -> Iterator[Finding]:
        for _, new, old in change.changed_functions():
            if old is None or any(_returns_in_loops(old)):
                continue
            for node in _returns_in_loops(new):
                if change.is_new(node) and _is_empty(node.value):
                    yield node.lineno, "one bad item ends the loop: those behind it are left undone"
                    break


def _returns_in_loops(function: FunctionNode) -> Iterator[ast.Return]:
    for loop in own_nodes(function):
        if isinstance(loop, _LOOPS):
            yield from (node for node in own_nodes(loop) if isinstance(node, ast.Return))


def _is_empty(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Dict):
        return not value.keys
    if isinstance(value, ast.List | ast.Tuple | ast.Set):
        return not value.elts
    return value is None or isinstance(value, ast.Constant)


class RepeatedCondition:
    """A condition that has been asked just before: its branch is never taken."""

    name = "repeated_condition"
    weight = 1.5
    VALID = (
        (
            "def f(a):\n    if a:\n        return 1\n    return 2\n",
            "def f(a):\n    if a:\n        return 1\n    if a is None:\n        return 3\n"
            "    return 2\n",
        ),
        (
            "def f(a):\n    if a.ready():\n        return 1\n    return 2\n",
            "def f(a):\n    if a.ready():\n        return 1\n    if a.ready():\n        return 3\n"
            "    return 2\n",
        ),
    )
    INVALID = (
        (
            "def f(a):\n    if a.b:\n        return 1\n    if a.c:\n        return 2\n",
            "def f(a):\n    if a.b:\n        return 1\n    if a.b:\n        return 2\n",
        ),
        (
            "def f(a):\n    if a:\n        g()\n    else:\n        h()\n",
            "def f(a):\n    if a:\n        g()\n    elif a:\n        h()\n",
        ),
    )

    def findings(self, change: Change) -> Iterator[Finding]:
        for node in ast.walk(change.after):
            for one, other in _one_after_the_other(node):
                new = change.is_new(one) or change.is_new(other)
                same = ast.dump(one.test) == ast.dump(other.test)
                # what is called may answer otherwise the second time
                calls = any(isinstance(part, ast.Call | ast.Await) for part in ast.walk(one.test))
                if new and same and not calls:
                    yield other.lineno, "the same was asked just before: this branch never runs"


def _one_after_the_other(node: ast.AST) -> Iterator[tuple[ast.If, ast.If]]:
    """Pairs of conditions of which the second is reached only when the first one is false."""
    if isinstance(node, ast.If) and len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):
        yield node, node.orelse[0]
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        for one, other in pairwise(block if isinstance(block, list) else ()):
            if not (isinstance(one, ast.If) and isinstance(other, ast.If)) or one.orelse:
                continue
            if isinstance(one.body[-1], _ENDS):
                yield one, other


class EmptyBranch:
    """A branch whose work is gone: the condition is still asked, and nothing follows from it."""

    name = "empty_branch"
    weight = 1.2
    VALID = (
        (
            "def f(a):\n    if a:\n        g()\n    return 1\n",
            "def f(a):\n    if a and a.b:\n        g()\n    return 1\n",
        ),
        (
            "def f(a):\n    g(a)\n",
            "def f(a):\n    if a is None:\n        pass\n    else:\n        g(a)\n",
        ),
    )
    INVALID = (
        (
            "def f(a):\n    if a:\n        return a.b\n    return 1\n",
            "def f(a):\n    if a:\n        pass\n    return 1\n",
        ),
    )

    def findings(self, change: Change) -> Iterator[Finding]:
        for node in ast.walk(change.after):
            if isinstance(node, ast.If) and not node.orelse and len(node.body) == 1:
                only = node.body[0]
                if isinstance(only, ast.Pass) and change.is_new(only):
                    yield only.lineno, "what the branch did is gone, and the condition stayed"
