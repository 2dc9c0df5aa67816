"""Mutable defaults that live from call to call."""

from __future__ import annotations

import ast
from collections.abc import Iterator

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
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        function = scene.function
        if function is None:
            return
        for argument in [*function.args.args, *function.args.kwonlyargs]:
            default = mutable_default(function, argument.arg)
            if default is None or kind_of(default) == "":
                continue
            name, value = argument.arg, scene.text(default)
            guard = f"if {name} is None:\n    {name} = {value}"
            first = function.body[0]
            docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            yield scene.draft(
                replace_expression(default, "None"),
                insert_after(first, guard) if docstring else insert_before(first, guard),
                title=f"make `{name}` anew at each call",
                weight=1.5 if scene.occurrence.kind == "leak" else 0.6,
            )
