"""All small edits of given lines, best first."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from selfheal_engine.diagnosis.failure import parts_of
from selfheal_engine.diagnosis.source_file import Function, SourceFile
from selfheal_engine.patch_generator.edits import Edit, replace_expression
from selfheal_engine.patch_generator.mutations.blocks import block_changes
from selfheal_engine.patch_generator.mutations.expressions import change_expression
from selfheal_engine.patch_generator.mutations.missing import additions, signature_changes
from selfheal_engine.patch_generator.mutations.other_values import other_values
from selfheal_engine.patch_generator.mutations.patterns import pattern_changes
from selfheal_engine.patch_generator.mutations.statements import change_statement
from selfheal_engine.patch_generator.mutations.surroundings import Surroundings, surroundings_of
from selfheal_engine.patch_generator.mutations.weights import weight_of


@dataclass(frozen=True)
class Mutation:
    """One small edit with its weight: kind's prior times fit times the line's suspicion."""

    file: str
    kind: str
    edits: tuple[Edit, ...]
    weight: float
    line: int
    function: Function | None


def mutations_of(
    file: SourceFile, suspicion: Mapping[int, float], crashes: Mapping[int, str] | None = None
) -> list[Mutation]:
    """Every mutation of the statements on the suspicious lines, heaviest first, no text twice.

    `crashes` names the exception that a line raised, or passed on, where one is known.
    """
    found: dict[tuple[Edit, ...], Mutation] = {}
    around: dict[Function | None, Surroundings] = {}

    def keep(kind: str, edits: tuple[Edit, ...], weight: float, function: Function | None) -> None:
        old = found.get(edits)
        if old is None or old.weight < weight:
            line = edits[0].span.line
            found[edits] = Mutation(file.path, kind, edits, weight, line, function)

    for statement in ast.walk(file.tree):
        if isinstance(statement, Function):
            score = _suspicion(statement.body[0], suspicion)
            if score > 0:
                around.setdefault(statement, surroundings_of(file, statement))
                for kind, edits, factor in signature_changes(statement, around[statement]):
                    keep(kind, edits, weight_of(kind) * factor * score, statement)
        if not isinstance(statement, ast.stmt) or isinstance(statement, Function | ast.ClassDef):
            continue
        if _is_docstring(statement):
            continue
        score = _suspicion(statement, suspicion)
        if score <= 0:
            continue
        function = file.function_of(statement)
        if function not in around:
            around[function] = surroundings_of(file, function)
        lines = range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
        raised = next((crashes[n] for n in lines if n in crashes), "") if crashes else ""
        for kind, edits, factor in _changes(statement, around[function], raised):
            keep(kind, edits, weight_of(kind) * factor * score, function)
    return sorted(found.values(), key=lambda m: -m.weight)


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _suspicion(statement: ast.stmt, suspicion: Mapping[int, float]) -> float:
    """The highest score of the statement's own lines; of a compound one, of its header."""
    last = statement.end_lineno or statement.lineno
    body = getattr(statement, "body", None)
    if body:
        last = max(statement.lineno, body[0].lineno - 1)
    return max(suspicion.get(line, 0.0) for line in range(statement.lineno, last + 1))


def _changes(
    statement: ast.stmt, around: Surroundings, raised: str
) -> Iterator[tuple[str, tuple[Edit, ...], float]]:
    inside_text = _inside_f_strings(statement)
    for node in parts_of(statement):
        if isinstance(node, ast.expr) and node not in inside_text and hasattr(node, "lineno"):
            for kind, code, factor in chain(
                change_expression(node, around), other_values(node, around)
            ):
                yield kind, (replace_expression(node, code),), factor
        if isinstance(node, ast.Constant):
            for edits in pattern_changes(node, around):
                yield "pattern", edits, 1.0
    yield from change_statement(statement, around)
    yield from additions(statement, around, raised)
    yield from block_changes(statement, around, raised)


def _inside_f_strings(statement: ast.stmt) -> set[ast.AST]:
    """Before Python 3.12 the positions inside f-strings are not the file's."""
    return {
        inner
        for node in parts_of(statement)
        if isinstance(node, ast.JoinedStr)
        for inner in ast.walk(node)
    }
