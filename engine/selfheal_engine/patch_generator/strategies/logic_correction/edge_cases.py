"""Empty sequences and divisors that are zero."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.captured import integer
from selfheal_engine.diagnosis.origin import (
    called_name,
)
from selfheal_engine.patch_generator.answers import refusals
from selfheal_engine.patch_generator.edits import (
    BODY,
    EXPR,
    indented,
    replace_expression,
    replace_statements,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import anchor_of, in_comprehension, in_loop, is_stable
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY


def _guard(scene: Scene, condition: str, code: str) -> str:
    return f"if {condition}:\n{indented(code.rstrip())}\n{BODY}\n"


class GuardZero(Rule):
    """Handles the divisor that is zero: nothing to divide by means nothing to tell."""

    name = "guard_zero"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(amounts=()):
                    return sum(amounts) / len(amounts)
                """,
            after="""
                def f(amounts=()):
                    if not amounts:
                        return 0.0
                    return sum(amounts) / len(amounts)
                """,
        ),
        Example(
            before="""
                def f(done=0, all_of=0):
                    share = done / all_of
                    return {'share': share}
                """,
            after="""
                def f(done=0, all_of=0):
                    share = done / all_of if all_of else 0.0
                    return {'share': share}
                """,
        ),
        Example(
            before="""
                def f(a=1):
                    return a[0]
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if scene.exception not in ("ZeroDivisionError", "DivisionByZero", "InvalidOperation"):
            return
        if isinstance(node, ast.BinOp):
            divisor: ast.expr = node.right
        elif isinstance(node, ast.Call) and node.args:
            divisor = node.args[-1]
        else:
            return
        condition = _empty_test(scene, divisor)
        value = "0" if isinstance(getattr(node, "op", None), ast.FloorDiv | ast.Mod) else "0.0"
        anchor = anchor_of(scene.file, scene.statement)
        whole = isinstance(scene.statement, ast.Return) and scene.statement.value is node
        assert isinstance(node, ast.expr)
        if scene.function is not None and anchor is not None and not _inner(scene, divisor):
            nothing = [v for v in scene.conventions.nothing_value(scene.file, scene.function) if v]
            given_for_nothing = dict.fromkeys([*nothing[:1], *([value] if whole else [])])
            for rank, given in enumerate(given_for_nothing):
                yield scene.draft(
                    replace_statements([anchor], _guard(scene, condition, f"return {given}")),
                    title=f"return {given} when there is nothing to divide by",
                    weight=1.3 - 0.1 * rank if whole else 0.9,
                )
        test = condition.removeprefix("not ")
        if test == condition:
            test = f"{scene.text(divisor)} != 0"
        yield scene.draft(
            replace_expression(node, f"{EXPR} if {test} else {value}"),
            title=f"{value} when `{scene.text(divisor)}` is 0",
            weight=1.2,
        )


def _empty_test(scene: Scene, divisor: ast.expr) -> str:
    """`not amounts` for `len(amounts)`, `not n` for a plain number."""
    if isinstance(divisor, ast.Call) and called_name(divisor) == "len" and divisor.args:
        return f"not {scene.text(divisor.args[0])}"
    if isinstance(divisor, ast.BinOp):
        return f"({scene.text(divisor)}) == 0"
    return f"not {scene.text(divisor)}"


def _inner(scene: Scene, node: ast.expr) -> bool:
    return in_comprehension(scene.file, node, scene.statement)


class GuardEmpty(Rule):
    """Handles the sequence that is empty or too short before it is indexed."""

    name = "guard_empty"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(rows=()):
                    first = rows[0]
                    return [first]
                """,
            after="""
                def f(rows=()):
                    if not rows:
                        return []
                    first = rows[0]
                    return [first]
                """,
        ),
        Example(
            before="""
                def f(rows=(1, 2), at=5):
                    return [rows[at]]
                """,
            after="""
                def f(rows=(1, 2), at=5):
                    if at >= len(rows):
                        return []
                    return [rows[at]]
                """,
        ),
        Example(
            before="""
                def f(rows=None):
                    return rows[0]
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if scene.exception != "IndexError" or not isinstance(node, ast.Subscript):
            return
        anchor = anchor_of(scene.file, scene.statement)
        if scene.function is None or anchor is None or _inner(scene, node):
            return
        if not is_stable(node.value) or isinstance(scene.statement, ast.While):
            return
        base, key = scene.text(node.value), scene.text(node.slice)
        index = integer(scene.value(node.slice))
        constant = isinstance(node.slice, ast.Constant | ast.UnaryOp)
        if constant:
            length = abs(index) if index is not None and index < 0 else (index or 0) + 1
            condition = f"not {base}" if length <= 1 else f"len({base}) < {length}"
        else:
            condition = f"{key} >= len({base})" if (index or 0) >= 0 else f"{key} < -len({base})"
        word = base.rpartition(".")[2].strip("_").replace("_", " ")
        statuses = (404, 400, 422)
        message = f"no such {word.rstrip('s') if not constant else word}"
        for refusal in refusals(
            scene.conventions, scene.file, scene.function, statuses, message, (word,)
        ):
            yield scene.draft(
                replace_statements([anchor], _guard(scene, condition, refusal.code)),
                *refusal.imports,
                title=f"{refusal.title} when {condition}",
                weight=refusal.weight,
            )
            break
        if in_loop(scene.file, anchor):
            way = "continue" if constant else "break"
            yield scene.draft(
                replace_statements([anchor], _guard(scene, condition, way)),
                title=f"{way} when {condition}",
                weight=1.1,
            )
        nothing = scene.conventions.nothing_value(scene.file, scene.function)
        for rank, value in enumerate(nothing[:2]):
            yield scene.draft(
                replace_statements([anchor], _guard(scene, condition, f"return {value}".rstrip())),
                title=f"return {value or 'early'} when {condition}",
                weight=1.0 - 0.15 * rank,
            )
