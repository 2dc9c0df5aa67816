"""A return that is missing, a recursion that does not end."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import (
    called_name,
    parameters,
)
from selfheal_engine.diagnosis.source_file import Function
from selfheal_engine.patch_generator.edits import (
    insert_after,
    insert_before,
    replace_statements,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import first_statement
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY


class AddReturn(Rule):
    """Returns what a function computes and so far forgets to give back."""

    name = "add_return"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def total(rows, tax=True):
                    if not tax:
                        return sum(rows)
                    whole = sum(rows) + 1


                def f():
                    return total([1]) + 1
                """,
            after="""
                def total(rows, tax=True):
                    if not tax:
                        return sum(rows)
                    whole = sum(rows) + 1
                    return whole


                def f():
                    return total([1]) + 1
                """,
        ),
        Example(
            before="""
                def total(rows):
                    return None


                def f():
                    return total([1]) + 1
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        culprit = scene.failure.culprit
        if not scene.failure.is_none or culprit is None or scene.depth:
            return
        seen: set[int] = set()
        for step in scene.origin:
            node = step.node
            if step.kind != "returned" or id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                yield scene.draft(
                    replace_statements([node], f"return {step.file.segment(node.value)}"),
                    title="return what the last call gives",
                    weight=1.5,
                    file=step.file,
                )
            targets = node.targets if isinstance(node, ast.Assign) else []
            if isinstance(node, ast.AugAssign):
                targets = [node.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    yield scene.draft(
                        insert_after(node, f"return {target.id}"),  # type: ignore[arg-type]
                        title=f"return `{target.id}`",
                        weight=1.6,
                        file=step.file,
                    )
            if isinstance(node, ast.For | ast.While | ast.With | ast.If | ast.Try):
                function = step.file.function_of(node)
                for last, computed in _computed_last(node, function):
                    yield scene.draft(
                        insert_after(last, f"return {computed}"),
                        title=f"return `{computed}`",
                        weight=1.7,
                        file=step.file,
                    )
                name = _result_name(function) if function is not None else ""
                if name and function is not None:
                    yield scene.draft(
                        insert_after(function.body[-1], f"return {name}"),
                        title=f"return `{name}`",
                        weight=1.4,
                        file=step.file,
                    )


def _computed_last(node: ast.stmt, function: Function | None) -> Iterator[tuple[ast.stmt, str]]:
    """Branches that end with a value which nobody reads: it was meant to be returned."""
    for inside in ast.walk(node) if function is not None else ():
        for block in (getattr(inside, "body", None), getattr(inside, "orelse", None)):
            last = block[-1] if isinstance(block, list) and block else None
            if not isinstance(last, ast.Assign) or not isinstance(last.targets[0], ast.Name):
                continue
            name = last.targets[0].id
            read = any(
                isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load)
                for n in ast.walk(function or node)
            )
            if not read:
                yield last, name


def _result_name(function: Function) -> str:
    """The variable that the function builds up: first set outside of loops, changed inside."""
    for statement in function.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            if isinstance(statement.value, ast.List | ast.Dict | ast.Set | ast.Constant | ast.Call):
                uses = [n for n in ast.walk(function) if isinstance(n, ast.Name) and n.id == name]
                if len(uses) > 1 and name not in parameters(function):
                    return name
    return ""


class LimitRecursion(Rule):
    """Ends a recursion at the case that has nothing below it, or that was seen already."""

    name = "limit_recursion"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(n=3):
                    return [n] + f(n - 1)
                """,
            after="""
                def f(n=3):
                    if n <= 0:
                        return []
                    return [n] + f(n - 1)
                """,
        ),
        Example(
            before="""
                def f(n=3):
                    return n / 0
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        function = scene.function
        if scene.exception != "RecursionError" or function is None:
            return
        at = first_statement(function.body)
        own = [n for n in ast.walk(function) if isinstance(n, ast.Call)]
        calls = [n for n in own if called_name(n) == function.name]
        values = scene.conventions.nothing_value(scene.file, function)
        values = [v for v in values if v] or _for_sum(scene, calls) or ["None"]
        for name in parameters(function):
            condition = _end_test(name, [a for c in calls for a in c.args if _names(a, name)])
            if condition:
                yield scene.draft(
                    insert_before(at, f"if {condition}:\n    return {values[0]}"),
                    title=f"end the recursion when {condition}",
                    weight=1.3,
                )


def _end_test(name: str, arguments: list[ast.expr]) -> str:
    """When there is nothing below: by how the recursion's argument gets smaller."""
    for argument in arguments:
        if isinstance(argument, ast.BinOp) and isinstance(argument.op, ast.Sub | ast.FloorDiv):
            return f"{name} <= 0"
        if isinstance(argument, ast.Subscript):
            return f"not {name}"
        if isinstance(argument, ast.Attribute):
            return f"{name} is None"
    return ""


def _for_sum(scene: Scene, calls: list[ast.Call]) -> list[str]:
    """The neutral element of the operation that joins the recursion's results."""
    for call in calls:
        parent = scene.file.parent(call)
        if isinstance(parent, ast.BinOp):
            other = parent.left if parent.right is call else parent.right
            if isinstance(parent.op, ast.Mult):
                return ["1"]
            if isinstance(other, ast.List | ast.ListComp):
                return ["[]"]
            return ['""'] if isinstance(other, ast.JoinedStr) else ["0"]
    return []


def _names(node: ast.AST, name: str) -> bool:
    return any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(node))


"""Logic corrections where a value has another type than the code thinks.

Conversions between texts, numbers and bytes, clocks with and without zone, forgotten `await`,
parentheses and `self`. Part of the strategy logic_correction.
"""
