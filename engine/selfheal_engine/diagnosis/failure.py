"""Which expression failed, and which part of it had the wrong value.

From Python 3.11 on the traceback's columns name the expression. Without them every candidate
on the line is weighed against the exception's message and re-evaluated on the captured values.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from selfheal_engine.diagnosis.captured import evaluate, has_key, integer, is_zero, scope_of
from selfheal_engine.diagnosis.source_file import Function, SourceFile, Span, span_of
from selfheal_engine.model import Frame, Value


@dataclass(frozen=True)
class Failure:
    """The failing expression of one frame."""

    file: SourceFile
    frame: Frame
    statement: ast.stmt
    node: ast.AST
    """The expression that raised, or the statement where no expression can be named."""
    function: Function | None
    culprit: ast.expr | None = None
    """The part whose value was wrong: the None that was used, the container without the key."""
    key: ast.expr | None = None
    """The missing key, index or attribute name's expression, for subscripts."""
    value: Value | None = None
    """The culprit's captured value."""
    is_none: bool = False
    """The culprit was None."""

    @property
    def text(self) -> str:
        return self.file.segment(self.node) if isinstance(self.node, ast.expr) else ""


_NONE_WORDS = ("NoneType", "None of type", "argument of type 'NoneType'")
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


def find_failure(file: SourceFile, frame: Frame, exception: str, message: str) -> Failure | None:
    """The failing expression of the frame's line; None where the file has no such line."""
    statement = file.statement_at(frame.line)
    if statement is None and file.syntax_error is not None:
        broken = ast.Pass(lineno=frame.line, col_offset=0, end_lineno=frame.line, end_col_offset=0)
        return Failure(file, frame, broken, broken, None)
    if statement is None:
        return None
    if frame.column is not None:
        statement = _narrowest(file, frame, statement)
    node = _by_columns(statement, frame) or _by_values(statement, frame, exception, message)
    function = file.function_at(frame.line)
    if node is None:
        node = statement
    culprit, key = _culprit(node, statement, scope_of(frame), exception, message)
    value = evaluate(culprit, scope_of(frame)) if culprit is not None else None
    none = culprit is not None and (
        (value is not None and value.is_none)
        or (value is None and any(word in message for word in _NONE_WORDS))
    )
    return Failure(file, frame, statement, node, function, culprit, key, value, none)


def _narrowest(file: SourceFile, frame: Frame, statement: ast.stmt) -> ast.stmt:
    """With columns, the statement that really holds them (several may share a line)."""
    start = (frame.line, frame.column or 0)
    for node in ast.walk(statement):
        if isinstance(node, ast.stmt) and node is not statement:
            end = (node.end_lineno or 0, node.end_col_offset or 0)
            if (node.lineno, node.col_offset) <= start < end:
                statement = node
    return statement


def parts_of(statement: ast.stmt) -> Iterator[ast.AST]:
    """The expressions that a statement itself evaluates: of a compound one, its header only."""
    pending: list[ast.AST] = [statement]
    while pending:
        node = pending.pop()
        yield node
        for name, value in ast.iter_fields(node):
            if isinstance(node, ast.stmt) and name in _BLOCKS:
                continue
            items = value if isinstance(value, list) else [value]
            pending += [i for i in items if isinstance(i, ast.AST) and not isinstance(i, ast.stmt)]


def _by_columns(statement: ast.stmt, frame: Frame) -> ast.AST | None:
    if frame.column is None:
        return None
    end_line = frame.end_line or frame.line
    wanted = Span(frame.line, frame.column, end_line, frame.end_column or 0)
    exact = [n for n in parts_of(statement) if isinstance(n, ast.expr) and span_of(n) == wanted]
    if exact:
        return exact[0]
    around = [
        n
        for n in parts_of(statement)
        if isinstance(n, ast.expr)
        and (n.lineno, n.col_offset) <= (wanted.line, wanted.column)
        and (n.end_lineno or 0, n.end_col_offset or 0) >= (wanted.end_line, wanted.end_column)
    ]
    return min(around, key=_size, default=None)


def _size(node: ast.AST) -> tuple[int, int]:
    span = span_of(node)
    return span.end_line - span.line, span.end_column - span.column


def _by_values(statement: ast.stmt, frame: Frame, exception: str, message: str) -> ast.AST | None:
    """The likeliest expression: first one that the values prove, then one that fits the words."""
    scope = scope_of(frame)
    best: tuple[int, ast.AST] | None = None
    name = exception.rpartition(".")[2]
    for node in _in_order(statement):
        score = _fits(node, name, message, scope, frame.line)
        if score and (best is None or score > best[0]):
            best = (score, node)
    return None if best is None else best[1]


def _in_order(statement: ast.stmt) -> list[ast.expr]:
    """Inner before outer, left before right: roughly the order of evaluation."""
    nodes = [n for n in parts_of(statement) if isinstance(n, ast.expr)]
    return sorted(nodes, key=lambda n: (n.end_lineno or 0, n.end_col_offset or 0, -n.col_offset))


def _fits(node: ast.AST, exception: str, message: str, scope: dict[str, Value], line: int) -> int:
    """0 does not fit, 1 may, 2 fits the message, 4 proven by the captured values."""
    if not getattr(node, "lineno", line) <= line <= getattr(node, "end_lineno", line):
        return 0
    if exception == "AttributeError" and isinstance(node, ast.Attribute):
        found = re.search(r"has no attribute '([^']+)'", message)
        if found and found[1] != node.attr:
            return 0
        base = evaluate(node.value, scope)
        if base is not None and "'NoneType'" in message:
            return 4 if base.is_none else 0
        return 2
    if exception in ("KeyError", "IndexError") and isinstance(node, ast.Subscript):
        base, key = evaluate(node.value, scope), evaluate(node.slice, scope)
        if base is None or key is None:
            return 2
        if exception == "IndexError":
            index = integer(key)
            if index is not None and base.length is not None:
                return 4 if not -base.length <= index < base.length else 0
            return 2
        if repr(key.text) == message or key.text == message:
            return 4
        return 0 if has_key(base, key.text) else 2
    if exception == "ZeroDivisionError" and isinstance(node, ast.BinOp):
        if isinstance(node.op, ast.Div | ast.FloorDiv | ast.Mod):
            return 4 if is_zero(evaluate(node.right, scope)) else 2
        return 0
    if exception == "TypeError":
        return _fits_type_error(node, message, scope)
    if exception in ("NameError", "UnboundLocalError") and isinstance(node, ast.Name):
        return 4 if f"'{node.id}'" in message else 0
    if isinstance(node, ast.Call):
        return 1
    return 0


def _fits_type_error(node: ast.AST, message: str, scope: dict[str, Value]) -> int:
    if "subscriptable" in message and isinstance(node, ast.Subscript):
        base = evaluate(node.value, scope)
        if base is None:
            return 2
        return 4 if f"'{base.type_name}'" in message else 0
    if "unsupported operand" in message and isinstance(node, ast.BinOp):
        left, right = evaluate(node.left, scope), evaluate(node.right, scope)
        known = [v for v in (left, right) if v is not None]
        if known and all(f"'{v.type_name}'" in message for v in known):
            return 4 if len(known) == 2 else 3
        return 2 if not known else 1
    if "not supported between" in message and isinstance(node, ast.Compare):
        return 3
    if "is not callable" in message and isinstance(node, ast.Call):
        return 3
    if "is not iterable" in message and isinstance(
        node, ast.Compare | ast.Call | ast.comprehension
    ):
        return 2
    if "concatenate" in message and isinstance(node, ast.BinOp):
        return 3
    if isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        called = node.func.id if isinstance(node.func, ast.Name) else called
        values = [evaluate(a, scope) for a in node.args]
        if "NoneType" in message and any(v is not None and v.is_none for v in values):
            return 4
        named = called and f"{called}()" in message
        return 3 if named else 1 if values and all(v is not None for v in values) else 2
    return 0


def _culprit(
    node: ast.AST, statement: ast.stmt, scope: dict[str, Value], exception: str, message: str
) -> tuple[ast.expr | None, ast.expr | None]:
    """(the part with the wrong value, the missing key) of a failing expression."""
    none = any(word in message for word in _NONE_WORDS)
    if isinstance(node, ast.Attribute):
        return node.value, None
    if isinstance(node, ast.Subscript):
        return node.value, node.slice
    if isinstance(node, ast.BinOp):
        if exception.endswith("ZeroDivisionError"):
            return node.right, None
        return _none_among([node.left, node.right], scope, message, none), None
    if isinstance(node, ast.Compare):
        return _none_among([node.left, *node.comparators], scope, message, none), None
    if isinstance(node, ast.UnaryOp):
        return node.operand, None
    if isinstance(node, ast.Call):
        if "is not callable" in message:
            return node.func, None
        arguments = [*node.args, *(k.value for k in node.keywords)]
        return _none_among(arguments, scope, message, none or _speaks_of_none(message)), None
    if isinstance(node, ast.Await):
        return node.value, None
    if isinstance(node, ast.AugAssign):
        if exception.endswith("ZeroDivisionError"):
            return node.value, None
        return _none_among([node.target, node.value], scope, message, none), None
    header = _header_value(node if isinstance(node, ast.stmt) else statement)
    if isinstance(node, ast.stmt) or header is node:
        return header, None
    return (node if isinstance(node, ast.expr) and none else None), None


def _speaks_of_none(message: str) -> bool:
    return bool(re.search(r"\bNone\b", message))


def _none_among(
    nodes: list[ast.expr], scope: dict[str, Value], message: str, none: bool
) -> ast.expr | None:
    """The operand that is None by its value; by the message's order where values are unknown."""
    for node in nodes:
        value = evaluate(node, scope)
        if value is not None and value.is_none and not isinstance(node, ast.Constant):
            return node
    if not none:
        return None
    unknown = [n for n in nodes if evaluate(n, scope) is None and not isinstance(n, ast.Constant)]
    operands = re.search(r"'(\w+)' and '(\w+)'", message)
    if operands and len(nodes) == 2:
        index = 0 if operands[1] == "NoneType" else 1
        return nodes[index] if nodes[index] in unknown else None
    return unknown[0] if unknown else None


def _header_value(statement: ast.stmt) -> ast.expr | None:
    if isinstance(statement, ast.For | ast.AsyncFor):
        return statement.iter
    if isinstance(statement, ast.With | ast.AsyncWith):
        return statement.items[0].context_expr
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Tuple | ast.List):
        return statement.value
    return None
