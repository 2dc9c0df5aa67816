"""A None (or a missing key) goes where it must not: guard it, answer it, default it.

The right place is often not the crash: the project's own answer in the handler, the default at
the lookup and the early return all compete, and the evidence decides.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.source_file import Span, span_of
from selfheal_engine.patch_generator.answers import refusals
from selfheal_engine.patch_generator.edits import (
    add_argument,
    insert_before,
    replace_expression,
    replace_statements,
    splice_text,
)
from selfheal_engine.patch_generator.neutral_values import by_custom, by_use
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import COMPREHENSIONS, guard_site, is_stable

STRATEGY = "null_check"


def guarded(scene: Scene) -> ast.expr | None:
    """The expression that was None, where one is known."""
    return scene.failure.culprit if scene.failure.is_none else None


class ReturnEarly(Rule):
    """Returns what the function returns elsewhere for "nothing" before the None is used."""

    name = "return_early"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(user=None):
                    city = user.city
                    return city.title()
                """,
            after="""
                def f(user=None):
                    if user is None:
                        return ""
                    city = user.city
                    return city.title()
                """,
        ),
        Example(
            before="""
                def f(user=None):
                    if not user:
                        pass
                    return [user.city]
                """,
            after="""
                def f(user=None):
                    if not user:
                        pass
                    if user is None:
                        return []
                    return [user.city]
                """,
        ),
        Example(
            before="""
                def f(user=3):
                    return user.city
                """
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        culprit = guarded(scene)
        if culprit is None or scene.function is None:
            return
        if scene.conventions.is_handler(scene.file, scene.function):
            return
        site = guard_site(scene, culprit)
        if site is None:
            return
        values = scene.conventions.nothing_value(scene.file, scene.function)
        for rank, value in enumerate(values[:3]):
            exit_ = f"return {value}".rstrip()
            yield scene.draft(
                replace_statements(
                    [site.anchor], site.before(f"if {site.name} is None:\n    {exit_}")
                ),
                *site.edits,
                title=f"return {value or 'early'} when `{site.name}` is None",
                weight=1.0 - 0.2 * rank,
                explanation=f"`{site.name}` can be None; the function then has nothing to give.",
            )


class SkipInLoop(Rule):
    """Leaves out the loop's items that are None or lead to one."""

    name = "skip_in_loop"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                class R:
                    tag = None


                def f():
                    out = []
                    for row in [R()]:
                        out.append(row.tag.upper())
                    return out
                """,
            after="""
                class R:
                    tag = None


                def f():
                    out = []
                    for row in [R()]:
                        if row.tag is None:
                            continue
                        out.append(row.tag.upper())
                    return out
                """,
        ),
        Example(
            before="""
                def f():
                    return [row.strip() for row in ['a ', None]]
                """,
            after="""
                def f():
                    return [row.strip() for row in ['a ', None] if row is not None]
                """,
        ),
        Example(
            before="""
                def f(row=None):
                    return row.strip()
                """
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        culprit = guarded(scene)
        if culprit is None:
            return
        site = guard_site(scene, culprit)
        if site is not None and site.loop:
            yield scene.draft(
                replace_statements(
                    [site.anchor], site.before(f"if {site.name} is None:\n    continue")
                ),
                *site.edits,
                title=f"skip items whose `{site.name}` is None",
                weight=1.2,
            )
        for outer in scene.file.ancestors(culprit):
            if isinstance(outer, COMPREHENSIONS):
                text, last = scene.text(culprit), outer.generators[-1]
                if last.ifs:
                    edit = replace_expression(last.ifs[-1], f"__expr__ and {text} is not None")
                else:
                    edit = splice_text(_end_of(scene, last.iter), f" if {text} is not None")
                yield scene.draft(edit, title=f"leave out items whose `{text}` is None", weight=1.1)
                return


def _end_of(scene: Scene, node: ast.expr) -> Span:
    """The empty span behind an expression and the parentheses around it."""
    span = span_of(node)
    before = scene.file.lines[span.line - 1][: span.column].rstrip()
    column = span.end_column
    rest = scene.file.lines[span.end_line - 1][column:]
    if before.endswith("(") and before[:-1].rstrip().endswith(" in") and rest.startswith(")"):
        column += 1
    return Span(span.end_line, column, span.end_line, column)


class RefuseRequest(Rule):
    """Answers the client in the project's own error shape when what was asked for is missing."""

    name = "refuse_request"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                USERS = {}


                def route(path):
                    return lambda function: function


                @route('/a')
                def other(name):
                    if name not in USERS:
                        return {'error': 'no such user'}, 404
                    return {}


                @route('/b')
                def f(name='x'):
                    user = USERS.get(name)
                    return {'city': user.city}
                """,
            after="""
                USERS = {}


                def route(path):
                    return lambda function: function


                @route('/a')
                def other(name):
                    if name not in USERS:
                        return {'error': 'no such user'}, 404
                    return {}


                @route('/b')
                def f(name='x'):
                    user = USERS.get(name)
                    if user is None:
                        return {'error': 'user not found'}, 404
                    return {'city': user.city}
                """,
        ),
        Example(
            before="""
                def f(user=None):
                    return user.city
                """
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        culprit = guarded(scene)
        if culprit is None or scene.function is None:
            return
        site = guard_site(scene, culprit)
        if site is None:
            return
        word = site.name.rpartition(".")[2].strip("_").replace("_", " ")
        looked_up = any(step.kind in ("returned", "missing_key") for step in scene.origin)
        part = "." in site.name or "[" in site.name
        statuses = (404, 422, 400) if looked_up and not part else (422, 400, 404)
        message = f"{word} not found" if statuses[0] == 404 else f"{word} is missing"
        for refusal in refusals(
            scene.conventions, scene.file, scene.function, statuses, message, (word,)
        ):
            guard = f"if {site.name} is None:\n" + "".join(
                f"    {line}\n" for line in refusal.code.splitlines()
            )
            yield scene.draft(
                replace_statements([site.anchor], site.before(guard)),
                *site.edits,
                *refusal.imports,
                title=f"{refusal.title} when `{site.name}` is None",
                weight=refusal.weight,
                explanation=f"Who asks for what has no {word} gets an answer, not a crash.",
            )


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
        value = by_use(scene.file, culprit)
        if not value:
            return
        yield scene.draft(
            replace_expression(culprit, f"__expr__ or {value}"),
            title=f"use {value} when `{scene.text(culprit)}` is None",
            weight=0.9 if value != "0" else 0.6,
        )


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
            value = known or by_use(scene.file, culprit)
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
        value = known or by_use(scene.file, node)
        if value:
            yield scene.draft(
                replace_expression(node, f"{container}.get({key}, {value})"),
                title=f"use {value} where `{container}` has no {key}",
                weight=1.3 if known else 1.0,
            )
        parent = scene.file.parent(node)
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


class RefuseMissingKey(Rule):
    """Refuses input that lacks a required key, with the project's own error."""

    name = "refuse_missing_key"
    strategy = "error_handling"
    examples = (
        Example(
            before="""
                class BadInput(Exception):
                    status = 400


                def f():
                    payload = {}
                    return payload['name'].strip()
                """,
            after="""
                class BadInput(Exception):
                    status = 400


                def f():
                    payload = {}
                    if 'name' not in payload:
                        raise BadInput("name is missing")
                    return payload['name'].strip()
                """,
        ),
        Example(
            before="""
                def f():
                    payload = {}
                    return payload['name']
                """
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if scene.exception != "KeyError" or not isinstance(node, ast.Subscript):
            return
        site = guard_site(scene, node.value)
        if site is None or site.binding:
            return
        key = scene.text(node.slice)
        constant = isinstance(node.slice, ast.Constant)
        word = str(node.slice.value) if isinstance(node.slice, ast.Constant) else key
        statuses = (400, 422, 404) if constant else (404, 400, 422)
        message = f"{word} is missing" if constant else f"unknown {word.replace('_', ' ')}"
        for refusal in refusals(
            scene.conventions, scene.file, scene.function, statuses, message, (word,)
        ):
            lines = "".join(f"    {line}\n" for line in refusal.code.splitlines())
            guard = f"if {key} not in {site.name}:\n{lines}"
            yield scene.draft(
                insert_before(site.anchor, guard),
                *refusal.imports,
                title=f"{refusal.title} when {key} is missing",
                weight=refusal.weight,
            )


class OptionalChain(Rule):
    """Carries the None on in place: `a.b if a is not None else None`, where that is allowed."""

    name = "optional_chain"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(user=None):
                    return {'city': user.city}
                """,
            after="""
                def f(user=None):
                    return {'city': user.city if user is not None else None}
                """,
        ),
        Example(
            before="""
                def f(user=None):
                    return user.city + 1
                """
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        culprit = guarded(scene)
        if culprit is None:
            return
        whole: ast.AST = scene.node
        while True:
            parent = scene.file.parent(whole)
            chained = isinstance(parent, ast.Attribute) or (
                isinstance(parent, ast.Call | ast.Subscript)
                and (
                    getattr(parent, "func", None) is whole
                    or getattr(parent, "value", None) is whole
                )
            )
            if not chained or parent is None:
                break
            whole = parent
        if not isinstance(whole, ast.expr) or whole is culprit:
            return
        text = scene.text(culprit)
        carried = isinstance(
            parent, ast.Dict | ast.Assign | ast.Return | ast.keyword | ast.FormattedValue
        )
        if not carried or not is_stable(culprit):
            return
        yield scene.draft(
            replace_expression(whole, f"__expr__ if {text} is not None else None"),
            title=f"None in place of `{scene.text(whole)}` when `{text}` is None",
            weight=0.8,
        )


RULES: tuple[Rule, ...] = (
    RefuseRequest(),
    ReturnEarly(),
    SkipInLoop(),
    DefaultAtLookup(),
    UseDefault(),
    TolerateMissingKey(),
    RefuseMissingKey(),
    OptionalChain(),
)
