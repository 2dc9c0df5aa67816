"""Blocks around statements: a condition that is too much, a parameter that needs a value or a type.

Each yields (kind, edits, factor on the kind's weight), as `statements` does.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeAlias

from selfheal_engine.diagnosis.failure import parts_of
from selfheal_engine.diagnosis.origin import parameters
from selfheal_engine.diagnosis.source_file import Function
from selfheal_engine.patch_generator.edits import (
    BODY,
    Edit,
    insert_before,
    replace_statements,
)
from selfheal_engine.patch_generator.mutations.other_values import optional, values_made
from selfheal_engine.patch_generator.mutations.surroundings import Surroundings
from selfheal_engine.patch_generator.sites import first_statement

Changes: TypeAlias = tuple[str, tuple[Edit, ...], float]

_WRONG_TYPE = ("TypeError", "AttributeError")
_MISSING = ("TypeError", "AttributeError", "KeyError", "IndexError")
_TYPES = ("str", "(int, float)", "list", "dict")
_NEUTRAL = ("[]", "{}", '""', "0")
_TEXT = frozenset(dir(str))
_MAPPING = frozenset(dir(dict))
_LIST = frozenset(dir(list))


def block_changes(statement: ast.stmt, around: Surroundings, exception: str) -> Iterator[Changes]:
    """Every change of this kind of the statement; `exception` names what it raised, "" nothing."""
    if isinstance(statement, ast.If) and not statement.orelse:
        body = _dedented(statement, around)
        if body:
            yield "unwrap_block", (replace_statements([statement], body),), 1.0
    if exception in _MISSING:
        yield from _given_a_value(statement, around)
    if exception in _WRONG_TYPE:
        yield from _of_another_type(statement, around)


def _dedented(statement: ast.If, around: Surroundings) -> str:
    """The body alone, where it does more than leave."""
    last = statement.body[-1]
    if len(statement.body) == 1 and isinstance(
        last, ast.Return | ast.Raise | ast.Continue | ast.Break | ast.Pass
    ):
        return ""
    first = statement.body[0]
    if first.lineno == statement.lineno:
        return ""
    lines = around.file.lines[first.lineno - 1 : last.end_lineno or last.lineno]
    indent = first.col_offset
    if any(line[:indent].strip() for line in lines):
        return ""
    return "".join(line[indent:] or "\n" for line in lines)


def _parameters_read(statement: ast.stmt, around: Surroundings) -> list[str]:
    function = around.function
    if function is None:
        return []
    known = [name for name in parameters(function) if name not in ("self", "cls")]
    read = {n.id for n in parts_of(statement) if isinstance(n, ast.Name)}
    return [name for name in known if name in read]


def _given_a_value(statement: ast.stmt, around: Surroundings) -> Iterator[Changes]:
    """A parameter that was left out gets what the function needs, before anything reads it."""
    function = around.function
    if function is None:
        return
    left_out = optional(function)
    for name in _parameters_read(statement, around):
        if name not in left_out:
            continue
        values = [*values_made(function, around), *_NEUTRAL]
        for rank, value in enumerate(values):
            code = f"if {name} is None:\n    {name} = {value}"
            yield (
                "none_default",
                (insert_before(first_statement(function.body), code),),
                1.0 - 0.1 * rank,
            )


def _of_another_type(statement: ast.stmt, around: Surroundings) -> Iterator[Changes]:
    """What is of no use here is handed back as it is, or nothing is."""
    function = around.function
    if function is None:
        return
    for name in _parameters_read(statement, around):
        kinds = _meant(name, function)
        for rank, kind in enumerate(kinds):
            for way, share in ((f"return {name}", 1.0), ("return None", 0.8)):
                code = f"if not isinstance({name}, {kind}):\n    {way}\n{BODY}\n"
                factor = share * (1.0 - 0.25 * rank)
                yield "type_guard", (replace_statements([statement], code),), factor


def _meant(name: str, function: Function) -> list[str]:
    """The types whose methods the function calls on the parameter, likeliest first."""
    used = {
        n.attr
        for n in ast.walk(function)
        if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == name
    }
    if used:
        return [
            kind
            for kind, known in (("str", _TEXT), ("dict", _MAPPING), ("list", _LIST))
            if used <= known
        ]
    return list(_TYPES)
