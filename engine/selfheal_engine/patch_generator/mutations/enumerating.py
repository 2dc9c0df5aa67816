"""All small edits of given lines, best first."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from selfheal_engine.diagnosis.failure import parts_of
from selfheal_engine.diagnosis.source_file import Function, SourceFile
from selfheal_engine.patch_generator.edits import Edit, replace_expression
from selfheal_engine.patch_generator.mutations.expressions import change_expression
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


def mutations_of(file: SourceFile, suspicion: Mapping[int, float]) -> list[Mutation]:
    """Every mutation of the statements on the suspicious lines, heaviest first, no text twice."""
    found: dict[tuple[Edit, ...], Mutation] = {}
    around: dict[Function | None, Surroundings] = {}
    for statement in ast.walk(file.tree):
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
        for kind, edits, factor in _changes(statement, around[function]):
            weight = weight_of(kind) * factor * score
            old = found.get(edits)
            if old is None or old.weight < weight:
                found[edits] = Mutation(
                    file.path, kind, edits, weight, edits[0].span.line, function
                )
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
    statement: ast.stmt, around: Surroundings
) -> Iterator[tuple[str, tuple[Edit, ...], float]]:
    inside_text = _inside_f_strings(statement)
    for node in parts_of(statement):
        if isinstance(node, ast.expr) and node not in inside_text and hasattr(node, "lineno"):
            for kind, code, factor in change_expression(node, around):
                yield kind, (replace_expression(node, code),), factor
    yield from change_statement(statement, around)


def _inside_f_strings(statement: ast.stmt) -> set[ast.AST]:
    """Before Python 3.12 the positions inside f-strings are not the file's."""
    return {
        inner
        for node in parts_of(statement)
        if isinstance(node, ast.JoinedStr)
        for inner in ast.walk(node)
    }
