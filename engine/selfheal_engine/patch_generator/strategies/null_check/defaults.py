"""Puts a default where a value may be missing: at the use or at the lookup."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.patch_generator.edits import (
    add_argument,
    replace_expression,
)
from selfheal_engine.patch_generator.named_defaults import default_named
from selfheal_engine.patch_generator.neutral_values import (
    by_custom,
    by_format,
    by_message,
    by_use,
    of_type,
)
from selfheal_engine.patch_generator.provenance import is_kept
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import is_part
from selfheal_engine.patch_generator.strategies.null_check.guarded_value import STRATEGY, guarded


class UseDefault(Rule):
    """Uses a neutral value of the needed type in place of the None."""

    name = "use_default"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(tags=None):
                    return len(tags)
                """,
            after="""
                def f(tags=None):
                    return len(tags or [])
                """,
        ),
        Example(
            before="""
                def f(note=None):
                    return note.strip() + '!'
                """,
            after="""
                def f(note=None):
                    return (note or "").strip() + '!'
                """,
        ),
        Example(
            before="""
                def f(note=None):
                    return note.body
                """
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        culprit = guarded(scene)
        if culprit is None:
            return
        value = needed(scene, culprit)
        if not value:
            return
        # nothing to iterate is nothing to do; a number or text that is made up may mislead
        part = is_part(scene.file, culprit) and value != "0"  # a part that reads 0 is made up too
        sure = value in ("[]", "()", "{}", "set()") or part
        yield scene.draft(
            replace_expression(culprit, f"__expr__ or {value}"),
            title=f"use {value} when `{scene.text(culprit)}` is None",
            weight=1.3 if sure else 0.9 if value == '""' else 0.4 if _is_told(scene) else 0.7,
        )


def _is_told(scene: Scene) -> bool:
    """Whether the service tells a figure that it keeps: none is known, and 0 would be one."""
    culprit = guarded(scene)
    if culprit is None or scene.depth or not is_kept(scene, culprit):
        return False
    parent = scene.file.parent(culprit)
    if isinstance(parent, ast.Call) and called_name(parent) in ("round", "abs", "int", "float"):
        return not isinstance(scene.file.parent(parent), ast.BinOp | ast.AugAssign | ast.Compare)
    return isinstance(parent, ast.FormattedValue)


def needed(scene: Scene, culprit: ast.expr) -> str:
    """The neutral value of the type that the None's use needs, as source text; "" if unclear."""
    parent = scene.file.parent(culprit)
    augmented = isinstance(parent, ast.AugAssign) and "not iterable" in scene.message
    if augmented:
        target = scene.value(parent.target) if isinstance(parent, ast.AugAssign) else None
        return of_type(target.type_name) if target is not None else "()"
    if parent is not None and isinstance(parent, ast.FormattedValue):
        return by_format(parent)
    found = by_message(scene.message) if scene.depth == 0 else ""
    return found or by_use(scene.file, culprit)


class DefaultAtLookup(Rule):
    """Gives the lookup that found nothing a default: `.get(key, default)` at the origin."""

    name = "default_at_lookup"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f():
                    options = {}
                    return options.get('name').strip()
                """,
            after="""
                def f():
                    options = {}
                    return options.get('name', "").strip()
                """,
        ),
        Example(
            before="""
                def f(name=None):
                    return name.strip()
                """
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        culprit = guarded(scene)
        if culprit is None:
            return
        for step in scene.findings.origin if scene.depth == 0 else ():
            call = step.node
            if step.kind != "missing_key" or not isinstance(call, ast.Call):
                continue
            key = call.args[0]
            word = key.value if isinstance(key, ast.Constant) else ""
            known = by_custom(scene.sources, str(word)) if word else ""
            value = known or needed(scene, culprit)
            if not value:
                continue
            yield scene.draft(
                add_argument(call, value),
                title=f"default {value} where `{step.file.segment(call)}` finds nothing",
                weight=1.3 if known else 1.0,
                file=step.file,
            )


class TolerateMissingKey(Rule):
    """Reads a key that may be missing with `.get`, with the default that its use needs."""

    name = "tolerate_missing_key"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f():
                    options = {}
                    return len(options['tags'])
                """,
            after="""
                def f():
                    options = {}
                    return len(options.get('tags', []))
                """,
        ),
        Example(
            before="""
                import os


                def f():
                    return int(os.environ['WORKERS_X'])
                """,
            after="""
                import os


                def f():
                    return int(os.environ.get('WORKERS_X', 0))
                """,
        ),
        Example(
            before="""
                def f(visit={'geo': {}}):
                    return visit['geo']['city']['name']
                """,
            after="""
                def f(visit={'geo': {}}):
                    return visit['geo'].get('city', {}).get('name')
                """,
        ),
        Example(
            before="""
                DEFAULTS = {"port": 80}


                def f(config={"host": "a"}):
                    return f"{config['host']}:{config['port']}"
                """,
            after="""
                DEFAULTS = {"port": 80}


                def f(config={"host": "a"}):
                    return f"{config['host']}:{config.get('port', DEFAULTS['port'])}"
                """,
        ),
        Example(
            before="""
                def f():
                    return [1][3]
                """
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if scene.exception != "KeyError" or not isinstance(node, ast.Subscript):
            return
        if not isinstance(node.ctx, ast.Load) or isinstance(scene.statement, ast.Delete):
            return
        container, key = scene.text(node.value), scene.text(node.slice)
        word = node.slice.value if isinstance(node.slice, ast.Constant) else ""
        known = by_custom(scene.sources, str(word)) if word else ""
        bound = scene.statement.targets[0] if isinstance(scene.statement, ast.Assign) else None
        name = bound.id if isinstance(bound, ast.Name) else ""
        known = known or default_named(scene, str(word), name)
        value = known or by_use(scene.file, node)
        if value:
            yield scene.draft(
                replace_expression(node, f"{container}.get({key}, {value})"),
                title=f"use {value} where `{container}` has no {key}",
                weight=1.3 if known else 1.0,
            )
        parent = scene.file.parent(node)
        deeper = _constant_below(node, parent)
        if word and deeper is not None:
            yield scene.draft(
                replace_expression(
                    deeper, f"{container}.get({key}, {{}}).get({scene.text(deeper.slice)})"
                ),
                title=f"None where there is no {key}, and nothing below it",
                weight=0.8,
            )
        # a plain None may only go where somebody looks at it or passes it on
        if (
            isinstance(parent, ast.Assign | ast.Return | ast.keyword | ast.Dict | ast.Call)
            and not value
        ):
            yield scene.draft(
                replace_expression(node, f"{container}.get({key})"),
                title=f"None where `{container}` has no {key}",
                weight=0.6,
            )


def _constant_below(node: ast.Subscript, parent: ast.AST | None) -> ast.Subscript | None:
    """The read of a text key in what `node` gives: `node["name"]`."""
    if not isinstance(parent, ast.Subscript) or parent.value is not node:
        return None
    named = isinstance(parent.slice, ast.Constant) and isinstance(parent.slice.value, str)
    return parent if named and isinstance(parent.ctx, ast.Load) else None
