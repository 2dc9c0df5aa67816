"""Mutations of whole statements and conditions: each yields (kind, edits, factor)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache
from typing import TypeAlias

from selfheal_engine.diagnosis.source_file import Function
from selfheal_engine.patch_generator.edits import (
    BODY,
    Edit,
    insert_after,
    insert_before,
    replace_expression,
    replace_statements,
)
from selfheal_engine.patch_generator.mutations.missing import questions
from selfheal_engine.patch_generator.mutations.surroundings import Surroundings

Changes: TypeAlias = tuple[str, tuple[Edit, ...], float]

MOST_ASKED = 24
"""Comparisons of the function that are asked again elsewhere in it: those nearest by."""
_AUGMENTED = {
    ast.Add: (("-=", 0.9), ("|=", 0.2), ("*=", 0.3)),
    ast.Sub: (("+=", 0.9), ("//=", 0.3)),
    ast.Mult: (("+=", 0.6), ("//=", 0.4)),
    ast.FloorDiv: (("/=", 0.6), ("-=", 0.4), ("%=", 0.4)),
    ast.Div: (("//=", 0.9),),
    ast.BitXor: (("&=", 0.9), ("|=", 0.7)),
    ast.BitAnd: (("|=", 0.8), ("^=", 0.6)),
    ast.BitOr: (("&=", 0.8), ("^=", 0.6)),
    ast.Mod: (("//=", 0.8),),
    ast.LShift: ((">>=", 0.9),),
    ast.RShift: (("<<=", 0.9),),
}


def change_statement(statement: ast.stmt, around: Surroundings) -> Iterator[Changes]:
    """Every small change of the statement as a whole, and of what stands before and after it."""
    file, text = around.file, around.file.segment
    if isinstance(statement, ast.AugAssign):
        target, value = text(statement.target), text(statement.value)
        for sign, factor in _AUGMENTED.get(type(statement.op), ()):
            yield "operator", (replace_statements([statement], f"{target} {sign} {value}"),), factor
        yield "operator", (replace_statements([statement], f"{target} = {value}"),), 0.4
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        target, value = text(statement.targets[0]), text(statement.value)
        yield "operator", (replace_statements([statement], f"{target} += {value}"),), 0.4
        for name in around.in_reach(statement.lineno):
            if name != target:
                changed = replace_statements([statement], f"{name} = {value}")
                yield "identifier", (changed,), 0.35
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Subscript):
        place = statement.targets[0]
        key, value = text(place.slice), text(statement.value)
        for other in around.subscripts:
            if other != text(place):
                swapped = replace_statements([statement], f"{other} = {value}")
                yield "ingredient", (swapped,), 0.9
        for name in around.in_reach(statement.lineno):
            if name != key:
                yield (
                    "identifier",
                    (replace_statements([statement], f"{text(place.value)}[{name}] = {value}"),),
                    0.35,
                )
    if isinstance(statement, ast.If | ast.While):
        yield from _condition(statement, around)
    if isinstance(statement, ast.Return) and statement.value is not None:
        yield from _returned(statement, around)
    if isinstance(statement, ast.Break):
        yield "literal", (replace_statements([statement], "continue"),), 0.6
    if isinstance(statement, ast.Continue):
        yield "literal", (replace_statements([statement], "break"),), 0.6
    block = file.block_of(statement)
    if not isinstance(statement, Function | ast.ClassDef | ast.Import | ast.ImportFrom):
        if not isinstance(statement, ast.For | ast.While | ast.With | ast.Try):
            yield "delete", (replace_statements([statement], ""),), 1.0
        yield from _neighbours(statement, block, around)
        yield from _additions(statement, around)


def _condition(statement: ast.If | ast.While, around: Surroundings) -> Iterator[Changes]:
    test, text = statement.test, around.file.segment(statement.test)
    if not isinstance(test, ast.Compare):
        yield "negation", (replace_expression(test, f"not ({text})"),), 1.0
    constant = isinstance(test, ast.Constant)
    for condition, factor in conditions(around, statement.lineno):
        if constant:
            yield "condition", (replace_expression(test, condition),), factor
            continue
        if condition == text:
            continue
        yield "condition", (replace_expression(test, condition),), 0.4 * factor
        joined = f"({text})" if isinstance(test, ast.BoolOp) else text
        yield "add_term", (replace_expression(test, f"{joined} or {condition}"),), factor
        yield "add_term", (replace_expression(test, f"{condition} or {joined}"),), 0.8 * factor
        yield "add_term", (replace_expression(test, f"{joined} and {condition}"),), 0.8 * factor
        yield "add_term", (replace_expression(test, f"{condition} and {joined}"),), 0.6 * factor


def conditions(around: Surroundings, line: int) -> Iterator[tuple[str, float]]:
    """Conditions over the names in reach: (source, factor)."""
    for name in around.in_reach(line):
        kind = around.kinds.get(name, "")
        if kind in ("", "list", "set", "dict", "text", "sized"):
            yield name, 1.0
            yield f"not {name}", 1.0
        if kind in ("", "object"):
            yield f"{name} is None", 0.9
            yield f"{name} is not None", 0.7
        if kind in ("", "number"):
            yield f"{name} == 0", 0.9
            yield f"{name} > 0", 0.6
            yield f"{name} < 0", 0.5
    # what the function itself asks about
    asked = sorted(
        _comparisons(around.function or around.file.tree), key=lambda n: abs(n.lineno - line)
    )
    seen: set[str] = set()
    for node in asked[:MOST_ASKED]:
        text = around.file.segment(node)
        if text not in seen and "\n" not in text and len(text) < 60:
            seen.add(text)
            yield text, 0.5


@lru_cache(maxsize=64)
def _comparisons(root: ast.AST) -> list[ast.Compare]:
    return [n for n in ast.walk(root) if isinstance(n, ast.Compare)]


def _returned(statement: ast.Return, around: Surroundings) -> Iterator[Changes]:
    value = statement.value
    assert value is not None
    if isinstance(value, ast.Constant) and isinstance(value.value, bool):
        for condition, factor in conditions(around, statement.lineno):
            yield "return_value", (replace_expression(value, condition),), factor
    elif not isinstance(value, ast.Constant):
        for empty in ("None", "[]", "0", "True", "False"):
            yield "return_value", (replace_expression(value, empty),), 0.25


def _neighbours(
    statement: ast.stmt, block: list[ast.stmt], around: Surroundings
) -> Iterator[Changes]:
    text = around.file.segment
    index = block.index(statement)
    following = block[index + 1] if index + 1 < len(block) else None
    simple = (ast.Assign, ast.AugAssign, ast.Expr, ast.If)
    both = isinstance(statement, simple) and isinstance(following, simple)
    if both and following is not None and "\n" not in text(statement) + text(following):
        swapped = f"{text(following)}\n{text(statement)}\n"
        yield "swap_statements", (replace_statements([statement, following], swapped),), 1.0
    parent = around.file.parent(statement)
    if following is not None or not isinstance(parent, ast.For | ast.While | ast.If):
        return
    movable = isinstance(statement, ast.Return | ast.Assign | ast.AugAssign | ast.Expr)
    if movable and len(block) > 1 and block is parent.body and "\n" not in text(statement):
        moved = (insert_after(parent, text(statement)), replace_statements([statement], ""))
        yield "move_out", moved, 1.0


def _additions(statement: ast.stmt, around: Surroundings) -> Iterator[Changes]:
    """Calls, assignments and guards that may be missing beside the statement."""
    line = statement.lineno
    names = around.in_reach(line + 1)
    places = (
        [insert_before]
        if isinstance(statement, ast.Return | ast.Raise | ast.Break | ast.Continue)
        else [insert_before, insert_after]
    )
    for owner in names:
        kind = around.kinds.get(owner, "")
        method = {"list": "append", "set": "add"}.get(kind, "")
        if not method or owner not in names:
            continue
        for name in names:
            if name == owner or (around.kinds.get(name) == kind and kind != "list"):
                continue
            for place in places:
                call = place(statement, f"{owner}.{method}({name})")
                yield "add_call", (call,), around.nearness(name)
    for repeated in _bare_calls(around):
        # what the function does elsewhere is left out here
        if repeated is not statement and around.file.parent(repeated) is not statement:
            for place in places:
                yield "repeat_call", (place(statement, around.file.segment(repeated)),), 1.0
    assigned = [n for n in names if around.first_line.get(n, 0) < line]
    for target in assigned:
        for name in assigned:
            if name == target:
                continue
            same = around.kinds.get(name, "") == around.kinds.get(target, "")
            for place in places:
                yield (
                    "add_assignment",
                    (place(statement, f"{target} = {name}"),),
                    0.8 if same else 0.3,
                )
        if around.kinds.get(target) == "number":
            for place in places:
                yield "add_assignment", (place(statement, f"{target} += 1"),), 0.6
    yield from _guards(statement, around)


def _bare_calls(around: Surroundings) -> list[ast.stmt]:
    """Statements of the function that only call something without arguments: `self.advance()`."""
    found: dict[str, ast.stmt] = {}
    for node in ast.walk(around.function or ast.Module([], [])):
        call = node.value if isinstance(node, ast.Expr) else None
        if isinstance(node, ast.Expr) and isinstance(call, ast.Call):
            if call.args or call.keywords:
                continue
            found.setdefault(around.file.segment(node), node)
    return list(found.values())[:3]


def _guards(statement: ast.stmt, around: Surroundings) -> Iterator[Changes]:
    """`if condition: return value` before the statement, from what the function has."""
    function = around.function
    if function is None:
        return
    values: list[str] = []
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and node.value is not None:
            text = around.file.segment(node.value)
            if isinstance(node.value, ast.Constant | ast.Name | ast.List) and text not in values:
                values.append(text)
    for extra in ("None", "[]", "0", "False", "True"):
        if extra not in values:
            values.append(extra)
    first = statement is _first_statement(function)
    asked = [(_not(question), 0.9 * share) for question, share in questions(statement, around)]
    for condition, factor in [*asked, *conditions(around, statement.lineno)]:
        if not first and factor < 0.9:
            continue
        for rank, value in enumerate(values[:5]):
            code = f"if {condition}:\n    return {value}\n{BODY}\n"
            share = factor * (1.0 if first else 0.7) * (1.0 - 0.12 * rank)
            yield "add_guard", (replace_statements([statement], code),), share


def _first_statement(function: Function) -> ast.stmt:
    first = function.body[0]
    docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return function.body[1] if docstring and len(function.body) > 1 else first


def _not(question: str) -> str:
    """The opposite of one of the `questions`, as a person writes it."""
    for word, opposite in ((" is not ", " is "), (" in ", " not in "), (" > ", " <= ")):
        if word in question:
            return question.replace(word, opposite)
    return f"not {question}"
