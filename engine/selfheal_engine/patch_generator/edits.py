"""What a template asks for: small edits at positions of the original text.

An edit is data, so that it can be searched, compared and sent to a sandbox; `rewriting` turns a
list of them into new text. Snippets may hold placeholders for the original code, which keeps
its formatting and comments: `__expr__` for the expression, a bare `__body__` for the statements.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from selfheal_engine.diagnosis.source_file import Span, span_of

EXPR = "__expr__"
BODY = "__body__"

EditKind = Literal[
    "expression",  # replace the expression at the span
    "statements",  # replace the statements from the span's first to its last line
    "argument",  # add an argument to the call at the span
    "import",  # have this import at the top of the file
    "text",  # splice raw text: for files that do not parse, and for signatures
]


@dataclass(frozen=True)
class Edit:
    """One change of one file."""

    kind: EditKind
    span: Span
    code: str


NOWHERE = Span(0, 0, 0, 0)


def replace_expression(node: ast.AST, code: str) -> Edit:
    """`code` is an expression in which `__expr__` stands for the original."""
    return Edit("expression", span_of(node), code)


def replace_statements(statements: Sequence[ast.stmt], code: str) -> Edit:
    """`code` is a list of statements, not indented, in which `__body__` stands for the old ones."""
    first, last = statements[0], statements[-1]
    decorators = getattr(first, "decorator_list", ())
    line = min([first.lineno, *(d.lineno for d in decorators)])
    column = first.col_offset
    return Edit(
        "statements", Span(line, column, last.end_lineno or 0, last.end_col_offset or 0), code
    )


def insert_before(statement: ast.stmt, code: str) -> Edit:
    return replace_statements([statement], f"{code.rstrip()}\n{BODY}\n")


def insert_after(statement: ast.stmt, code: str) -> Edit:
    return replace_statements([statement], f"{BODY}\n{code.rstrip()}\n")


def add_argument(call: ast.Call, code: str) -> Edit:
    return Edit("argument", span_of(call), code)


def add_import(code: str) -> Edit:
    """`import x` or `from x import y` at the top; nothing happens where it is there already."""
    return Edit("import", NOWHERE, code)


def splice_text(span: Span, code: str) -> Edit:
    return Edit("text", span, code)


def indented(code: str, levels: int = 1, indent: str = "    ") -> str:
    """`code` moved right; lines without text stay empty."""
    pad = indent * levels
    return "".join(pad + line if line.strip() else line for line in code.splitlines(True))
