"""One file before and after a patch, as the rules look at it."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator
from dataclasses import dataclass

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Change:
    """Both syntax trees, and the lines of the new text that the patch added or changed."""

    before: ast.Module
    after: ast.Module
    added: frozenset[int]
    text: str
    """The new text."""
    crash_function: str = ""
    """Name of the function in which the fault showed, "" when it showed in another file."""

    @classmethod
    def of(cls, before: bytes, after: bytes, crash_function: str = "") -> Change:
        """Raises SyntaxError or ValueError."""
        return cls(
            ast.parse(before),
            ast.parse(after),
            frozenset(new_lines(before, after)),
            after.decode(errors="replace"),
            crash_function,
        )

    def new_nodes(self) -> Iterator[ast.AST]:
        """Nodes of the new text that begin on an added line."""
        for node in ast.walk(self.after):
            if getattr(node, "lineno", 0) in self.added:
                yield node

    def is_new(self, node: ast.AST) -> bool:
        return getattr(node, "lineno", 0) in self.added

    def functions(self) -> Iterator[tuple[str, FunctionNode, FunctionNode | None]]:
        """(qualified name, new, old or None) of every function of the new text."""
        old = dict(named_functions(self.before))
        for name, node in named_functions(self.after):
            yield name, node, old.get(name)

    def changed_functions(self) -> Iterator[tuple[str, FunctionNode, FunctionNode | None]]:
        """Those with an added line in them."""
        for name, node, old in self.functions():
            lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            if self.added.intersection(lines):
                yield name, node, old


def new_lines(before: bytes, after: bytes) -> set[int]:
    """Numbers of the lines, from 1, that a patch adds or changes."""
    old, new = before.splitlines(), after.splitlines()
    matcher = difflib.SequenceMatcher(a=old, b=new, autojunk=False)
    return {
        number
        for tag, _, _, start, end in matcher.get_opcodes()
        if tag != "equal"
        for number in range(start + 1, end + 1)
    }


def named_functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, FunctionNode]]:
    """Functions and methods with their qualified names, outer ones first."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, FunctionNode):
            yield prefix + node.name, node
            yield from named_functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.ClassDef):
            yield from named_functions(node, f"{prefix}{node.name}.")
        else:
            yield from named_functions(node, prefix)


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """Nodes of a function without those of functions and classes defined in it."""
    for node in ast.iter_child_nodes(function):
        yield node
        if not isinstance(node, FunctionNode | ast.ClassDef | ast.Lambda):
            yield from own_nodes(node)


def called_name(call: ast.Call) -> str:
    """`c` for `a.b.c(...)`, `f` for `f(...)`."""
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""
