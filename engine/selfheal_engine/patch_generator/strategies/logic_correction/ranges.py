"""Loops, guards and picks that reach beyond the end."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name, ends
from selfheal_engine.diagnosis.source_file import Function
from selfheal_engine.patch_generator.contracts import promised
from selfheal_engine.patch_generator.edits import (
    EXPR,
    add_argument,
    replace_expression,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import with_second
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY


class ClampRange(Rule):
    """Ends a counting loop, or a slice by hand, where the sequence ends."""

    name = "clamp_range"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(rows=(1, 2, 3), start=2, size=2):
                    return [rows[i] for i in range(start, start + size)]
                """,
            after="""
                def f(rows=(1, 2, 3), start=2, size=2):
                    return [rows[i] for i in range(start, min(start + size, len(rows)))]
                """,
        ),
        Example(
            before="""
                def f(rows=()):
                    return rows[0]
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if scene.exception != "IndexError" or not isinstance(node, ast.Subscript):
            return
        names = {n.id for n in ast.walk(node.slice) if isinstance(n, ast.Name)}
        for outer in scene.file.ancestors(node):
            pairs: list[tuple[ast.expr, ast.expr]] = []
            if isinstance(outer, ast.For):
                pairs.append((outer.target, outer.iter))
            pairs += [(g.target, g.iter) for g in getattr(outer, "generators", ())]
            for target, iterated in pairs:
                if not isinstance(target, ast.Name) or target.id not in names:
                    continue
                if not isinstance(iterated, ast.Call) or called_name(iterated) != "range":
                    continue
                end = iterated.args[-1] if len(iterated.args) < 3 else iterated.args[1]
                base = scene.text(node.value)
                shift = _shift_of(scene, node.slice, target.id)
                length = f"len({base}){shift}"
                if scene.text(end) == f"len({base})":
                    if shift:
                        yield scene.draft(
                            replace_expression(end, length),
                            title=f"end the loop at {length}",
                            weight=1.5,
                        )
                    continue
                yield scene.draft(
                    replace_expression(end, f"min({EXPR}, {length})"),
                    title=f"end the loop where `{base}` ends",
                    weight=1.4,
                )
            if isinstance(outer, Function):
                return


def _shift_of(scene: Scene, index: ast.expr, name: str) -> str:
    """` - 1` for `rows[i + 1]`."""
    added = isinstance(index, ast.BinOp) and isinstance(index.op, ast.Add)
    if isinstance(index, ast.BinOp) and added and scene.text(index.left) == name:
        return f" - {scene.text(index.right)}"
    return ""


class FitBound(Rule):
    """Makes the condition that guards an index or a division let no bad value through.

    The condition may be around the failing place, or that of an exit before it.
    """

    name = "fit_bound"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(rows=(1, 2), at=1):
                    return rows[at + 1] if at < len(rows) else None
                """,
            after="""
                def f(rows=(1, 2), at=1):
                    return rows[at + 1] if at < len(rows) - 1 else None
                """,
        ),
        Example(
            before="""
                def f(rows=(1, 2), at=2):
                    while at <= len(rows):
                        return rows[at]
                """,
            after="""
                def f(rows=(1, 2), at=2):
                    while at < len(rows):
                        return rows[at]
                """,
        ),
        Example(
            before="""
                def f(rows=(1, 2), at=2):
                    if at > len(rows):
                        return None
                    return rows[at]
                """,
            after="""
                def f(rows=(1, 2), at=2):
                    if at >= len(rows):
                        return None
                    return rows[at]
                """,
        ),
        Example(
            before="""
                def f(rows=(1, 2, 3, 4), start=2, size=2):
                    if start + size > len(rows):
                        return None
                    return rows[start + size]
                """,
            after="""
                def f(rows=(1, 2, 3, 4), start=2, size=2):
                    if start + size >= len(rows):
                        return None
                    return rows[start + size]
                """,
        ),
        Example(
            before="""
                def f(total=1, count=0):
                    if count < 0:
                        raise ValueError(count)
                    return total / count
                """,
            after="""
                def f(total=1, count=0):
                    if count <= 0:
                        raise ValueError(count)
                    return total / count
                """,
        ),
        Example(
            before="""
                def f(rows=()):
                    return rows[0] if rows is not None else None
                """,
        ),
        Example(
            before="""
                def f(rows=(1, 2), at=5):
                    if at > len(rows):
                        at = 5
                    return rows[at]
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if scene.exception == "IndexError" and isinstance(node, ast.Subscript):
            limit = f"len({scene.text(node.value)})"
            whole = scene.text(node.slice)
            guarded, shift = _without_shift(scene, node.slice)
        elif scene.exception == "ZeroDivisionError" and isinstance(node, ast.BinOp):
            limit, whole, shift = "0", scene.text(node.right), ""
            guarded = whole
        else:
            return
        for part, leaves in _conditions(scene):
            if len(part.ops) != 1:
                continue
            operator = type(part.ops[0])
            sides = [scene.text(part.left), scene.text(part.comparators[0])]
            if sides[0] == limit:
                operator, sides = _MIRRORED.get(operator, operator), sides[::-1]
            meant = _MEANT[limit == "0", leaves].get(operator)
            if sides == [whole, limit]:  # the very index is asked about, moved or not
                if meant is not None:
                    yield _asking(scene, part, whole, meant, limit)
                continue
            if sides != [guarded, limit]:
                continue
            if meant is not None:
                yield _asking(scene, part, guarded, meant, limit + shift)
            elif shift and operator is (ast.GtE if leaves else ast.Lt):
                yield _asking(scene, part, guarded, ">=" if leaves else "<", limit + shift)


_MIRRORED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.Gt,
    ast.LtE: ast.GtE,
    ast.Gt: ast.Lt,
    ast.GtE: ast.LtE,
}
_MEANT: dict[tuple[bool, bool], dict[type[ast.cmpop], str]] = {
    (False, False): {ast.LtE: "<"},
    (False, True): {ast.Gt: ">="},
    (True, False): {ast.GtE: ">"},
    (True, True): {ast.Lt: "<="},
}
"""By (of a divisor, its exit is taken): what is asked, what should be."""


def _asking(scene: Scene, part: ast.Compare, name: str, operator: str, limit: str) -> Draft:
    condition = f"{name} {operator} {limit}"
    return scene.draft(
        replace_expression(part, condition), title=f"ask for {condition}", weight=1.9
    )


def _without_shift(scene: Scene, index: ast.expr) -> tuple[str, str]:
    """("i", " - 1") for `i + 1`."""
    if isinstance(index, ast.BinOp) and isinstance(index.op, ast.Add):
        return scene.text(index.left), f" - {scene.text(index.right)}"
    return scene.text(index), ""


def _conditions(scene: Scene) -> Iterator[tuple[ast.Compare, bool]]:
    """(comparison, whether the code leaves when it holds) of all that guards the failure."""
    inner: ast.AST = scene.node
    for outer in scene.file.ancestors(scene.node):
        for block in (getattr(outer, name, None) for name in ("body", "orelse", "finalbody")):
            if not isinstance(block, list) or inner not in block:
                continue
            for before in block[: block.index(inner)]:
                if isinstance(before, ast.If) and ends(before.body) and not before.orelse:
                    yield from ((part, True) for part in _alternatives(before.test, ast.Or))
        test = getattr(outer, "test", None)
        otherwise = getattr(outer, "orelse", None)
        denied = inner is otherwise or (isinstance(otherwise, list) and inner in otherwise)
        if isinstance(test, ast.expr) and not denied:
            yield from ((part, False) for part in _alternatives(test, ast.And))
        if isinstance(outer, Function):
            return
        inner = outer


def _alternatives(test: ast.expr, joined_by: type[ast.boolop]) -> Iterator[ast.Compare]:
    """The comparisons that alone decide: all that `and`, or `or`, joins."""
    parts = [test]
    if isinstance(test, ast.BoolOp) and isinstance(test.op, joined_by):
        parts = test.values
    yield from (part for part in parts if isinstance(part, ast.Compare))


class DefaultForEmpty(Rule):
    """Tells `max`, `min` and `next` what to give when there is nothing."""

    name = "default_for_empty"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(scores=()):
                    return max(scores) + 1
                """,
            after="""
                def f(scores=()):
                    return max(scores, default=0) + 1
                """,
        ),
        Example(
            before="""
                def f(rows=()):
                    return next(iter(rows))
                """,
            after="""
                def f(rows=()):
                    return next(iter(rows), None)
                """,
        ),
        # as its sibling says it
        Example(
            before="""
                ROOMS = {'new': []}


                def latest(room):
                    return ROOMS[room][-1] if ROOMS[room] else ''


                def highest(room):
                    return max(ROOMS[room])


                def f():
                    return highest('new')
                """,
            after="""
                ROOMS = {'new': []}


                def latest(room):
                    return ROOMS[room][-1] if ROOMS[room] else ''


                def highest(room):
                    return max(ROOMS[room], default='')


                def f():
                    return highest('new')
                """,
        ),
        Example(
            before="""
                def f(rows=3):
                    return max(rows)
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if not isinstance(node, ast.Call) or not node.args:
            return
        name = called_name(node)
        empty = name in ("max", "min") and "empty" in scene.message
        ended = name == "next" and scene.exception == "StopIteration" and len(node.args) == 1
        if not empty and not ended:
            return
        # a generator that is the only argument has no parentheses of its own
        alone = isinstance(node.args[0], ast.GeneratorExp) and len(node.args) == 1
        known = self._known(scene, node)
        for rank, value in enumerate(dict.fromkeys([*known, *self._values(scene, node)])):
            argument = f"default={value}" if empty else value
            edit = with_second(scene, node, argument) if alone else add_argument(node, argument)
            yield scene.draft(
                edit,
                title=f"{name} of nothing is {value}" if empty else f"{value} when nothing is left",
                weight=(1.7 if value in known else 1.4) - 0.4 * rank,
            )

    @staticmethod
    def _known(scene: Scene, node: ast.Call) -> list[str]:
        """What the docstring says of nothing, else what the function's siblings give for it."""
        if scene.function is None or not isinstance(scene.file.parent(node), ast.Return):
            return []
        given = scene.conventions.given_by_siblings(scene.file, scene.function)
        return [*promised(scene.function), *given][:1]

    @staticmethod
    def _values(scene: Scene, node: ast.Call) -> list[str]:
        """What the use needs, what the items are."""
        parent = scene.file.parent(node)
        if isinstance(parent, ast.Attribute | ast.Subscript):
            return []
        if isinstance(parent, ast.BinOp | ast.Compare):
            return ["0"]
        item = node.args[0].elt if isinstance(node.args[0], ast.GeneratorExp) else None
        counts = isinstance(item, ast.BinOp) or (
            isinstance(item, ast.Call) and called_name(item) in ("len", "int", "round", "abs")
        )
        return ["0", "None"] if counts else ["None"]
