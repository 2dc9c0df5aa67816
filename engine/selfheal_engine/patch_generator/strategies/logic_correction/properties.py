"""Properties that ask themselves for their own value, without end."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.diagnosis.source_file import Function, span_of
from selfheal_engine.patch_generator.edits import replace_expression, splice_text
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY


class StoreApart(Rule):
    """Keeps a property's value under a name of its own: under its own name it asks itself."""

    name = "store_apart"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                class Gauge:
                    def __init__(self):
                        self._value = 0

                    @property
                    def value(self):
                        return self._value

                    @value.setter
                    def value(self, new):
                        self.value = max(0, new)


                def f():
                    Gauge().value = 3
                """,
            after="""
                class Gauge:
                    def __init__(self):
                        self._value = 0

                    @property
                    def value(self):
                        return self._value

                    @value.setter
                    def value(self, new):
                        self._value = max(0, new)


                def f():
                    Gauge().value = 3
                """,
        ),
        Example(
            before="""
                class Box:
                    def __setattr__(self, name, value):
                        setattr(self, name, value)


                def f():
                    Box().size = 3
                """,
            after="""
                class Box:
                    def __setattr__(self, name, value):
                        super().__setattr__(name, value)


                def f():
                    Box().size = 3
                """,
        ),
        Example(
            before="""
                class Tree:
                    def depth(self):
                        return self.depth() + 1


                def f():
                    return Tree().depth()
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        function = scene.function
        if scene.exception != "RecursionError" or function is None:
            return
        owner = scene.file.class_of(function)
        if owner is None:
            return
        if function.name in ("__setattr__", "__getattribute__", "__delattr__"):
            yield from _to_object(scene, function)
            return
        name = function.name
        accessors = [
            f
            for f in owner.body
            if isinstance(f, Function) and f.name == name and _is_accessor(f, name)
        ]
        if function not in accessors:
            return
        apart = f"_{name}"
        edits = [
            splice_text(span_of(node), f"self.{apart}")
            for accessor in accessors
            for node in ast.walk(accessor)
            if isinstance(node, ast.Attribute)
            and node.attr == name
            and isinstance(node.value, ast.Name)
            and node.value.id == "self"
        ]
        if edits:
            yield scene.draft(*edits, title=f"keep the value of `{name}` in `{apart}`", weight=1.9)


def _is_accessor(function: Function, name: str) -> bool:
    said = {ast.unparse(d) for d in function.decorator_list}
    return bool(said & {"property", "cached_property", f"{name}.setter", f"{name}.getter"})


def _to_object(scene: Scene, function: Function) -> Iterator[Draft]:
    """`setattr(self, ...)` inside `__setattr__` is the base class's affair."""
    builtin = function.name.strip("_").replace("getattribute", "getattr")
    for node in ast.walk(function):
        if not isinstance(node, ast.Call) or called_name(node) != builtin or not node.args:
            continue
        if isinstance(node.func, ast.Name) and scene.text(node.args[0]) == "self":
            rest = ", ".join(scene.text(a) for a in node.args[1:])
            yield scene.draft(
                replace_expression(node, f"super().{function.name}({rest})"),
                title=f"leave it to the base class's `{function.name}`",
                weight=1.9,
            )
