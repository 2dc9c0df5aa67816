"""A mutant's text by plain splicing: fast enough for thousands, exact enough to be tried.

Layout does not matter here, only meaning; what is shown to a person is written by
`patch_generator.rewriting`.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from selfheal_engine.diagnosis.source_file import Function, SourceFile
from selfheal_engine.patch_generator.edits import BODY, EXPR, Edit


@dataclass(frozen=True)
class Region:
    """What holds a mutation: its text is all that is compiled anew.

    A function, or a method within bare headers of its classes: a class of two thousand lines
    takes a hundred times as long to compile. Else the top-level statement.
    """

    file: SourceFile
    first: int
    last: int
    headers: tuple[str, ...] = ()
    """Lines to be compiled in front of it, for the classes that it is in."""

    @property
    def lines(self) -> list[str]:
        return self.file.lines[self.first - 1 : self.last]


@lru_cache(maxsize=4096)
def region_of(file: SourceFile, line: int) -> Region | None:
    outer = node = _holding(file.tree.body, line)
    headers: list[str] = []
    while isinstance(node, ast.ClassDef):
        headers.append(f"{' ' * node.col_offset}class {node.name}:\n")
        node = _holding(node.body, line)
    if isinstance(node, Function) and "\t" not in file.line(node.lineno):
        return Region(file, *_extent(node), tuple(headers))
    return Region(file, *_extent(outer)) if outer is not None else None


def _holding(body: Sequence[ast.stmt], line: int) -> ast.stmt | None:
    for node in body:
        first, last = _extent(node)
        if first <= line <= last:
            return node
    return None


def _extent(node: ast.stmt) -> tuple[int, int]:
    decorators = getattr(node, "decorator_list", ())
    return min([node.lineno, *(d.lineno for d in decorators)]), node.end_lineno or node.lineno


def spliced(region: Region, edits: Sequence[Edit]) -> str:
    """The region's text with the edits made, later ones first so that positions hold."""
    lines = list(region.lines)
    for edit in sorted(edits, key=lambda e: (e.span.line, e.span.column), reverse=True):
        first, last = edit.span.line - region.first, edit.span.end_line - region.first
        if edit.kind == "expression":
            old = _inner(lines, first, edit.span.column, last, edit.span.end_column)
            new = f"({edit.code.replace(EXPR, f'({old})')})"
            head, tail = lines[first][: edit.span.column], lines[last][edit.span.end_column :]
            lines[first : last + 1] = [head + new + tail]
        elif edit.kind == "statements":
            lines[first : last + 1] = _statements(lines[first : last + 1], edit)
    return "".join(lines)


def _inner(lines: list[str], first: int, column: int, last: int, end: int) -> str:
    if first == last:
        return lines[first][column:end]
    return "".join([lines[first][column:], *lines[first + 1 : last], lines[last][:end]])


def _statements(old: list[str], edit: Edit) -> list[str]:
    head = old[0][: edit.span.column]
    indent = head if not head.strip() else ""
    if head.strip():
        # a one-line suite, `if x: return y`: the statement gets its own line below
        return _one_line_suite(old, edit, head)
    out: list[str] = []
    for line in edit.code.splitlines():
        stripped = line.lstrip()
        extra = line[: len(line) - len(stripped)]
        if stripped == BODY:
            out += [extra + text if text.strip() else text for text in old]
        elif stripped:
            out.append(f"{indent}{line}\n")
    if out and not out[-1].endswith("\n"):
        out[-1] += "\n"
    return out or [f"{indent}pass\n"]


def _one_line_suite(old: list[str], edit: Edit, head: str) -> list[str]:
    base = head[: len(head) - len(head.lstrip())]
    body = "".join(old)[edit.span.column :].strip("\n")
    out = [head.rstrip() + "\n"]
    for line in edit.code.splitlines():
        text = line.replace(BODY, body) if line.strip() == BODY else line
        if text.strip():
            out.append(f"{base}        {text}\n")
    return out if len(out) > 1 else [head.rstrip() + " pass\n"]
