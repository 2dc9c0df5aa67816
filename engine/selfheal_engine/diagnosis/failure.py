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
from selfheal_engine.diagnosis.culprits import culprit_of, speaks_of_none
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


def changed_while_iterated(message: str) -> bool:
    """The interpreter's words for a collection that changed under a loop over it.

    A dictionary that lost one key and got another has the size it had.
    """
    return any(
        words in message
        for words in (
            "changed size during iteration",
            "keys changed during iteration",
            "mutated during iteration",
        )
    )


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
    scope = scope_of(frame)
    culprit, key = culprit_of(node, statement, scope, exception, message)
    value = evaluate(culprit, scope) if culprit is not None else None
    none = culprit is not None and (
        (value is not None and value.is_none) or (value is None and speaks_of_none(message))
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
    if isinstance(statement, ast.AugAssign) and span_of(statement) == wanted:
        return statement  # its operator failed: no expression covers both operands
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
    if isinstance(statement, ast.AugAssign) and "=:" in message and "operand" in message:
        return statement
    if isinstance(statement, ast.AugAssign) and (best is None or best[0] < 4):
        score = _fits_pair(statement.target, statement.value, message, scope)
        if name in ("TypeError", "ZeroDivisionError") and (best is None or score >= best[0]):
            return statement
    if best is None or best[0] < 4:
        iterated = _iterated(statement, message, scope)
        if iterated is not None:
            return iterated
    return None if best is None else best[1]


def _iterated(statement: ast.stmt, message: str, scope: dict[str, Value]) -> ast.expr | None:
    """What the statement itself iterates or unpacks, where the message is about that."""
    if "unpack" in message and isinstance(statement, ast.Assign):
        target = statement.targets[0]
        return target if isinstance(target, ast.Tuple | ast.List) else None
    if "unpack" in message and isinstance(statement, ast.For | ast.AsyncFor):
        return statement.target
    if "is not iterable" not in message or message.startswith("argument of type"):
        return None
    if isinstance(statement, ast.For | ast.AsyncFor):
        return statement.iter
    read: list[tuple[ast.expr, Value | None]] = [
        (node, evaluate(node.generators[0].iter, scope))
        for node in parts_of(statement)
        if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp)
    ]
    wrong = [node for node, value in read if value is not None and value.is_none]
    return next(iter([*wrong, *(node for node, value in read if value is None)]), None)


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
        return _fits_pair(node.left, node.right, message, scope)
    if "unsupported format string" in message:
        return 3 if isinstance(node, ast.FormattedValue) and node.format_spec is not None else 0
    if "item assignment" in message or "item deletion" in message:
        stored = isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load)
        return 3 if stored else 0
    if "not supported between" in message and isinstance(node, ast.Compare):
        return 3
    if "awaited" in message or "'await'" in message:
        return 3 if isinstance(node, ast.Await) else 0
    if message.startswith("can't compare") and isinstance(node, ast.Compare):
        return 3
    if "string formatting" in message or "format string" in message or " format: a" in message:
        formats = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod)
        return 3 if formats else 0
    if "is not callable" in message and isinstance(node, ast.Call):
        return 3
    if "is not iterable" in message and isinstance(node, ast.Compare | ast.Call):
        contains = isinstance(node, ast.Compare) and isinstance(node.ops[-1], ast.In | ast.NotIn)
        if contains and message.startswith("argument of type"):
            return 3
        return 2 if contains or isinstance(node, ast.Call) else 0
    if "indices must be integers" in message and isinstance(node, ast.Subscript):
        base = evaluate(node.value, scope)
        return 3 if base is None or message.startswith((base.type_name, "string")) else 0
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


def _fits_pair(left: ast.expr, right: ast.expr, message: str, scope: dict[str, Value]) -> int:
    """How well the operands' captured types fit the two that the message names."""
    known = [v for v in (evaluate(left, scope), evaluate(right, scope)) if v is not None]
    if known and all(f"'{v.type_name}'" in message for v in known):
        return 4 if len(known) == 2 else 3
    return 2 if not known else 1
