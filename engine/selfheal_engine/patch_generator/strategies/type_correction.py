"""Logic corrections where a value has another type than the code thinks.

Conversions between texts, numbers and bytes, clocks with and without zone, forgotten `await`,
parentheses and `self`. Part of the strategy logic_correction.
"""

from __future__ import annotations

import ast
import builtins
import difflib
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import (
    called_name,
    definitions,
    last_assignment,
    parameters,
)
from selfheal_engine.diagnosis.source_file import Function, Span
from selfheal_engine.patch_generator.edits import (
    EXPR,
    Edit,
    add_argument,
    add_import,
    insert_after,
    replace_expression,
    splice_text,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import is_stable

STRATEGY = "logic_correction"


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
        elif isinstance(node, ast.Compare) and len(node.comparators) == 1:
            yield from self._pair(scene, node, node.left, node.comparators[0])
        elif isinstance(node, ast.Subscript) and "indices must be integers" in scene.message:
            yield self._converted(scene, node.slice, "int({})", 1.2)
        elif isinstance(node, ast.Call):
            yield from self._argument(scene, node)

    def _pair(
        self, scene: Scene, node: ast.expr, left: ast.expr, right: ast.expr
    ) -> Iterator[Draft]:
        kinds = [_kind(scene, left), _kind(scene, right)]
        found = re.search(r"'([\w.]+)' and '([\w.]+)'", scene.message)
        if found:
            kinds = [kinds[0] or found[1], kinds[1] or found[2]]
        only = re.search(r'can only concatenate (\w+) \(not "(\w+)"\) to', scene.message)
        if only:
            kinds = [kinds[0] or only[1], kinds[1] or only[2]]
        one, two = (kind.rpartition(".")[2] for kind in kinds)
        adds = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add)
        numbers = ("int", "float", "Decimal")
        if {one, two} == {"str", "bytes"}:
            text = left if one == "str" else right
            data = right if one == "str" else left
            yield self._converted(scene, text, "{}.encode()", 1.2)
            yield self._converted(scene, data, "{}.decode()", 1.1)
        elif "str" in (one, two) and (one in numbers or two in numbers):
            text = left if one == "str" else right
            number = right if one == "str" else left
            as_text = adds and (_says_text(scene, text) or text is left)
            yield self._converted(scene, number, "str({})", 1.3 if as_text else 0.7)
            kind = two if one == "str" else one
            yield self._converted(scene, text, kind + "({})", 1.2 if not as_text else 0.9)
        elif {one, two} == {"Decimal", "float"}:
            inexact = left if one == "float" else right
            yield self._converted(scene, inexact, "Decimal(str({}))", 1.4)
            exact = right if one == "float" else left
            yield self._converted(scene, exact, "float({})", 0.8)
        elif {one, two} in ({"list", "tuple"}, {"list", "set"}, {"list", "dict_keys"}):
            other = left if one != "list" else right
            yield self._converted(scene, other, "list({})", 1.3)
        elif "date" in (one, two) and "datetime" in (one, two):
            moment = left if one == "datetime" else right
            yield self._converted(scene, moment, "{}.date()", 1.3)

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
            elif "expected str instance" in message and called_name(node) == "join":
                yield self._converted(scene, argument, "map(str, {})", 1.3)
            elif "not JSON serializable" in message:
                yield from _for_json(scene, node)
                return
            elif "unhashable type: 'list'" in message:
                yield self._converted(scene, argument, "tuple({})", 1.1)

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


def _for_json(scene: Scene, node: ast.Call) -> Iterator[Draft]:
    if called_name(node) in ("dumps", "dump") and all(k.arg != "default" for k in node.keywords):
        yield scene.draft(
            add_argument(node, "default=str"),
            title="write what JSON does not know as text",
            weight=0.9,
        )


_READERS = ("fromisoformat", "strptime", "fromtimestamp", "utcfromtimestamp", "combine", "parse")


class KnowTheZone(Rule):
    """Compares clocks that both know their zone, or both do not."""

    name = "know_the_zone"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                from datetime import datetime, timezone


                def f():
                    due = datetime(2024, 1, 1, tzinfo=timezone.utc)
                    return due < datetime.now()
                """,
            after="""
                from datetime import datetime, timezone


                def f():
                    due = datetime(2024, 1, 1, tzinfo=timezone.utc)
                    return due < datetime.now(timezone.utc)
                """,
        ),
        Example(
            before="""
                from datetime import datetime, timezone


                def f(due='2024-01-01'):
                    when = datetime.fromisoformat(due)
                    return when < datetime.now(timezone.utc)
                """,
            after="""
                from datetime import datetime, timezone


                def f(due='2024-01-01'):
                    when = datetime.fromisoformat(due)
                    if when.tzinfo is None:
                        when = when.replace(tzinfo=timezone.utc)
                    return when < datetime.now(timezone.utc)
                """,
        ),
        Example(
            before="""
                def f():
                    return 1 < 'a'
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if "offset-naive" not in scene.message:
            return
        utc, imports = _utc(scene)
        for operand in _operands(scene.node):
            for made, anchor in self._makers(scene, operand):
                name = called_name(made)
                if name == "now" and not made.args and not made.keywords:
                    yield scene.draft(
                        add_argument(made, utc),
                        *imports,
                        title=f"`now({utc})` knows its zone",
                        weight=1.6,
                    )
                elif name == "utcnow":
                    owner = scene.text(made.func).rpartition(".")[0]
                    yield scene.draft(
                        replace_expression(made, f"{owner}.now({utc})"),
                        *imports,
                        title=f"`now({utc})` in place of `utcnow()`, which knows no zone",
                        weight=1.7,
                    )
                elif name in _READERS:
                    yield from self._from_text(scene, made, anchor, utc, imports)
            if is_stable(operand):
                yield scene.draft(
                    replace_expression(operand, f"{EXPR}.replace(tzinfo={utc})"),
                    *imports,
                    title=f"read `{scene.text(operand)}` as UTC",
                    weight=0.9,
                )

    @staticmethod
    def _makers(scene: Scene, operand: ast.expr) -> Iterator[tuple[ast.Call, ast.stmt | None]]:
        """The calls that made the operand, in this function or in those that it calls."""
        for node in ast.walk(operand):
            if isinstance(node, ast.Call):
                yield node, None
                for file, function in definitions(scene.sources, scene.file, node):
                    inside = ast.walk(function) if file is scene.file else ()
                    calls = [n for n in inside if isinstance(n, ast.Call)]
                    yield from ((c, None) for c in calls if called_name(c) in ("now", "utcnow"))
            elif isinstance(node, ast.Name):
                found = last_assignment(scene.file, scene.function, node.id, node.lineno)
                if found is not None:
                    for inner in ast.walk(found[1]):
                        if isinstance(inner, ast.Call):
                            yield inner, found[0]

    @staticmethod
    def _from_text(
        scene: Scene, made: ast.Call, anchor: ast.stmt | None, utc: str, imports: list[Edit]
    ) -> Iterator[Draft]:
        named = isinstance(anchor, ast.Assign) and isinstance(anchor.targets[0], ast.Name)
        if isinstance(anchor, ast.Assign) and named and anchor.value is made:
            name = scene.text(anchor.targets[0])
            guard = f"if {name}.tzinfo is None:\n    {name} = {name}.replace(tzinfo={utc})"
            yield scene.draft(
                insert_after(anchor, guard),
                *imports,
                title=f"read `{name}` as UTC when it names no zone",
                weight=1.6,
            )
        yield scene.draft(
            replace_expression(made, f"{EXPR}.replace(tzinfo={utc})"),
            *imports,
            title="read the time as UTC",
            weight=1.0,
        )


def _operands(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Compare):
        return [node.left, *node.comparators]
    return [node.left, node.right] if isinstance(node, ast.BinOp) else []


def _utc(scene: Scene) -> tuple[str, list[Edit]]:
    """How the file names UTC, with the import where it does not yet."""
    text = scene.file.text
    if re.search(r"from datetime import .*\bUTC\b", text):
        return "UTC", []
    if re.search(r"^import datetime$", text, re.MULTILINE):
        return "datetime.timezone.utc", []
    return "timezone.utc", [add_import("from datetime import timezone")]


class AddAwait(Rule):
    """Waits for a coroutine that was called but not awaited."""

    name = "add_await"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                import asyncio


                async def load():
                    return {'a': 1}


                async def run():
                    rows = load()
                    return rows['a']


                def f():
                    return asyncio.run(run())
                """,
            after="""
                import asyncio


                async def load():
                    return {'a': 1}


                async def run():
                    rows = await load()
                    return rows['a']


                def f():
                    return asyncio.run(run())
                """,
        ),
        Example(
            before="""
                def f():
                    return len(3)
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if "coroutine" not in scene.message or not isinstance(scene.function, ast.AsyncFunctionDef):
            return
        calls: list[tuple[ast.Call, float]] = []
        for node in ast.walk(scene.node if isinstance(scene.node, ast.expr) else scene.statement):
            if isinstance(node, ast.Call):
                calls.append((node, 1.4))
            elif isinstance(node, ast.Name):
                calls += [
                    (made.value, 1.7)
                    for made in ast.walk(scene.function)
                    if isinstance(made, ast.Assign)
                    and isinstance(made.value, ast.Call)
                    and any(scene.text(t) == node.id for t in made.targets)
                ]
        for call, weight in calls:
            waits = isinstance(scene.file.parent(call), ast.Await)
            known = definitions(scene.sources, scene.file, call)
            plain = known and not any(isinstance(f, ast.AsyncFunctionDef) for _, f in known)
            if waits or plain or hasattr(builtins, called_name(call)):
                continue
            yield scene.draft(
                replace_expression(call, f"await {EXPR}"),
                title=f"await `{called_name(call)}`",
                weight=weight if known else 0.5 * weight,
            )


class CallOrNot(Rule):
    """Calls a method that was only named, or names a value that was called."""

    name = "call_or_not"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(names={'a': 1}):
                    return [name for name in names.keys]
                """,
            after="""
                def f(names={'a': 1}):
                    return [name for name in names.keys()]
                """,
        ),
        Example(
            before="""
                def f(count=3):
                    return count()
                """,
            after="""
                def f(count=3):
                    return count
                """,
        ),
        Example(
            before="""
                def f(count=None):
                    return count.real
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if "is not callable" in scene.message and isinstance(node, ast.Call):
            if not node.args and not node.keywords:
                yield scene.draft(
                    replace_expression(node, scene.text(node.func)),
                    title=f"`{scene.text(node.func)}` is a value, not a function",
                    weight=1.3,
                )
            return
        named = re.search(r"'(builtin_function_or_method|method|function)' object", scene.message)
        if not named:
            return
        parts = scene.node if isinstance(scene.node, ast.expr) else scene.statement
        for part in ast.walk(parts):
            parent = scene.file.parent(part)
            called = isinstance(parent, ast.Call) and parent.func is part
            if isinstance(part, ast.Attribute) and not called:
                yield scene.draft(
                    replace_expression(part, f"{EXPR}()"),
                    title=f"call `{scene.text(part)}`",
                    weight=1.4,
                )


class FitSignature(Rule):
    """Calls a function as it is defined: a missing `self`, a keyword's right name."""

    name = "fit_signature"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                class Cart:
                    def total():
                        return 3


                def f():
                    return Cart().total()
                """,
            after="""
                class Cart:
                    def total(self):
                        return 3


                def f():
                    return Cart().total()
                """,
        ),
        Example(
            before="""
                def total(rows, discount=0):
                    return 1


                def f():
                    return total([], discont=2)
                """,
            after="""
                def total(rows, discount=0):
                    return 1


                def f():
                    return total([], discount=2)
                """,
        ),
        Example(
            before="""
                def f(a=1):
                    return a + 'x'
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if scene.exception != "TypeError" or not isinstance(node, ast.Call):
            return
        known = definitions(scene.sources, scene.file, node)
        given = re.search(r"takes \d+ positional arguments? but \d+ w\w+ given", scene.message)
        wrong = re.search(r"unexpected keyword argument '(\w+)'", scene.message)
        missing = re.search(r"missing \d+ required .*arguments?: '(\w+)'", scene.message)
        for file, function in known:
            method = isinstance(file.parent(function), ast.ClassDef)
            names = parameters(function)
            static = any("staticmethod" in file.segment(d) for d in function.decorator_list)
            if given and method and not static and names[:1] not in (["self"], ["cls"]):
                at = _after_name(file.lines, function)
                if at is not None:
                    comma = ", " if names else ""
                    yield scene.draft(
                        splice_text(at, f"self{comma}"),
                        title=f"`{function.name}` is a method: it takes `self`",
                        weight=1.7,
                        file=file,
                    )
            if wrong:
                near = difflib.get_close_matches(wrong[1], names, 2, 0.6)
                for rank, name in enumerate(near):
                    for keyword in node.keywords:
                        if keyword.arg == wrong[1]:
                            value = scene.text(keyword.value)
                            span = Span(
                                keyword.lineno,
                                keyword.col_offset,
                                keyword.end_lineno or keyword.lineno,
                                keyword.end_col_offset or 0,
                            )
                            yield scene.draft(
                                splice_text(span, f"{name}={value}"),
                                title=f"the argument is called `{name}`",
                                weight=1.6 - 0.2 * rank,
                            )
            if missing and scene.function is not None and missing[1] in parameters(scene.function):
                yield scene.draft(
                    add_argument(node, f"{missing[1]}={missing[1]}"),
                    title=f"pass `{missing[1]}` on",
                    weight=1.4,
                )


def _after_name(lines: list[str], function: Function) -> Span | None:
    """The place behind the opening parenthesis of a definition."""
    line = lines[function.lineno - 1]
    found = re.compile(rf"def\s+{re.escape(function.name)}\s*\(").search(line, function.col_offset)
    if found is None:
        return None
    return Span(function.lineno, found.end(), function.lineno, found.end())


RULES: tuple[Rule, ...] = (
    KnowTheZone(),
    AddAwait(),
    ConvertOperand(),
    CallOrNot(),
    FitSignature(),
)
