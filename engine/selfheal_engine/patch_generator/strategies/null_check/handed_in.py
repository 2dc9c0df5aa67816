"""A None that a caller hands in where leaving the argument out would have given the default."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import argument_for, called_name, default_of, parameters
from selfheal_engine.diagnosis.source_file import Function, SourceFile
from selfheal_engine.patch_generator.conventions import is_test
from selfheal_engine.patch_generator.edits import replace_expression
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.null_check.guarded_value import STRATEGY, guarded

MOST_CALLS = 3


class DefaultOfParameter(Rule):
    """Gives a lookup the default of the parameter that its result is handed to."""

    name = "default_of_parameter"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                class Line:
                    def __init__(self, price, count=1):
                        self.price = price
                        self.count = count

                    def total(self):
                        return self.price * self.count


                def f(item={'price': 2}):
                    return Line(item['price'], item.get('count')).total()
                """,
            after="""
                class Line:
                    def __init__(self, price, count=1):
                        self.price = price
                        self.count = count

                    def total(self):
                        return self.price * self.count


                def f(item={'price': 2}):
                    return Line(item['price'], item.get('count', 1)).total()
                """,
        ),
        Example(
            before="""
                def last(rows, count=2):
                    return rows[len(rows) - count:]


                def f(options={}):
                    return last([1, 2, 3], count=options.get('count'))
                """,
            after="""
                def last(rows, count=2):
                    return rows[len(rows) - count:]


                def f(options={}):
                    return last([1, 2, 3], count=options.get('count', 2))
                """,
        ),
        Example(
            before="""
                def last(rows, count=None):
                    return rows[len(rows) - count:]


                def f(options={}):
                    return last([1, 2, 3], count=options.get('count'))
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        culprit = guarded(scene)
        if culprit is None or scene.depth:
            return
        for file, function, name in _parameters_behind(scene, culprit):
            default = default_of(function, name)
            if not isinstance(default, ast.Constant) or default.value is None:
                continue
            usual = file.segment(default)
            for caller, lookup in _lookups_handed_in(scene, file, function, name):
                yield scene.draft(
                    replace_expression(lookup, f"{caller.segment(lookup)[:-1]}, {usual})"),
                    title=f"`{name}` is {usual} where nothing is given, as declared",
                    weight=1.6,
                    file=caller,
                )


def _parameters_behind(
    scene: Scene, culprit: ast.expr
) -> Iterator[tuple[SourceFile, Function, str]]:
    """Where the None came in: a parameter of the failing function, or of what set the attribute."""
    if isinstance(culprit, ast.Name) and scene.function is not None:
        if culprit.id in parameters(scene.function):
            yield scene.file, scene.function, culprit.id
        return
    for step in scene.origin:
        setting = step.node
        if step.kind != "attribute" or not isinstance(setting, ast.Assign | ast.AnnAssign):
            continue
        function = step.file.function_of(setting)
        if function is None or not isinstance(setting.value, ast.Name):
            continue
        if setting.value.id in parameters(function):
            yield step.file, function, setting.value.id


def _lookups_handed_in(
    scene: Scene, file: SourceFile, function: Function, name: str
) -> Iterator[tuple[SourceFile, ast.Call]]:
    """`.get(key)` without a default, as the argument, in calls by the function's own name."""
    owner = file.class_of(function) if function.name == "__init__" else None
    called = owner.name if owner is not None else function.name
    found = 0
    for other in scene.sources.all():
        if is_test(other.path) or called not in other.text:
            continue
        for node in ast.walk(other.tree):
            if not isinstance(node, ast.Call) or called_name(node) != called:
                continue
            given = argument_for(node, function, name)
            if isinstance(given, ast.Call) and called_name(given) == "get" and len(given.args) == 1:
                found += 1
                if found <= MOST_CALLS and not given.keywords:
                    yield other, given
