"""Operands of the wrong type."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import (
    called_name,
    last_assignment,
    parameters,
)
from selfheal_engine.diagnosis.source_file import Function
from selfheal_engine.patch_generator.edits import (
    EXPR,
    add_argument,
    add_import,
    insert_before,
    replace_expression,
)
from selfheal_engine.patch_generator.kinds import as_text_of, kind_of, number_of_text
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import first_statement
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY


class ConvertOperand(Rule):
    """Converts the operand of the wrong type: text and number, text and bytes, or Decimal."""

    name = "convert_operand"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(name='a', count=2):
                    return name + count
                """,
            after="""
                def f(name='a', count=2):
                    return name + str(count)
                """,
        ),
        Example(
            before="""
                def f(limit='2', count=2):
                    return count < limit
                """,
            after="""
                def f(limit='2', count=2):
                    return count < int(limit)
                """,
        ),
        Example(
            before="""
                def f(head=b'a', tail='b'):
                    return head + tail
                """,
            after="""
                def f(head=b'a', tail='b'):
                    return head + tail.encode()
                """,
        ),
        Example(
            before="""
                def f(count=2, more='3'):
                    count += more
                    return count
                """,
            after="""
                def f(count=2, more='3'):
                    count += int(more)
                    return count
                """,
        ),
        Example(
            before="""
                def f(amounts=('2', '3')):
                    return sum(amounts)
                """,
            after="""
                def f(amounts=('2', '3')):
                    return sum(map(int, amounts))
                """,
        ),
        Example(
            before="""
                from pathlib import Path


                def f(name='a'):
                    return '/srv/' + Path(name)
                """,
            after="""
                from pathlib import Path


                def f(name='a'):
                    return '/srv/' + str(Path(name))
                """,
        ),
        Example(
            before="""
                def f(order={'id': 7, 'total': 3}):
                    return 'Order ' + order['id'] + ': ' + order['total']
                """,
            after="""
                def f(order={'id': 7, 'total': 3}):
                    return 'Order ' + str(order['id']) + ': ' + str(order['total'])
                """,
        ),
        Example(
            before="""
                def f(price='12.50', percent=10):
                    return price - price * percent / 100
                """,
            after="""
                def f(price='12.50', percent=10):
                    price = float(price)
                    return price - price * percent / 100
                """,
        ),
        Example(
            before="""
                from enum import Enum


                class State(Enum):
                    OPEN = 'open'


                def f(state=State.OPEN):
                    return 'state: ' + state
                """,
            after="""
                from enum import Enum


                class State(Enum):
                    OPEN = 'open'


                def f(state=State.OPEN):
                    return 'state: ' + state.value
                """,
        ),
        Example(
            before="""
                def f(rows=({'score': 3}, {'score': '7'})):
                    return max(rows, key=lambda row: row['score'])
                """,
            after="""
                def f(rows=({'score': 3}, {'score': '7'})):
                    return max(rows, key=lambda row: int(row['score']))
                """,
        ),
        Example(
            before="""
                def f(parts=(b'a', 'b')):
                    return b''.join(parts)
                """,
            after="""
                def f(parts=(b'a', 'b')):
                    return b''.join([p.encode() if isinstance(p, str) else p for p in parts])
                """,
        ),
        Example(
            before="""
                def f(name=b'size', size=3):
                    return name + b': ' + size
                """,
            after="""
                def f(name=b'size', size=3):
                    return name + b': ' + str(size).encode()
                """,
        ),
        Example(
            before="""
                def f(a=None, count=2):
                    return a + count
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if scene.exception != "TypeError" or scene.failure.is_none or scene.depth:
            return  # a caller hands its own arguments to a function of ours
        if isinstance(node, ast.BinOp):
            yield from self._pair(scene, node, node.left, node.right)
        elif isinstance(node, ast.AugAssign):
            yield from self._pair(scene, node, node.target, node.value)
        elif isinstance(node, ast.Compare) and len(node.comparators) == 1:
            yield from self._pair(scene, node, node.left, node.comparators[0])
        elif isinstance(node, ast.Subscript) and "indices must be integers" in scene.message:
            yield self._converted(scene, node.slice, "int({})", 1.2)
        elif isinstance(node, ast.Call):
            yield from self._argument(scene, node)

    def _pair(
        self, scene: Scene, node: ast.AST, left: ast.expr, right: ast.expr
    ) -> Iterator[Draft]:
        """One of the two converted; what is assigned to stays as it is."""
        for operand, form, weight in self._forms(scene, node, left, right):
            if isinstance(getattr(operand, "ctx", None), ast.Store):
                continue
            if form == "str({})":
                yield _all_as_text(scene, node, operand, weight)
            else:
                yield self._converted(scene, operand, form, weight)
        yield from _at_the_start(scene, left, right)

    @staticmethod
    def _forms(
        scene: Scene, node: ast.AST, left: ast.expr, right: ast.expr
    ) -> Iterator[tuple[ast.expr, str, float]]:
        """(operand, how it is converted, weight)."""
        kinds = [kind_of(scene, left), kind_of(scene, right)]
        found = re.search(r"'([\w.]+)' and '([\w.]+)'", scene.message)
        if found:
            kinds = [kinds[0] or found[1], kinds[1] or found[2]]
        only = re.search(r'can only concatenate (\w+) \(not "(\w+)"\) to', scene.message)
        if only:
            kinds = [kinds[0] or only[1], kinds[1] or only[2]]
        joined = re.search(r"can't concat (\w+) to bytes", scene.message)
        if joined:
            kinds = ["bytes", joined[1]]
        one, two = (kind.rpartition(".")[2] for kind in kinds)
        adds = isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Add)
        numbers = ("int", "float", "Decimal")
        if {one, two} == {"str", "bytes"}:
            text = left if one == "str" else right
            data = right if one == "str" else left
            yield text, "{}.encode()", 1.2
            yield data, "{}.decode()", 1.1
        elif "str" in (one, two) and (one in numbers or two in numbers):
            text = left if one == "str" else right
            number = right if one == "str" else left
            as_text = adds and (_says_text(scene, text) or text is left)
            if adds:  # texts of numbers have another order, and are not divided
                yield number, "str({})", 1.3 if as_text else 0.7
            kind = _number_kind(scene, text, two if one == "str" else one)
            source = _read_as_text(scene, text, number)
            if source is not None and kind:
                yield source, kind + "({})", 1.4 if not as_text else 1.0
            if kind and not _is_text_times_number(scene, text):
                yield text, kind + "({})", 1.2 if not as_text else 0.9
        elif adds and "str" in (one, two) and two and one != two:
            other = right if one == "str" else left
            kind = two if one == "str" else one
            yield other, as_text_of(scene, kind) or "str({})", 1.3
        elif adds and "bytes" in (one, two) and {one, two} & {"int", "float"}:
            yield (right if one == "bytes" else left), "str({}).encode()", 1.3
        elif {one, two} == {"Decimal", "float"}:
            inexact = left if one == "float" else right
            yield inexact, "Decimal(str({}))", 1.4
            exact = right if one == "float" else left
            yield exact, "float({})", 0.8
        elif {one, two} in ({"list", "tuple"}, {"list", "set"}, {"list", "dict_keys"}):
            other = left if one != "list" else right
            yield other, "list({})", 1.3
        elif "date" in (one, two) and "datetime" in (one, two):
            moment = left if one == "datetime" else right
            yield moment, "{}.date()", 1.3

    def _argument(self, scene: Scene, node: ast.Call) -> Iterator[Draft]:
        message = scene.message
        if "not supported between" in message and called_name(node) in _ORDERING:
            yield from self._ordered(scene, node)
            return
        for argument in node.args:
            kind = kind_of(scene, argument)
            if "expected a bytes-like object" in message and called_name(node) == "join":
                yield self._converted(scene, argument, _joined(scene, argument), 1.3)
            elif "bytes-like object is required, not 'str'" in message and kind in ("str", ""):
                yield self._converted(scene, argument, "{}.encode()", 1.1)
            elif "must be str, not bytes" in message and kind in ("bytes", ""):
                yield self._converted(scene, argument, "{}.decode()", 1.1)
            elif "cannot be interpreted as an integer" in message and kind in ("float", "str", ""):
                if isinstance(argument, ast.BinOp) and isinstance(argument.op, ast.Div):
                    left, right = scene.text(argument.left), scene.text(argument.right)
                    yield scene.draft(
                        replace_expression(argument, f"{left} // {right}"),
                        title="divide without a rest",
                        weight=1.4,
                    )
                yield self._converted(scene, argument, "int({})", 1.1)
            elif "unsupported operand" in message and called_name(node) == "sum":
                yield from self._summed(scene, argument)
            elif "expected str instance" in message and called_name(node) == "join":
                if "NoneType found" not in message:  # a text that says "None" is none to show
                    yield self._converted(scene, argument, "map(str, {})", 1.3)
                elif isinstance(argument, ast.Name | ast.Attribute | ast.Subscript):
                    given = "[part for part in {} if part is not None]"
                    yield self._converted(scene, argument, given, 1.4)
                    yield self._converted(scene, argument, '[part or "" for part in {}]', 0.8)
            elif "unhashable type: 'list'" in message:
                yield self._converted(scene, argument, "tuple({})", 1.1)

    def _ordered(self, scene: Scene, node: ast.Call) -> Iterator[Draft]:
        """Numbers and texts of numbers in one order: all are compared as numbers."""
        found = re.search(r"between instances of '(\w+)' and '(\w+)'", scene.message)
        kinds = set(found.groups()) if found is not None else set()
        number = next((kind for kind in ("Decimal", "float", "int") if kind in kinds), "")
        if "str" not in kinds or not number:
            return
        keys = [k.value for k in node.keywords if k.arg == "key"]
        for form, weight in ((number, 1.4), ("str", 0.8)):
            if not keys:
                yield scene.draft(
                    add_argument(node, f"key={form}"), title=f"compare all as {form}", weight=weight
                )
            elif isinstance(keys[0], ast.Lambda):
                yield self._converted(scene, keys[0].body, f"{form}({{}})", weight)

    def _summed(self, scene: Scene, argument: ast.expr) -> Iterator[Draft]:
        """Numbers that are text, before they are added up."""
        if "'str'" not in scene.message:
            return
        value = scene.value(argument)
        items = [child.text for _, child in value.children] if value is not None else []
        whole = all(re.fullmatch(r"\W?\s*[-+]?\d+\s*\W?", text) for text in items)
        kind = "int" if whole and "'float'" not in scene.message else "float"
        if isinstance(argument, ast.GeneratorExp | ast.ListComp):
            yield self._converted(scene, argument.elt, kind + "({})", 1.2)
        else:
            yield self._converted(scene, argument, f"map({kind}, {{}})", 1.2)

    @staticmethod
    def _converted(scene: Scene, node: ast.expr, form: str, weight: float) -> Draft:
        imports = [add_import("from decimal import Decimal")] if "Decimal" in form else []
        return scene.draft(
            replace_expression(node, form.format(EXPR)),
            *imports,
            title=f"`{form.format(scene.text(node))}`",
            weight=weight,
        )


def _all_as_text(scene: Scene, node: ast.AST, operand: ast.expr, weight: float) -> Draft:
    """Every number of a sum of texts: after one, the next would fail."""
    top = node
    while isinstance(outer := scene.file.parent(top), ast.BinOp) and isinstance(outer.op, ast.Add):
        top = outer
    parts = [operand]
    pending = [top]
    while pending:
        part = pending.pop()
        if isinstance(part, ast.BinOp) and isinstance(part.op, ast.Add):
            pending += [part.left, part.right]
        elif isinstance(part, ast.expr) and kind_of(scene, part) in ("int", "float", "Decimal"):
            parts.append(part)
    places = {(part.lineno, part.col_offset): part for part in parts}
    return scene.draft(
        *(replace_expression(places[place], f"str({EXPR})") for place in sorted(places)),
        title=", ".join(f"`str({scene.text(places[place])})`" for place in sorted(places)),
        weight=weight,
    )


def _at_the_start(scene: Scene, left: ast.expr, right: ast.expr) -> Iterator[Draft]:
    """A parameter that came as the text of a number is read once, before all of its uses."""
    function = scene.function
    if function is None:
        return
    for part in (*ast.walk(left), *ast.walk(right)):
        value = scene.value(part)
        if not isinstance(part, ast.Name) or value is None or value.type_name != "str":
            continue
        kind = _number_kind(scene, part, "int") if value.text else ""
        if part.id in parameters(function) and kind and not _is_stored(function, part.id):
            yield scene.draft(
                insert_before(first_statement(function.body), f"{part.id} = {kind}({part.id})"),
                title=f"read `{part.id}` as a number first",
                weight=1.2,
            )
            return


def _is_stored(function: Function, name: str) -> bool:
    return any(
        isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Store)
        for n in ast.walk(function)
    )


_ORDERING = ("sorted", "sort", "min", "max")


def _joined(scene: Scene, argument: ast.expr) -> str:
    """Parts that are text are written as bytes; those that are bytes already stay."""
    value = scene.value(argument)
    kinds = {item.type_name for _, item in value.children} if value is not None else set()
    if kinds == {"str"}:
        return "map(str.encode, {})"
    return "[p.encode() if isinstance(p, str) else p for p in {}]"


def _number_kind(scene: Scene, text: ast.expr, kind: str) -> str:
    """The type to read the text as: one that holds a fraction where it has one; "" for words."""
    read = number_of_text(scene, text, kind)
    return "float" if read.startswith("int(float") else kind if read else ""


def _is_text_times_number(scene: Scene, node: ast.expr) -> bool:
    """A product of a text is a text as well: what is wrong is the factor."""
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Mult):
        return False
    return "str" in (kind_of(scene, node.left), kind_of(scene, node.right))


def _says_text(scene: Scene, node: ast.expr) -> bool:
    """A text that is no number: it is meant to be read, not counted."""
    value = scene.value(node)
    text = value.text if value is not None else ""
    return isinstance(node, ast.Constant) or not re.fullmatch(r"\s*[-+]?\d*\.?\d+\s*", text or "x")


def _read_as_text(scene: Scene, text: ast.expr, number: ast.expr) -> ast.expr | None:
    """Where a variable in the failing text was read, so that its other uses are numbers too.

    A text times a number is a text: the factor that was read as text is what is wrong.
    """
    part: ast.expr = text
    if isinstance(part, ast.BinOp) and isinstance(part.op, ast.Mult):
        sides = [part.left, part.right]
        texts = [n for n in sides if kind_of(scene, n) == "str" and isinstance(n, ast.Name)]
        part = texts[0] if texts else part
    if not isinstance(part, ast.Name) or part.id == getattr(number, "id", ""):
        return None
    found = last_assignment(scene.file, scene.function, part.id, part.lineno)
    if found is None or found[2] != "value" or isinstance(found[1], ast.Constant):
        return None
    return found[1]
