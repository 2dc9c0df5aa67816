"""Operands of the wrong type."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import (
    called_name,
    last_assignment,
)
from selfheal_engine.patch_generator.edits import (
    EXPR,
    add_argument,
    add_import,
    replace_expression,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
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
                def f(a=None, count=2):
                    return a + count
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if scene.exception != "TypeError" or scene.failure.is_none:
            return
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
            if not isinstance(getattr(operand, "ctx", None), ast.Store):
                yield self._converted(scene, operand, form, weight)

    @staticmethod
    def _forms(
        scene: Scene, node: ast.AST, left: ast.expr, right: ast.expr
    ) -> Iterator[tuple[ast.expr, str, float]]:
        """(operand, how it is converted, weight)."""
        kinds = [_kind(scene, left), _kind(scene, right)]
        found = re.search(r"'([\w.]+)' and '([\w.]+)'", scene.message)
        if found:
            kinds = [kinds[0] or found[1], kinds[1] or found[2]]
        only = re.search(r'can only concatenate (\w+) \(not "(\w+)"\) to', scene.message)
        if only:
            kinds = [kinds[0] or only[1], kinds[1] or only[2]]
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
            yield number, "str({})", 1.3 if as_text else 0.7
            kind = two if one == "str" else one
            source = _read_as_text(scene, text, number)
            if source is not None:
                yield source, kind + "({})", 1.4 if not as_text else 1.0
            yield text, kind + "({})", 1.2 if not as_text else 0.9
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
        for argument in node.args:
            kind = _kind(scene, argument)
            if "bytes-like object is required, not 'str'" in message and kind in ("str", ""):
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
            elif "not JSON serializable" in message:
                yield from _for_json(scene, node)
                return
            elif "unhashable type: 'list'" in message:
                yield self._converted(scene, argument, "tuple({})", 1.1)

    def _summed(self, scene: Scene, argument: ast.expr) -> Iterator[Draft]:
        """Numbers that are text, before they are added up."""
        if "'str'" not in scene.message:
            return
        value = scene.value(argument)
        items = [child.text for _, child in value.children] if value is not None else []
        whole = all(re.fullmatch(r"\W?\s*[-+]?\d+\s*\W?", text) for text in items)
        kind = "int" if whole else "float"
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


def _kind(scene: Scene, node: ast.expr) -> str:
    value = scene.value(node)
    if value is not None:
        return value.type_name
    if isinstance(node, ast.JoinedStr):
        return "str"
    if isinstance(node, ast.Call) and called_name(node) in (
        "str",
        "int",
        "float",
        "len",
        "Decimal",
    ):
        return "int" if called_name(node) == "len" else called_name(node)
    return ""


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
        texts = [n for n in sides if _kind(scene, n) == "str" and isinstance(n, ast.Name)]
        part = texts[0] if texts else part
    if not isinstance(part, ast.Name) or part.id == getattr(number, "id", ""):
        return None
    found = last_assignment(scene.file, scene.function, part.id, part.lineno)
    if found is None or found[2] != "value" or isinstance(found[1], ast.Constant):
        return None
    return found[1]


_TO_JSON = {
    "set": ("sorted({})", "list"),
    "frozenset": ("sorted({})", "list"),
    "dict_keys": ("list({})", "list"),
    "dict_values": ("list({})", "list"),
    "generator": ("list({})", "list"),
    "map": ("list({})", "list"),
    "deque": ("list({})", "list"),
    "datetime": ("{}.isoformat()", "str"),
    "date": ("{}.isoformat()", "str"),
    "bytes": ("{}.decode()", "str"),
    "Decimal": ("str({})", "str"),
    "ndarray": ("{}.tolist()", "list"),
}
"""How a value of a type is written in JSON: (form, function for `default=`)."""


def _for_json(scene: Scene, node: ast.Call) -> Iterator[Draft]:
    if called_name(node) not in ("dumps", "dump") or any(k.arg == "default" for k in node.keywords):
        return
    found = re.search(r"Object of type (\w+) is", scene.message)
    kind = found[1] if found is not None else ""
    form, default = _TO_JSON.get(kind) or _of_project(scene, kind) or ("", "str")
    imports = [add_import("from dataclasses import asdict")] if default == "asdict" else []
    for part in ast.walk(node.args[0]) if node.args and form else ():
        value = scene.value(part)
        if value is not None and value.type_name.rpartition(".")[2] == kind:
            yield scene.draft(
                replace_expression(part, form.format(EXPR)),
                *imports,
                title=f"`{form.format(scene.text(part))}`, which JSON knows",
                weight=1.1,
            )
            break
    yield scene.draft(
        add_argument(node, f"default={default}"),
        *imports,
        title=f"write what JSON does not know with {default}",
        weight=0.9 if default == "str" else 1.2 if default == "asdict" else 1.0,
    )


def _of_project(scene: Scene, kind: str) -> tuple[str, str] | None:
    """How a class of the project is written in JSON: by its own method, as data, by its value."""
    for _, owner in scene.sources.classes_named(kind):
        methods = [n.name for n in owner.body if isinstance(n, ast.FunctionDef)]
        for name in ("to_dict", "as_dict", "to_json", "serialize"):
            if name in methods:
                return f"{{}}.{name}()", f"lambda value: value.{name}()"
        if any("dataclass" in ast.unparse(d) for d in owner.decorator_list):
            return "asdict({})", "asdict"
        if any("Enum" in ast.unparse(base) for base in owner.bases):
            return "{}.value", "lambda value: value.value"
        return None
    return None
