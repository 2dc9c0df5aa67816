"""Mutable defaults that live from call to call."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import definitions
from selfheal_engine.diagnosis.source_file import Function, SourceFile
from selfheal_engine.patch_generator.edits import (
    insert_after,
    insert_before,
    replace_expression,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.memory_leak_fix.containers import (
    STRATEGY,
    kind_of,
    mutable_default,
)
from selfheal_engine.patch_generator.strategies.race_condition_fix.locking import MUTATES


class FreshDefault(Rule):
    """Makes a mutable default anew at each call, so that calls do not share and grow it."""

    name = "fresh_default"
    strategy = STRATEGY
    kinds = frozenset({"leak", "exception"})
    examples = (
        Example(
            before="""
                def f(item, seen=[]):
                    seen.append(item)  # <- here
                    return seen
                """,
            after="""
                def f(item, seen=None):
                    if seen is None:
                        seen = []
                    seen.append(item)  # <- here
                    return seen
                """,
            kind="leak",
        ),
        Example(
            before="""
                def f(item, seen=()):
                    return [*seen, item]  # <- here
                """,
            kind="leak",
        ),
        Example(
            before="""
                def pairs(names, found=[]):
                    for name in names:
                        found.append((name, len(name)))
                    return found

                def f():
                    pairs(["ann"])
                    ((name, size),) = pairs(["bob"])
                    return size
                """,
            after="""
                def pairs(names, found=None):
                    if found is None:
                        found = []
                    for name in names:
                        found.append((name, len(name)))
                    return found

                def f():
                    pairs(["ann"])
                    ((name, size),) = pairs(["bob"])
                    return size
                """,
        ),
        Example(
            before="""
                def pairs(names, wanted=[]):
                    return [name for name in names if name not in wanted]

                def f():
                    (name,) = pairs(["ann", "bob"])
                    return name
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if scene.function is None:
            return
        weight = 1.5 if scene.occurrence.kind == "leak" else 0.6
        for argument, default in _mutable(scene.function):
            yield self._draft(scene, scene.file, scene.function, argument, default, weight)
        for file, function in _called(scene, scene.function):
            for argument, default in _mutable(function):
                if _fills(function, argument):  # what earlier calls put there comes back
                    yield self._draft(scene, file, function, argument, default, 1.5)

    def _draft(
        self,
        scene: Scene,
        file: SourceFile,
        function: Function,
        name: str,
        default: ast.expr,
        weight: float,
    ) -> Draft:
        guard = f"if {name} is None:\n    {name} = {file.segment(default)}"
        first = function.body[0]
        docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
        return scene.draft(
            replace_expression(default, "None"),
            insert_after(first, guard) if docstring else insert_before(first, guard),
            title=f"make `{name}` anew at each call",
            weight=weight,
            file=file,
        )


def _mutable(function: Function) -> Iterator[tuple[str, ast.expr]]:
    """Parameters whose default is one container for all calls."""
    for argument in [*function.args.args, *function.args.kwonlyargs]:
        default = mutable_default(function, argument.arg)
        if default is not None and kind_of(default):
            yield argument.arg, default


def _called(scene: Scene, function: Function) -> Iterator[tuple[SourceFile, Function]]:
    """The project's functions that the failing one calls itself, each once."""
    seen = {function}
    for node in ast.walk(function):
        for file, called in (
            definitions(scene.sources, scene.file, node) if isinstance(node, ast.Call) else ()
        ):
            if called not in seen:
                seen.add(called)
                yield file, called


def _fills(function: Function, name: str) -> bool:
    """Whether the function puts something into the container that the parameter names."""
    for node in ast.walk(function):
        filled: ast.expr | None = None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            filled = node.func.value if node.func.attr in MUTATES else None
        elif isinstance(node, ast.AugAssign):
            filled = node.target
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            filled = node.value
        if isinstance(filled, ast.Name) and filled.id == name:
            return True
    return False
