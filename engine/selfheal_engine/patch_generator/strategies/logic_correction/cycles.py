"""Recursions that come back to where they have been: data that points in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name, parameters
from selfheal_engine.diagnosis.source_file import Function, Span
from selfheal_engine.patch_generator.edits import Edit, add_argument, insert_before, splice_text
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import first_statement, names_in
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY

_HASHABLE = frozenset({"str", "int", "float", "bytes", "tuple", "frozenset", "bool"})


class VisitOnce(Rule):
    """Remembers on its way down what it came by, and ends where it comes by it again."""

    name = "visit_once"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def depth(parents, name):
                    parent = parents.get(name)
                    if parent is None:
                        return 0
                    return 1 + depth(parents, parent)


                def f():
                    return depth({'a': 'b', 'b': 'a'}, 'a')
                """,
            after="""
                def depth(parents, name, seen=frozenset()):
                    if name in seen:
                        return 0
                    parent = parents.get(name)
                    if parent is None:
                        return 0
                    return 1 + depth(parents, parent, seen=seen | {name})


                def f():
                    return depth({'a': 'b', 'b': 'a'}, 'a')
                """,
        ),
        Example(
            before="""
                def f(n=3):
                    return [n] + f(n - 1)
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        function = scene.function
        if scene.exception != "RecursionError" or function is None:
            return
        if function.args.vararg or function.args.kwarg or _is_accessor(function):
            return
        calls = [
            n
            for n in ast.walk(function)
            if isinstance(n, ast.Call) and called_name(n) == function.name
        ]
        name = _walked(scene, function, calls)
        end = _end_of_parameters(scene, function)
        if not calls or not name or end is None or "seen" in names_in(scene.file, function):
            return
        value = scene.value(ast.Name(name, ast.Load()))
        key = name if value is None or value.type_name in _HASHABLE else f"id({name})"
        given = _result_so_far(function, calls) or _base_value(scene, function, calls)
        edits: list[Edit] = [splice_text(end, ", seen=frozenset()")]
        edits += [add_argument(call, f"seen=seen | {{{key}}}") for call in calls]
        guard = f"if {key} in seen:\n    return {given}".rstrip()
        edits.append(insert_before(first_statement(function.body), guard))
        yield scene.draft(
            *edits,
            title=f"go by each `{name}` once, and end where it comes again",
            weight=1.6,
        )


def _is_accessor(function: Function) -> bool:
    return bool(function.decorator_list) or function.name.startswith("__")


def _walked(scene: Scene, function: Function, calls: list[ast.Call]) -> str:
    """The parameter by which the recursion goes on: it gets another value that is no count."""
    names = [n for n in parameters(function) if n not in ("self", "cls")]
    method = len(names) < len(parameters(function))
    for call in calls:
        for name, argument in zip(names, call.args, strict=False):
            if scene.text(argument) == name:
                continue
            if isinstance(argument, ast.BinOp) and isinstance(argument.op, ast.Sub | ast.FloorDiv):
                return ""
            if isinstance(argument, ast.Name | ast.Attribute | ast.Subscript | ast.Call):
                return name
        # a method of the next object: what is walked is the object itself
        if method and not call.args and isinstance(call.func, ast.Attribute):
            return "self"
    return ""


def _result_so_far(function: Function, calls: list[ast.Call]) -> str:
    """A parameter that is handed on as it is and returned: what was collected."""
    returned = {
        n.value.id
        for n in ast.walk(function)
        if isinstance(n, ast.Return) and isinstance(n.value, ast.Name)
    }
    handed = {a.id for c in calls for a in c.args if isinstance(a, ast.Name)}
    found = [n for n in parameters(function) if n in returned & handed]
    return found[0] if found else ""


def _base_value(scene: Scene, function: Function, calls: list[ast.Call]) -> str:
    """What the recursion gives where nothing is below."""
    for node in ast.walk(function):
        if not isinstance(node, ast.Return) or node.value is None:
            continue
        inside = set(ast.walk(node.value))
        if any(call in inside for call in calls):
            continue
        plain = isinstance(node.value, ast.Constant | ast.List | ast.Dict | ast.Tuple)
        if plain and not any(isinstance(n, ast.Name) for n in inside):
            return scene.text(node.value)
    joined = _joined_with(scene, calls)
    if joined:
        return joined
    values = [v for v in scene.conventions.nothing_value(scene.file, function) if v]
    if values:
        return values[0]
    sums = any(isinstance(scene.file.parent(c), ast.BinOp) for c in calls)
    return "0" if sums else ""


def _joined_with(scene: Scene, calls: list[ast.Call]) -> str:
    """The neutral element of what is done with the recursion's results."""
    for call in calls:
        for outer in scene.file.ancestors(call):
            if isinstance(outer, ast.AugAssign):
                target = scene.value(outer.target)
                kind = target.type_name if target is not None else "int"
                return {"list": "[]", "str": '""', "set": "set()"}.get(kind, "0")
            if isinstance(outer, ast.Call) and called_name(outer) in ("extend", "chain"):
                return "[]"
            if isinstance(outer, ast.Call) and called_name(outer) in ("sum", "max"):
                return "0"
            if isinstance(outer, ast.Call) and called_name(outer) == "update":
                return "set()"
            if isinstance(outer, ast.stmt):
                break
    return ""


def _end_of_parameters(scene: Scene, function: Function) -> Span | None:
    """The empty place behind the last positional parameter and its default."""
    positional = [*function.args.posonlyargs, *function.args.args]
    if not positional or function.args.kwonlyargs:
        return None
    last: ast.AST = function.args.defaults[-1] if function.args.defaults else positional[-1]
    line, column = getattr(last, "end_lineno", 0), getattr(last, "end_col_offset", 0)
    behind = scene.file.lines[line - 1][column:].lstrip()
    return Span(line, column, line, column) if behind[:1] in (")", ",", "") else None
