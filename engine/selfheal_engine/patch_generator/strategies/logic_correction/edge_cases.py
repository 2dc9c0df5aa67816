"""Empty sequences and divisors that are zero."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.captured import integer
from selfheal_engine.diagnosis.origin import (
    called_name,
)
from selfheal_engine.diagnosis.source_file import Function
from selfheal_engine.patch_generator.answers import refusals
from selfheal_engine.patch_generator.contracts import promised
from selfheal_engine.patch_generator.edits import (
    BODY,
    EXPR,
    Edit,
    indented,
    replace_expression,
    replace_statements,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import (
    anchor_of,
    given_for_nothing,
    guard_site,
    in_comprehension,
)
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
                def f(cents=10, people=()):
                    share, rest = cents // len(people), cents % len(people)
                    shares = {}
                    for name in people:
                        shares[name] = share + rest
                        rest = 0
                    return shares
                """,
            after="""
                def f(cents=10, people=()):
                    if not people:
                        return {}
                    share, rest = cents // len(people), cents % len(people)
                    shares = {}
                    for name in people:
                        shares[name] = share + rest
                        rest = 0
                    return shares
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
        if isinstance(node, ast.AugAssign):
            yield from self._augmented(scene, node)
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

    @staticmethod
    def _augmented(scene: Scene, node: ast.AugAssign) -> Iterator[Draft]:
        target, divisor = scene.text(node.target), scene.text(node.value)
        nothing: list[str] = []
        if scene.function is not None:
            found = scene.conventions.nothing_value(scene.file, scene.function)
            nothing = [value for value in found if value]
        test = _empty_test(scene, node.value)
        for value in nothing[:1]:
            yield scene.draft(
                replace_statements([node], _guard(scene, test, f"return {value}")),
                title=f"return {value} when there is nothing to divide by",
                weight=1.1,
            )
        yield scene.draft(
            replace_statements([node], f"if {test}:\n    {target} = 0\nelse:\n    {BODY}\n"),
            title=f"0 when `{divisor}` is 0",
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
                def f(samples=()):
                    return max(samples, key=len)[0]
                """,
            after="""
                def f(samples=()):
                    if not samples:
                        return None
                    return max(samples, key=len)[0]
                """,
        ),
        Example(
            before="""
                import struct


                def f(header=b'ab'):
                    size, = struct.unpack('>I', header)
                    return bytes(size)
                """,
            after="""
                import struct


                def f(header=b'ab'):
                    if len(header) < 4:
                        return None
                    size, = struct.unpack('>I', header)
                    return bytes(size)
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
        needs = scene.exception == "IndexError" or _SAYS_EMPTY.search(scene.message)
        if not needs or scene.function is None:
            return
        short = _too_short(scene)
        if short is None or isinstance(scene.statement, ast.While):
            return
        base, condition, constant = short
        asked = 0.3 if _asked_already(scene, base) else 1.0
        site = guard_site(scene, base)
        if site is None or _inner(scene, base):
            return
        condition = site.when(condition.format(site.name))

        def guarded(code: str, title: str, weight: float, imports: tuple[Edit, ...] = ()) -> Draft:
            guard = site.before(f"if {condition}:\n{indented(code.rstrip())}")
            return scene.draft(
                replace_statements([site.anchor], guard),
                *site.edits,
                *imports,
                title=f"{title} when {condition}",
                weight=asked * weight,
            )

        word = site.name.rpartition(".")[2].strip("_").replace("_", " ")
        message = f"no such {word.rstrip('s') if not constant else word}"
        for refusal in refusals(
            scene.conventions, scene.file, scene.function, (404, 400, 422), message, (word,)
        ):
            yield guarded(refusal.code, refusal.title, refusal.weight, refusal.imports)
            break
        if site.loop:
            way = "continue" if constant else "break"
            yield guarded(way, way, 1.1)
        values = given_for_nothing(scene, scene.function, site.anchor)
        said = promised(scene.function, next((v for v in values if v), ""))
        unknown = not values and scene.function.returns is None
        for rank, value in enumerate(values[:2] or (["None"] if unknown else [])):
            weight = 1.6 if value in said else 0.5 if unknown else 1.0 - 0.15 * rank
            if value == "False" and site.loop:
                weight = 1.3  # one item that does not fit answers the question
            yield guarded(f"return {value}", f"return {value or 'early'}", weight)
        yield from _partitioned(scene)


_SAYS_EMPTY = re.compile(
    r"(?:max|min)\(\) .*empty|empty sequence|unpack requires a buffer of (\d+) bytes"
)


def _too_short(scene: Scene) -> tuple[ast.expr, str, bool] | None:
    """(the sequence, when it is too short with `{}` for its name, whether the place is fixed)."""
    node = scene.node
    says = _SAYS_EMPTY.search(scene.message)
    if says is not None and isinstance(node, ast.Call) and node.args:
        length = says.group(1)
        # the others say with an argument what they give for nothing
        if length or isinstance(scene.file.parent(node), ast.Subscript | ast.Attribute):
            return (
                node.args[-1 if length else 0],
                f"len({{}}) < {length}" if length else "not {}",
                True,
            )
        return None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        takes = called_name(node) in ("pop", "popleft") and not node.args
        return (node.func.value, "not {}", True) if takes else None
    if not isinstance(node, ast.Subscript):
        return None
    index = integer(scene.value(node.slice))
    if isinstance(node.slice, ast.Constant | ast.UnaryOp):
        if index is None and isinstance(node.slice, ast.UnaryOp):
            index = -(integer(scene.value(node.slice.operand)) or 1)
        length = abs(index) if index is not None and index < 0 else (index or 0) + 1
        return node.value, "not {}" if length <= 1 else f"len({{}}) < {length}", True
    key = scene.text(node.slice).replace("{", "{{").replace("}", "}}")
    return node.value, f"{key} >= len({{}})" if (index or 0) >= 0 else f"{key} < -len({{}})", False


def _asked_already(scene: Scene, base: ast.expr) -> bool:
    """Whether the code asks for the length itself: it is the question that is wrong then."""
    length = f"len({scene.text(base)})"
    for outer in scene.file.ancestors(scene.node):
        if isinstance(outer, Function):
            return False
        if isinstance(outer, ast.If | ast.IfExp) and length in scene.text(outer.test):
            return True
    return False


def _partitioned(scene: Scene) -> Iterator[Draft]:
    """`text.partition(sep)[2]`, which is empty where `text.split(sep)[1]` is not there."""
    node = scene.node
    if not isinstance(node, ast.Subscript) or not isinstance(node.value, ast.Call):
        return
    call = node.value
    second = isinstance(node.slice, ast.Constant) and node.slice.value == 1
    if called_name(call) == "split" and second and call.args:
        assert isinstance(call.func, ast.Attribute)
        owner, separator = scene.text(call.func.value), scene.text(call.args[0])
        yield scene.draft(
            replace_expression(node, f"{owner}.partition({separator})[2]"),
            title=f"what stands behind {separator}, empty without one",
            weight=1.0,
        )
