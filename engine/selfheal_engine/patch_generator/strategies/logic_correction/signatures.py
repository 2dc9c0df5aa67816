"""Calls that do not fit: a missing await, parentheses, `self` or argument."""

from __future__ import annotations

import ast
import builtins
import difflib
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import (
    called_name,
    definitions,
    parameters,
)
from selfheal_engine.diagnosis.source_file import Function, SourceFile, Span
from selfheal_engine.patch_generator.edits import (
    EXPR,
    add_argument,
    replace_expression,
    splice_text,
)
from selfheal_engine.patch_generator.neutral_values import by_custom
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY


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
        named = re.search(r"'(builtin_function_or_method|method|function)'", scene.message)
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
            if missing:
                yield from _with_missing(scene, node, file, function, missing[1])


def _with_missing(
    scene: Scene, node: ast.Call, file: SourceFile, function: Function, name: str
) -> Iterator[Draft]:
    """The argument that the call leaves out: the variable or attribute of that name, a default."""
    known = {n for n, _ in scene.frame.locals}
    if scene.function is not None:
        known |= set(parameters(scene.function))
    owner = "self." + name
    if name in known:
        yield scene.draft(
            add_argument(node, f"{name}={name}"), title=f"pass `{name}` on", weight=1.7
        )
    elif "self" in known and re.search(rf"\bself\.{name}\b", scene.file.text):
        yield scene.draft(
            add_argument(node, f"{name}={owner}"), title=f"pass `{owner}` on", weight=1.5
        )
    default = by_custom(scene.sources, name)
    for argument in (*function.args.args, *function.args.kwonlyargs):
        last = argument is function.args.args[-1] if function.args.args else False
        if argument.arg == name and last and not function.args.defaults and default:
            end = Span(
                argument.lineno,
                argument.end_col_offset or 0,
                argument.lineno,
                argument.end_col_offset or 0,
            )
            sign = " = " if argument.annotation is not None else "="
            yield scene.draft(
                splice_text(end, f"{sign}{default}"),
                title=f"`{name}` is {default} where it is not given, as elsewhere",
                weight=1.1,
                file=file,
            )


def _after_name(lines: list[str], function: Function) -> Span | None:
    """The place behind the opening parenthesis of a definition."""
    line = lines[function.lineno - 1]
    found = re.compile(rf"def\s+{re.escape(function.name)}\s*\(").search(line, function.col_offset)
    if found is None:
        return None
    return Span(function.lineno, found.end(), function.lineno, found.end())
