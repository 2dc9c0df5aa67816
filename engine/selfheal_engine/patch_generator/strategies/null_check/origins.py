"""Ends the None where it comes from: the attribute that starts as None, the function that gives it.

Callers then need no guard of their own, the ones that have not failed yet included.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import Step
from selfheal_engine.diagnosis.source_file import Function
from selfheal_engine.patch_generator.answers import refusals
from selfheal_engine.patch_generator.edits import insert_before, replace_expression
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import is_stable
from selfheal_engine.patch_generator.strategies.null_check.defaults import needed
from selfheal_engine.patch_generator.strategies.null_check.guarded_value import STRATEGY, guarded


class DefaultAtOrigin(Rule):
    """Starts an attribute with the empty value that its use needs, in place of None."""

    name = "default_at_origin"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                class Session:
                    def __init__(self):
                        self.data = None

                    def put(self, key, value):
                        self.data[key] = value


                def f():
                    Session().put('a', 1)
                """,
            after="""
                class Session:
                    def __init__(self):
                        self.data = {}

                    def put(self, key, value):
                        self.data[key] = value


                def f():
                    Session().put('a', 1)
                """,
        ),
        Example(
            before="""
                class Post:
                    def __init__(self, tags=None):
                        self.tags = tags


                def f():
                    return [tag for tag in Post().tags]
                """,
            after="""
                class Post:
                    def __init__(self, tags=None):
                        self.tags = tags if tags is not None else []


                def f():
                    return [tag for tag in Post().tags]
                """,
        ),
        Example(
            before="""
                class Post:
                    def __init__(self, user=None):
                        self.user = user


                def f():
                    return Post().user.name
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        culprit = guarded(scene)
        if culprit is None or scene.depth:
            return
        stored = "item assignment" in scene.message
        value = "{}" if stored else needed(scene, culprit)
        if value not in ("[]", "{}", "()", '""', "set()"):
            return
        value = "[]" if value == "()" else value
        for step in scene.origin:
            setting = step.node
            if step.kind != "attribute" or not isinstance(setting, ast.Assign | ast.AnnAssign):
                continue
            given = setting.value
            if isinstance(given, ast.Constant) and step.file.function_of(setting) is not None:
                code = value
            elif isinstance(given, ast.Name):
                code = f"__expr__ if {given.id} is not None else {value}"
            else:
                continue
            yield scene.draft(
                replace_expression(given, code),
                title=f"`{step.file.segment(_target(setting))}` starts as {value}, not as None",
                weight=1.5 if stored else 1.1,
                file=step.file,
            )
            return


def _target(setting: ast.Assign | ast.AnnAssign) -> ast.expr:
    return setting.targets[0] if isinstance(setting, ast.Assign) else setting.target


class RefuseAtOrigin(Rule):
    """Raises the function's own error where it would give back a None that it found."""

    name = "refuse_at_origin"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                PRICES = {'tea': None}


                class Unknown(Exception):
                    pass


                def price_of(name):
                    if name not in PRICES:
                        raise Unknown(name)
                    return PRICES[name]


                def f(name='tea'):
                    return price_of(name) + 1
                """,
            after="""
                PRICES = {'tea': None}


                class Unknown(Exception):
                    pass


                def price_of(name):
                    if name not in PRICES:
                        raise Unknown(name)
                    if PRICES[name] is None:
                        raise Unknown(name)
                    return PRICES[name]


                def f(name='tea'):
                    return price_of(name) + 1
                """,
        ),
        Example(
            before="""
                PRICES = {'tea': None}


                def price_of(name):
                    return PRICES[name]


                def f(name='tea'):
                    return price_of(name) + 1
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if guarded(scene) is None or scene.depth:
            return
        for step in scene.origin:
            returned = step.node
            function = step.file.function_of(returned)
            if step.kind != "returned" or function is None or not _refuses(scene, step, function):
                continue
            if not isinstance(returned, ast.Return) or returned.value is None:
                continue
            if not is_stable(returned.value):
                continue
            text = step.file.segment(returned.value)
            for refusal in refusals(
                scene.conventions, step.file, function, (404, 422, 400), f"{function.name} has none"
            ):
                yield scene.draft(
                    insert_before(returned, f"if {text} is None:\n    {refusal.code}"),
                    *refusal.imports,
                    title=f"{refusal.title} in `{function.name}` when `{text}` is None",
                    weight=refusal.weight + 0.15,
                    file=step.file,
                )
                break


def _refuses(scene: Scene, step: Step, function: Function) -> bool:
    """Whether the function itself raises one of the project's errors, so that callers expect it."""
    raised = scene.conventions.raised_in(step.file)
    return any(step.file.function_of(answer.statement) is function for answer in raised)
