"""The rules, each with patches it finds fault with and patches it accepts."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Change:
    """One file before and after, with the lines that the patch added."""

    before: ast.Module
    after: ast.Module
    added: frozenset[int]
    """Line numbers in the new text."""

    @classmethod
    def of(cls, before: bytes, after: bytes) -> Change:
        """Raises SyntaxError."""
        old, new = before.splitlines(), after.splitlines()
        matcher = difflib.SequenceMatcher(a=old, b=new, autojunk=False)
        added = {
            line + 1
            for tag, _, _, start, end in matcher.get_opcodes()
            if tag != "equal"
            for line in range(start, end)
        }
        return cls(ast.parse(before), ast.parse(after), frozenset(added))

    def new_nodes(self) -> Iterator[ast.AST]:
        """Nodes of the new text that begin on an added line."""
        for node in ast.walk(self.after):
            if getattr(node, "lineno", 0) in self.added:
                yield node


class Rule:
    """One thing a maintainer would object to."""

    name: ClassVar[str]
    weight: ClassVar[float]
    VALID: ClassVar[tuple[tuple[str, str], ...]] = ()
    """(before, after) that the rule accepts."""
    INVALID: ClassVar[tuple[tuple[str, str], ...]] = ()
    """(before, after) that it objects to."""

    def findings(self, change: Change) -> Iterator[tuple[int, str]]:
        """(line in the new text, sentence for the person)."""
        raise TypeError(f"{type(self).__name__} does not say what it looks for")


class SwallowedError(Rule):
    """An `except` whose body neither raises, nor logs, nor returns a value."""

    name = "swallowed_error"
    weight = 0.8
    VALID = (
        (
            "def f(x):\n    return g(x)\n",
            "def f(x):\n    try:\n        return g(x)\n    except KeyError:\n        log.exception('no x')\n        return None\n",
        ),
    )
    INVALID = (
        (
            "def f(x):\n    g(x)\n",
            "def f(x):\n    try:\n        g(x)\n    except KeyError:\n        pass\n",
        ),
    )

    def findings(self, change: Change) -> Iterator[tuple[int, str]]:
        for node in change.new_nodes():
            if isinstance(node, ast.ExceptHandler) and all(
                isinstance(part, (ast.Pass, ast.Continue, ast.Break)) for part in node.body
            ):
                yield node.lineno, "the error is swallowed: nobody will ever hear of it"


class BroadExcept(Rule):
    """`except Exception` or wider where the fault has a name."""

    name = "broad_except"
    weight = 0.5
    VALID = (("f()\n", "try:\n    f()\nexcept KeyError:\n    g()\n"),)
    INVALID = (
        ("f()\n", "try:\n    f()\nexcept Exception:\n    g()\n"),
        ("f()\n", "try:\n    f()\nexcept:\n    g()\n"),
    )

    def findings(self, change: Change) -> Iterator[tuple[int, str]]:
        for node in change.new_nodes():
            if not isinstance(node, ast.ExceptHandler):
                continue
            name = node.type.id if isinstance(node.type, ast.Name) else ""
            if node.type is None or name in ("Exception", "BaseException"):
                yield node.lineno, "catches more than the error at hand, and so hides other bugs"


RULES: tuple[Rule, ...] = (SwallowedError(), BroadExcept())
