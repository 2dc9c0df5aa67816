"""Calls and assignments that get more, or other, values than they take."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name, definitions, last_assignment, parameters
from selfheal_engine.diagnosis.source_file import Function, span_of
from selfheal_engine.patch_generator.edits import (
    EXPR,
    Edit,
    add_import,
    replace_expression,
    splice_text,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import is_stable, names_in
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY


class KnownArguments(Rule):
    """Hands on only those keys of a mapping that the called function has parameters for."""

    name = "known_arguments"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                class Volume:
                    def __init__(self, name, size=1):
                        self.name = name


                def f(form={'name': 'a', 'token': 'x'}):
                    return Volume(**form)
                """,
            after="""
                class Volume:
                    def __init__(self, name, size=1):
                        self.name = name


                def f(form={'name': 'a', 'token': 'x'}):
                    return Volume(**{k: v for k, v in form.items() if k in ("name", "size")})
                """,
        ),
        Example(
            before="""
                from typing import NamedTuple


                class Device(NamedTuple):
                    id: int


                def f(entry={'id': 1, 'made': 'x'}):
                    return Device(**entry)
                """,
            after="""
                from typing import NamedTuple


                class Device(NamedTuple):
                    id: int


                def f(entry={'id': 1, 'made': 'x'}):
                    return Device(**{k: v for k, v in entry.items() if k in Device._fields})
                """,
        ),
        Example(
            before="""
                def g(name):
                    return name


                def f():
                    return g(nmae=1)
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        wrong = re.search(r"unexpected keyword argument '(\w+)'", scene.message)
        if wrong is None or not isinstance(node, ast.Call):
            return
        splat = next((k.value for k in node.keywords if k.arg is None), None)
        if splat is None or any(k.arg == wrong[1] for k in node.keywords):
            return
        known = _taken_by(scene, node)
        if not known:
            return
        values = scene.text(splat)
        if not is_stable(splat):
            values = f"({values})" if not isinstance(splat, ast.Call) else values
        yield scene.draft(
            replace_expression(splat, f"{{k: v for k, v in {values}.items() if k in {known}}}"),
            title=f"hand on only what `{called_name(node)}` takes",
            weight=1.8,
        )


def _taken_by(scene: Scene, node: ast.Call) -> str:
    """The names that the called function or class takes, as an expression; "" if unknown."""
    name = called_name(node)
    for file, owner in scene.sources.classes_named(name):
        start = next(
            (n for n in owner.body if isinstance(n, Function) and n.name == "__init__"), None
        )
        if start is not None:
            return _listed(start, skip=1)
        if any("dataclass" in file.segment(d) for d in owner.decorator_list):
            return f"{scene.text(node.func)}.__dataclass_fields__"
        if any(ast.unparse(b).endswith("NamedTuple") for b in owner.bases):
            return f"{scene.text(node.func)}._fields"
    for file, function in definitions(scene.sources, scene.file, node):
        method = isinstance(file.parent(function), ast.ClassDef)
        return _listed(function, skip=int(method))
    return ""


def _listed(function: Function, skip: int) -> str:
    if function.args.kwarg is not None:
        return ""
    given = [*function.args.posonlyargs, *function.args.args][skip:]
    names = [a.arg for a in (*given, *function.args.kwonlyargs)]
    quoted = ", ".join(f'"{name}"' for name in names)
    return f"({quoted}{',' if len(names) == 1 else ''})" if names else ""


class TakeTheRest(Rule):
    """Unpacks the values that have names and leaves the others to `*_`."""

    name = "take_the_rest"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(lines=('a,1', 'b,2,gift')):
                    found = {}
                    for name, amount in (line.split(',') for line in lines):
                        found[name] = amount
                    return found
                """,
            after="""
                def f(lines=('a,1', 'b,2,gift')):
                    found = {}
                    for name, amount, *_ in (line.split(',') for line in lines):
                        found[name] = amount
                    return found
                """,
        ),
        Example(
            before="""
                def f(row=(1, 2, 3)):
                    a, b = row
                    return a + b
                """,
            after="""
                def f(row=(1, 2, 3)):
                    a, b, *_ = row
                    return a + b
                """,
        ),
        Example(
            before="""
                def f(prices={'abc': 3}):
                    for name, price in prices:
                        return name
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if "too many values to unpack" not in scene.message:
            return
        target = _unpacking(scene)
        if target is None or any(isinstance(e, ast.Starred) for e in target.elts):
            return
        statement = scene.statement
        if isinstance(statement, ast.For | ast.AsyncFor) and statement.target is target:
            value = scene.value(statement.iter)
            if value is not None and value.type_name in ("dict", "str"):
                return
        rest = "_" if "_" not in names_in(scene.file, scene.function) else "_rest"
        inner = ", ".join(scene.text(e) for e in target.elts)
        text = scene.text(target)
        code = f"({inner}, *{rest})" if text.startswith("(") else f"{inner}, *{rest}"
        yield scene.draft(
            splice_text(span_of(target), code),
            title="leave what comes after the named values",
            weight=1.3,
        )


def _unpacking(scene: Scene) -> ast.Tuple | ast.List | None:
    """The tuple of names that the values did not fit."""
    node, statement = scene.node, scene.statement
    if isinstance(node, ast.Tuple | ast.List) and isinstance(node.ctx, ast.Store):
        return node
    if isinstance(statement, ast.For | ast.AsyncFor):
        target: ast.expr = statement.target
    elif isinstance(statement, ast.Assign):
        target = statement.targets[0]
    else:
        inner = [g.target for g in getattr(node, "generators", ())]
        target = inner[0] if inner else ast.Name("", ast.Load())
    return target if isinstance(target, ast.Tuple | ast.List) else None


class Unshadow(Rule):
    """Calls the builtin that a variable or parameter of the same name hides."""

    name = "unshadow"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(items=(1, 2), format='text'):
                    return [format(i, '>3') for i in items]
                """,
            after="""
                import builtins


                def f(items=(1, 2), format='text'):
                    return [builtins.format(i, '>3') for i in items]
                """,
        ),
        Example(
            before="""
                def f(ids=(2, 1)):
                    list = sorted(ids)
                    return list(reversed(list))
                """,
            after="""
                def f(ids=(2, 1)):
                    list_ = sorted(ids)
                    return list(reversed(list_))
                """,
        ),
        Example(
            before="""
                def f(count=3):
                    return count(1)
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node, function = scene.node, scene.function
        if "is not callable" not in scene.message or not isinstance(node, ast.Call):
            return
        called = node.func
        if not isinstance(called, ast.Name) or not hasattr(builtins, called.id):
            return
        name = called.id
        if function is not None and name not in parameters(function):
            yield from _renamed(scene, function, name)
            return
        calls = [
            replace_expression(n.func, f"builtins.{name}")
            for n in ast.walk(function if function is not None else scene.statement)
            if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == name
        ]
        yield scene.draft(
            *calls,
            add_import("import builtins"),
            title=f"call the builtin `{name}`, which a parameter hides",
            weight=1.9,
        )


def _renamed(scene: Scene, function: Function, name: str) -> Iterator[Draft]:
    """The variable under another name wherever it is not called."""
    new = f"{name}_"
    uses = [n for n in ast.walk(function) if isinstance(n, ast.Name) and n.id == name]
    if new in names_in(scene.file, function) or not any(isinstance(n.ctx, ast.Store) for n in uses):
        return
    edits: list[Edit] = []
    for use in uses:
        around = scene.file.parent(use)
        if not (isinstance(around, ast.Call) and around.func is use):
            edits.append(splice_text(span_of(use), new))
    if edits:
        yield scene.draft(
            *edits, title=f"call the variable `{new}`: `{name}` is a builtin", weight=1.9
        )


class CallTheMethod(Rule):
    """Calls the method where its result was to be kept, not the method itself."""

    name = "call_the_method"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(text=' A', names=('ab',)):
                    wanted = text.strip().lower
                    return [n for n in names if n.startswith(wanted)]
                """,
            after="""
                def f(text=' A', names=('ab',)):
                    wanted = text.strip().lower()
                    return [n for n in names if n.startswith(wanted)]
                """,
        ),
        Example(
            before="""
                def f(text='a'):
                    wanted = text.strip()
                    return wanted + 1
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if not re.search(r"\b(builtin_function_or_method|method|function)\b", scene.message):
            return
        seen: set[str] = set()
        parts = scene.node if isinstance(scene.node, ast.expr) else scene.statement
        for part in ast.walk(parts):
            if not isinstance(part, ast.Name) or part.id in seen:
                continue
            seen.add(part.id)
            found = last_assignment(scene.file, scene.function, part.id, scene.statement.lineno)
            if found is None or found[2] != "value" or not isinstance(found[1], ast.Attribute):
                continue
            value = scene.value(part)
            if value is None or "method" in value.type_name or value.type_name == "function":
                yield scene.draft(
                    replace_expression(found[1], f"{EXPR}()"),
                    title=f"call `{scene.text(found[1])}`",
                    weight=1.8,
                )
