"""Fewer values than names to unpack into: what stands for those that are not there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.diagnosis.source_file import span_of
from selfheal_engine.patch_generator.edits import (
    EXPR,
    Edit,
    insert_before,
    replace_expression,
    splice_text,
)
from selfheal_engine.patch_generator.named_defaults import default_for
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import COMPREHENSIONS, filtered, in_loop, names_in
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY

_FEWER = re.compile(r"not enough values to unpack \(expected (\d+), got (\d+)\)")
_PAIRS = re.compile(r"dictionary update sequence element #\d+ has length 1; 2 is required")
_NUMBERS = ("int", "float", "Decimal")


class FillMissing(Rule):
    """Takes the project's default, or the empty text, for a field that a text or row lacks."""

    name = "fill_missing"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                DEFAULT_PORT = 7000


                def f(address='10.0.0.1'):
                    host, port = address.split(':')
                    return host, int(port)
                """,
            after="""
                DEFAULT_PORT = 7000


                def f(address='10.0.0.1'):
                    host, _, port = address.partition(':')
                    return host, int(port or DEFAULT_PORT)
                """,
        ),
        Example(
            before="""
                def connect(host, port=6379):
                    return host, port


                def f(address='db'):
                    host, port = address.split(':')
                    port = int(port)
                    return connect(host, port)
                """,
            after="""
                def connect(host, port=6379):
                    return host, port


                def f(address='db'):
                    host, _, port = address.partition(':')
                    port = int(port or 6379)
                    return connect(host, port)
                """,
        ),
        Example(
            before="""
                def f(line='verbose'):
                    name, value = line.split('=', 1)
                    return {name: value}
                """,
            after="""
                def f(line='verbose'):
                    name, _, value = line.partition('=')
                    return {name: value}
                """,
        ),
        Example(
            before="""
                DEFAULT_UNIT = 'kg'


                def f(row=('flour', '3')):
                    name, amount, unit = row
                    return name, int(amount), unit
                """,
            after="""
                DEFAULT_UNIT = 'kg'


                def f(row=('flour', '3')):
                    name, amount, unit = [*row, DEFAULT_UNIT][:3]
                    return name, int(amount), unit
                """,
        ),
        Example(
            before="""
                def f(text='a=1;b'):
                    return dict(part.split('=') for part in text.split(';'))
                """,
            after="""
                def f(text='a=1;b'):
                    return dict(part.partition('=')[::2] for part in text.split(';'))
                """,
        ),
        Example(
            before="""
                def f(text='a=1 b'):
                    return {k: int(v) for k, v in (p.split('=') for p in text.split())}
                """,
            after="""
                def f(text='a=1 b'):
                    return {k: int(v) for k, v in (p.split('=') for p in text.split() if '=' in p)}
                """,
        ),
        Example(
            before="""
                def f(address='10.0.0.1'):
                    host, port = address.split(':')
                    return host, int(port)
                """,
        ),
        Example(
            before="""
                def f(row=(1, 2)):
                    a, b, c = row
                    return a + b + c
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        fewer = _FEWER.match(scene.message)
        if scene.depth or scene.exception != "ValueError":
            return
        if fewer is None:
            if _PAIRS.match(scene.message):
                yield from _pairs(scene)
            return
        statement = scene.statement
        target = statement.targets[0] if isinstance(statement, ast.Assign) else None
        if not isinstance(target, ast.Tuple) or not isinstance(statement, ast.Assign):
            yield from _pairs(scene)
            return
        names = [part.id for part in target.elts if isinstance(part, ast.Name)]
        if len(names) != len(target.elts) or len(names) != int(fewer[1]):
            return
        lacking = names[int(fewer[2]) :]
        if len(names) == 2 and _separator(statement.value) and _called(statement) == "split":
            yield from _parted(scene, statement, target, names[1])
        yield from _padded(scene, statement, len(names), lacking)
        yield from _skipped(scene, statement)


def _called(statement: ast.Assign) -> str:
    return called_name(statement.value) if isinstance(statement.value, ast.Call) else ""


def _separator(cut: ast.AST) -> str:
    """The text that a call splits at, as it is written; "" for any other expression."""
    if not isinstance(cut, ast.Call) or called_name(cut) not in ("split", "rsplit"):
        return ""
    first = cut.args[0] if cut.args else None
    written = isinstance(first, ast.Constant) and isinstance(first.value, str)
    return ast.unparse(first) if first is not None and written else ""


def _parted(scene: Scene, statement: ast.Assign, target: ast.Tuple, name: str) -> Iterator[Draft]:
    """`a, _, b = text.partition(sep)`, with the default where `b` is used."""
    cut = statement.value
    assert isinstance(cut, ast.Call)
    assert isinstance(cut.func, ast.Attribute)
    default, uses = default_for(scene, name), _uses(scene, statement, name)
    numbers = [use for use in uses if _is_number(scene, use)]
    if not default and numbers:
        return  # an empty text is no number
    rest = "_" if "_" not in names_in(scene.file, scene.function) else "_rest"
    first, last = (scene.text(part) for part in target.elts)
    owner, separator = scene.text(cut.func.value), scene.text(cut.args[0])
    code, further = f"{first}, {rest}, {last} = {owner}.partition({separator})", list[Edit]()
    if default:
        # a number stands where the text is read as one anyway
        fits = len(numbers) == len(uses) or _is_text(scene, default)
        filled = f"{name} or {default if fits else f'str({default})'}"
        if len(uses) == 1:
            further = [replace_expression(uses[0], filled)]
        else:
            code += f"\n{' ' * statement.col_offset}{name} = {filled}"
    said = f"`{default}`" if default else "an empty text"
    yield scene.draft(
        splice_text(span_of(statement), code),
        *further,
        title=f"{said} where the text has no `{name}`",
        weight=1.8 if default else 1.4,
    )


def _uses(scene: Scene, statement: ast.stmt, name: str) -> list[ast.Name]:
    """Where the name is read before it is bound anew."""
    root: ast.AST = scene.function if scene.function is not None else scene.file.tree
    named = [n for n in ast.walk(root) if isinstance(n, ast.Name) and n.id == name]
    behind = [n for n in named if n.lineno > (statement.end_lineno or statement.lineno)]
    stored = [n.lineno for n in behind if isinstance(n.ctx, ast.Store)]
    until = min(stored, default=10**9)
    return [n for n in behind if isinstance(n.ctx, ast.Load) and n.lineno <= until]


def _is_number(scene: Scene, use: ast.Name) -> bool:
    call = scene.file.parent(use)
    return isinstance(call, ast.Call) and called_name(call) in _NUMBERS and use in call.args


def _is_text(scene: Scene, default: str) -> bool:
    written = scene.conventions.constants(scene.file).get(default)
    if written is None:
        written = ast.parse(default, mode="eval").body
    return isinstance(written, ast.Constant) and isinstance(written.value, str)


def _padded(scene: Scene, statement: ast.Assign, count: int, lacking: list[str]) -> Iterator[Draft]:
    """The row, with what is lacking put behind it."""
    defaults = {default_for(scene, name) for name in lacking}
    default = defaults.pop() if len(defaults) == 1 else ""
    if not default:
        texts = _called(statement) in ("split", "rsplit") or _holds_texts(scene, statement)
        numbers = [u for n in lacking for u in _uses(scene, statement, n) if _is_number(scene, u)]
        if not texts or numbers:
            return
    one = default or '""'
    fill, which = ", ".join([one] * len(lacking)), " or ".join(lacking)
    yield scene.draft(
        replace_expression(statement.value, f"[*{EXPR}, {fill}][:{count}]"),
        title=f"`{one}` where the row has no {which}",
        weight=1.5 if default else 1.0,
    )


def _holds_texts(scene: Scene, statement: ast.Assign) -> bool:
    value = scene.value(statement.value)
    items = [] if value is None else [item.type_name for _, item in value.children]
    return bool(items) and set(items) == {"str"}


def _skipped(scene: Scene, statement: ast.Assign) -> Iterator[Draft]:
    """In a loop, what has no separator is no entry."""
    cut, separator = statement.value, _separator(statement.value)
    if not separator or not isinstance(cut, ast.Call) or not isinstance(cut.func, ast.Attribute):
        return
    owner = cut.func.value
    if isinstance(owner, ast.Name) and in_loop(scene.file, statement):
        written = scene.text(cut.args[0])
        yield scene.draft(
            insert_before(statement, f"if {written} not in {owner.id}:\n    continue"),
            title=f"go on with the next where `{owner.id}` has no {separator}",
            weight=1.0,
        )


def _pairs(scene: Scene) -> Iterator[Draft]:
    """`dict(part.split("=") for part in parts)`: without the separator, no value or no entry."""
    for node in ast.walk(scene.statement):
        if not isinstance(node, ast.GeneratorExp | ast.ListComp) or not _separator(node.elt):
            continue
        cut, outer = node.elt, scene.file.parent(node)
        assert isinstance(cut, ast.Call)
        if not isinstance(cut.func, ast.Attribute):
            continue
        owner, separator = scene.text(cut.func.value), scene.text(cut.args[0])
        if not _reads_numbers(scene, outer):
            yield scene.draft(
                replace_expression(cut, f"{owner}.partition({separator})[::2]"),
                title=f"an empty value where there is no {separator}",
                weight=1.4,
            )
        yield scene.draft(
            filtered(scene.file, node, f"{separator} in {owner}"),
            title=f"leave out what has no {separator}",
            weight=1.3,
        )
        return


def _reads_numbers(scene: Scene, outer: ast.AST | None) -> bool:
    """Whether the comprehension or loop around reads the values as numbers."""
    holder = scene.file.parent(outer) if isinstance(outer, ast.comprehension) else outer
    if not isinstance(holder, (*COMPREHENSIONS, ast.For)):
        return False
    calls = [node for node in ast.walk(holder) if isinstance(node, ast.Call)]
    return any(called_name(call) in _NUMBERS for call in calls)
