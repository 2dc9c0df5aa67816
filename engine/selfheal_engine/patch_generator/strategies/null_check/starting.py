"""A None where a container is filled, a default that a stored None passes by, a walrus."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name, last_assignment, parameters
from selfheal_engine.patch_generator.edits import (
    EXPR,
    add_import,
    insert_before,
    replace_expression,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import anchor_of, in_comprehension, is_stable
from selfheal_engine.patch_generator.strategies.null_check.chaining import chain_of
from selfheal_engine.patch_generator.strategies.null_check.guarded_value import STRATEGY, guarded


class DefaultForNone(Rule):
    """Gives the lookup's default for a stored None too: `.get(key) or default`."""

    name = "default_for_none"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(record={'labels': None}):
                    labels = record.get('labels', {})
                    labels['a'] = 1
                    return labels
                """,
            after="""
                def f(record={'labels': None}):
                    labels = record.get('labels') or {}
                    labels['a'] = 1
                    return labels
                """,
        ),
        Example(
            before="""
                def f(record={'tags': None}):
                    return [tag for tag in record.get('tags', [])]
                """,
            after="""
                def f(record={'tags': None}):
                    return [tag for tag in record.get('tags') or []]
                """,
        ),
        Example(
            before="""
                def f(record={}):
                    return record.get('tags', None).sort()
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        culprit = guarded(scene)
        if culprit is None or scene.depth:
            return
        value: ast.expr = culprit
        if isinstance(culprit, ast.Name):
            found = last_assignment(scene.file, scene.function, culprit.id, culprit.lineno)
            if found is None or found[2] != "value":
                return
            value = found[1]
        if not isinstance(value, ast.Call) or len(value.args) != 2 or value.keywords:
            return
        default = value.args[1]
        none = isinstance(default, ast.Constant) and default.value is None
        if called_name(value) not in ("get", "pop") or none:
            return
        call = f"{scene.text(value.func)}({scene.text(value.args[0])})"
        if called_name(value) == "pop":
            call = scene.text(value)
        yield scene.draft(
            replace_expression(value, f"{call} or {scene.text(default)}"),
            title=f"{scene.text(default)} where `{scene.text(value.args[0])}` holds None as well",
            weight=1.7,
        )


_FILLS = frozenset({"append", "extend", "add", "update", "insert", "setdefault", "appendleft"})


class StartContainer(Rule):
    """Begins the container that is still None with an empty one before something is put in."""

    name = "start_container"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(record={'labels': None}):
                    record['labels']['a'] = 1
                    return record
                """,
            after="""
                def f(record={'labels': None}):
                    if record['labels'] is None:
                        record['labels'] = {}
                    record['labels']['a'] = 1
                    return record
                """,
        ),
        Example(
            before="""
                class Box:
                    items = None


                def f():
                    box = Box()
                    box.items.append(3)
                    return box.items
                """,
            after="""
                class Box:
                    items = None


                def f():
                    box = Box()
                    if box.items is None:
                        box.items = []
                    box.items.append(3)
                    return box.items
                """,
        ),
        Example(
            before="""
                def f(user=None):
                    return user.name
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        culprit = guarded(scene)
        if culprit is None or scene.depth or not is_stable(culprit):
            return
        value = self._filled_with(scene, culprit)
        anchor = anchor_of(scene.file, scene.statement)
        if not value or anchor is None or in_comprehension(scene.file, culprit, scene.statement):
            return
        name = scene.text(culprit)
        # what is bound to a local name alone is lost with it, unless it is given back
        local = isinstance(culprit, ast.Name)
        given = (
            local
            and scene.function is not None
            and isinstance(culprit, ast.Name)
            and culprit.id in parameters(scene.function)
        )
        yield scene.draft(
            insert_before(anchor, f"if {name} is None:\n    {name} = {value}"),
            title=f"begin `{name}` with {value} where it is None",
            weight=1.2 if given else 0.8 if local else 1.6,
        )

    @staticmethod
    def _filled_with(scene: Scene, culprit: ast.expr) -> str:
        """The empty container that the use fills; "" where nothing is put in."""
        parent = scene.file.parent(culprit)
        if isinstance(parent, ast.Subscript) and isinstance(parent.ctx, ast.Store):
            number = scene.value(parent.slice)
            return "" if number is not None and number.type_name == "int" else "{}"
        if isinstance(parent, ast.Attribute) and parent.attr in _FILLS:
            return {"add": "set()", "update": "{}", "setdefault": "{}"}.get(parent.attr, "[]")
        return ""


class EnterAnyway(Rule):
    """Enters a context that does nothing where there is none to enter."""

    name = "enter_anyway"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def guard(on):
                    if on:
                        return open('/dev/null')


                def f(on=False):
                    with guard(on):
                        return 1
                """,
            after="""
                import contextlib


                def guard(on):
                    if on:
                        return open('/dev/null')


                def f(on=False):
                    with guard(on) or contextlib.nullcontext():
                        return 1
                """,
        ),
        Example(
            before="""
                def f(on=None):
                    return on.name
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        statement = scene.statement
        enters = "context manager protocol" in scene.message or scene.message == "__enter__"
        if not enters or "NoneType" not in scene.message + scene.occurrence.message:
            return
        if not isinstance(statement, ast.With) or len(statement.items) != 1:
            return
        item = statement.items[0]
        if item.optional_vars is not None:
            return  # its name is read inside: a context that gives None would only move the failure
        yield scene.draft(
            replace_expression(item.context_expr, f"{EXPR} or contextlib.nullcontext()"),
            add_import("import contextlib"),
            title="go on without a context where there is none",
            weight=1.7,
        )


class AskTheWalrus(Rule):
    """Asks whether something was found before it is read, in the condition that finds it."""

    name = "ask_the_walrus"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                import re


                def f(label='free'):
                    if (m := re.match(r'(\\d+)', label)).group(1):
                        return int(m.group(1))
                    return 0
                """,
            after="""
                import re


                def f(label='free'):
                    if (m := re.match(r'(\\d+)', label)) and m.group(1):
                        return int(m.group(1))
                    return 0
                """,
        ),
        Example(
            before="""
                def f(label=None):
                    if label.strip():
                        return 1
                    return 0
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        culprit = guarded(scene)
        if not isinstance(culprit, ast.NamedExpr):
            return
        whole = chain_of(scene, scene.node)
        test = getattr(scene.statement, "test", None)
        if not isinstance(whole, ast.expr) or whole is culprit or test is None:
            return
        if whole not in set(ast.walk(test)):
            return
        name, bound = culprit.target.id, scene.text(culprit)
        text, start = scene.text(whole), scene.text(whole).find(bound)
        if start < 1:
            return
        rest = text[start + len(bound) :].removeprefix(")")
        code = f"({bound}) and {name}{rest}"
        yield scene.draft(
            replace_expression(whole, code if whole is test else f"({code})"),
            title=f"ask whether `{name}` was found first",
            weight=1.7,
        )
