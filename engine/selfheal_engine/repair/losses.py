"""What an edit takes away from a function without meaning to: unused names, a lost recursion."""

from __future__ import annotations

import ast
import textwrap
from collections import Counter


def losses(before: str, after: str) -> list[str]:
    """In words, everything that `after` no longer uses though `before` did."""
    old, new = _uses(before), _uses(after)
    if old is None or new is None:
        return []
    found = [f"`{name}` is no longer used" for name in sorted(new.unused - old.unused)]
    found += [f"`{name}` no longer calls itself" for name in sorted(old.recursive - new.recursive)]
    if new.effects < old.effects:
        found.append("something is no longer done")
    return found


class _Uses(ast.NodeVisitor):
    def __init__(self) -> None:
        self.bound: set[str] = set()
        self.loads: Counter[str] = Counter()
        self.recursive: set[str] = set()
        self.effects = 0
        """Statements that are there for what they do: calls, additions, what is handed out."""
        self._inside: list[str] = []

    @property
    def unused(self) -> set[str]:
        return {name for name in self.bound if not self.loads[name]}

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.loads[node.id] += 1
        else:
            self.bound.add(node.id)

    def visit_arg(self, node: ast.arg) -> None:
        self.bound.add(node.arg)

    def visit_Expr(self, node: ast.Expr) -> None:
        self.effects += isinstance(node.value, ast.Call | ast.Await | ast.Yield | ast.YieldFrom)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.effects += 1
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._inside.append(node.name)
        self.generic_visit(node)
        self._inside.pop()

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in self._inside:
            self.recursive.add(node.func.id)
        self.generic_visit(node)


def _uses(text: str) -> _Uses | None:
    try:
        tree = ast.parse(textwrap.dedent(text))
    except SyntaxError:
        return None
    uses = _Uses()
    uses.visit(tree)
    return uses
