"""The same edits on the standard syntax tree: fast enough to try thousands.

`rewriting` compares its text with this tree; the search compiles this tree and leaves the
writing for the few candidates that are shown.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from selfheal_engine.diagnosis.source_file import SourceFile, Span, span_of
from selfheal_engine.patch_generator.edits import BODY, EXPR, Edit


def edited_tree(text: str, edits: Sequence[Edit]) -> ast.Module:
    """The tree of `text` with the edits made. Raises SyntaxError or LookupError."""
    # through SourceFile, so that columns count characters as the edits do
    file = SourceFile("", text.encode())
    if file.syntax_error is not None:
        raise file.syntax_error
    editor = _Editor(edits)
    tree = editor.visit(file.tree)
    if editor.left:
        raise LookupError(f"nothing stands at line {editor.left[0].span.line}")
    assert isinstance(tree, ast.Module)
    return tree


class _Editor(ast.NodeTransformer):
    def __init__(self, edits: Sequence[Edit]) -> None:
        self.left = list(edits)

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.expr):
            span = span_of(node)
            for edit in self.left:
                if edit.span == span and (
                    edit.kind == "expression"
                    or (edit.kind == "argument" and isinstance(node, ast.Call))
                ):
                    self.left.remove(edit)
                    inner = self.generic_visit(node)
                    return _replaced(inner, edit)
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
                setattr(node, name, self._block(block, required=name == "body"))
        return self.generic_visit(node)

    def _block(self, block: list[ast.stmt], required: bool) -> list[ast.stmt]:
        body = list(block)
        for edit in [e for e in self.left if e.kind == "statements"]:
            inside = [s for s in block if _within(s, edit.span)]
            if not inside or _top(inside[0]) != edit.span.line or inside[0] not in body:
                continue
            starts = {s.col_offset for s in inside if _top(s) == edit.span.line}
            if edit.span.column not in starts:
                continue
            self.left.remove(edit)
            new = ast.parse(edit.code).body
            index = body.index(inside[0])
            olds = list(body[index : index + len(inside)])
            body[index : index + len(inside)] = _Body(olds).fill(new)
        if not body and required:
            body = [ast.Pass()]
        return body


def _top(statement: ast.stmt) -> int:
    decorators = getattr(statement, "decorator_list", ())
    lines: list[int] = [statement.lineno, *(d.lineno for d in decorators)]
    return min(lines)


def _within(statement: ast.stmt, span: Span) -> bool:
    """On the lines of the span: statements that share a line by `;` are edited together."""
    return span.line <= _top(statement) and (statement.end_lineno or 0) <= span.end_line


def _replaced(node: ast.AST, edit: Edit) -> ast.AST:
    if edit.kind == "argument":
        extra = ast.parse(f"f({edit.code})", mode="eval").body
        assert isinstance(extra, ast.Call)
        assert isinstance(node, ast.Call)
        node.args += extra.args
        node.keywords += extra.keywords
        return node
    new = ast.parse(edit.code.strip(), mode="eval").body
    replaced: ast.AST = _Expression(node).visit(new)
    if isinstance(replaced, ast.Attribute | ast.Subscript | ast.Name):
        replaced.ctx = getattr(node, "ctx", replaced.ctx)  # where it is assigned to, it stays so
    return replaced


class _Expression(ast.NodeTransformer):
    def __init__(self, old: ast.AST) -> None:
        self.old = old

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return self.old if node.id == EXPR else node


class _Body(ast.NodeTransformer):
    def __init__(self, old: list[ast.stmt]) -> None:
        self.old = old

    def fill(self, new: list[ast.stmt]) -> list[ast.stmt]:
        out: list[ast.stmt] = []
        for statement in new:
            if _is_body(statement):
                out += self.old
            else:
                out.append(self.visit(statement))
        return out

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list) and any(_is_body(s) for s in block):
                setattr(node, name, self.fill(block))
        return super().generic_visit(node)


def _is_body(statement: ast.AST) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Name)
        and statement.value.id == BODY
    )
