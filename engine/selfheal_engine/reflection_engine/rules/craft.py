"""Craft: code that can never run, work done twice, a style that is not the file's."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise

from selfheal_engine.reflection_engine.change import Change
from selfheal_engine.reflection_engine.rule import Finding

_ENDS = (ast.Return, ast.Raise, ast.Continue, ast.Break)
_LONG_LINE = 120


class DeadCode:
    """Statements behind a `return` or `raise`, or under a condition that is a constant."""

    name = "dead_code"
    weight = 0.8
    VALID = (("def f():\n    return 1\n", "def f():\n    g()\n    return 1\n"),)
    INVALID = (
        ("def f():\n    return 1\n", "def f():\n    return 2\n    return 1\n"),
        ("def f():\n    return 1\n", "def f():\n    if False:\n        g()\n    return 1\n"),
    )

    def findings(self, change: Change) -> Iterator[Finding]:
        for node in ast.walk(change.after):
            for name in ("body", "orelse", "finalbody"):
                block = getattr(node, name, None)
                if not isinstance(block, list):
                    continue
                for one, following in pairwise(block):
                    new = change.is_new(one) or change.is_new(following)
                    if isinstance(one, _ENDS) and new:
                        yield following.lineno, "this line can never run"
            constant = isinstance(node, ast.If) and isinstance(node.test, ast.Constant)
            if constant and change.is_new(node):
                yield getattr(node, "lineno", 0), "the condition is always the same"


class RepeatedWork:
    """The same call made twice on neighbouring lines, where its result could be kept."""

    name = "repeated_work"
    weight = 0.3
    VALID = (
        (
            "a = find(x).b\n",
            "found = find(x)\nif found is None:\n    raise LookupError\na = found.b\n",
        ),
    )
    INVALID = (
        ("a = find(x).b\n", "if find(x) is None:\n    raise LookupError\na = find(x).b\n"),
        ("a = find(x).b\n", "a = find(x).b if find(x) else None\n"),
    )

    def findings(self, change: Change) -> Iterator[Finding]:
        for node in change.new_nodes():
            if not isinstance(node, ast.If | ast.IfExp):
                continue
            asked = {ast.dump(n) for n in ast.walk(node.test) if isinstance(n, ast.Call) and n.args}
            if not asked:
                continue
            near = _neighbours(change.after, node)
            again = [
                n for part in near for n in ast.walk(part)
                if isinstance(n, ast.Call) and ast.dump(n) in asked
            ]  # fmt: skip
            if again:
                yield node.lineno, "the same call is made twice: keep its result"


def _neighbours(tree: ast.AST, node: ast.If | ast.IfExp) -> list[ast.AST]:
    """What is run with the condition: both branches, or the next statement."""
    if isinstance(node, ast.IfExp):
        return [node.body, node.orelse]
    for parent in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(parent, name, None)
            if isinstance(block, list) and node in block:
                place = block.index(node)
                return [*node.body, *block[place + 1 : place + 2]]
    return []


class StrangeStyle:
    """Quotes or indentation that the file does not use, or lines longer than it has."""

    name = "strange_style"
    weight = 0.2
    VALID = (("a = 'b'\n", "a = 'b'\nc = 'd'\n"),)
    INVALID = (
        ("a = 'b'\nc = 'd'\ne = 'f'\n", "a = 'b'\nc = 'd'\ne = 'f'\ng = \"h\"\n"),
        ("if a:\n    b()\n", "if a:\n\tb()\n"),
        ("a = 1\n", "a = " + " + ".join(["1"] * 40) + "\n"),
    )

    def findings(self, change: Change) -> Iterator[Finding]:
        lines = change.text.splitlines()
        old = [line for number, line in enumerate(lines, 1) if number not in change.added]
        single = sum("'" in line and '"' not in line for line in old)
        double = sum('"' in line and "'" not in line for line in old)
        longest = max([len(line) for line in old], default=0)
        for number in sorted(change.added):
            line = lines[number - 1] if number <= len(lines) else ""
            if line.startswith("\t") and not any(other.startswith("\t") for other in old):
                yield number, "indented by tabs, unlike the file"
            elif len(line) > max(_LONG_LINE, longest):
                yield number, "longer than any line of the file"
            elif '"' in line and "'" not in line and single >= 3 and not double:
                yield number, "other quotes than the file uses"
