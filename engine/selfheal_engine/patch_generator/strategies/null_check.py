"""A None (or a missing key) goes where it must not: guard it, answer it, default it.

The right place is often not the crash: the project's own answer in the handler, the default at
the lookup and the early return all compete, and the evidence decides.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import parameters
from selfheal_engine.diagnosis.source_file import Function, SourceFile, Span, span_of
from selfheal_engine.patch_generator.answers import import_own, refusals
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
        whole = chain_of(scene, scene.node)
        parent = scene.file.parent(whole)
        if not isinstance(whole, ast.expr) or whole is culprit:
            return
        known = _same_choice(scene, whole)
        if known:
            yield scene.draft(
                replace_expression(whole, known),
                title=f"`{known}`, as the project writes it elsewhere",
                weight=1.9,
            )
        carried = isinstance(
            parent, ast.Dict | ast.Assign | ast.Return | ast.keyword | ast.FormattedValue
        )
        site = guard_site(scene, culprit)
        if not carried or (not is_stable(culprit) and site is None):
            return
        text = scene.text(culprit) if site is None else site.name
        edits = [replace_expression(whole, f"__expr__ if {text} is not None else None")]
        if site is not None and site.binding:
            edits += [insert_before(site.anchor, site.binding), *site.edits]
        in_record = isinstance(parent, ast.Dict | ast.keyword)
        yield scene.draft(
            *edits,
            title=f"None in place of `{scene.text(whole)}` when `{text}` is None",
            weight=1.35 if in_record else 0.9,
        )


def chain_of(scene: Scene, node: ast.AST) -> ast.AST:
    """The whole chain of attributes, keys and calls that goes on from a node."""
    whole = node
    while True:
        parent = scene.file.parent(whole)
        goes_on = isinstance(parent, ast.Attribute) or (
            isinstance(parent, ast.Call | ast.Subscript)
            and whole in (getattr(parent, "func", None), getattr(parent, "value", None))
        )
        if not goes_on or parent is None:
            return whole
        whole = parent


def _same_choice(scene: Scene, whole: ast.expr) -> str:
    """How the project already writes `whole if … else …` in another place."""
    text = scene.text(whole)
    for file in [scene.file, *scene.sources.all()]:
        if text not in file.text:
            continue
        for node in ast.walk(file.tree):
            if isinstance(node, ast.IfExp) and file.segment(node.body) == text:
                return file.segment(node)
    return ""


class UseHelper(Rule):
    """Uses the project's own function that reads such a value and knows what to do without it."""

    name = "use_helper"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                import re


                def word(pattern, text, default=''):
                    found = re.search(pattern, text)
                    return found.group() if found is not None else default


                def f(text='12'):
                    return re.search('[a-z]+', text).group()
                """,
            after="""
                import re


                def word(pattern, text, default=''):
                    found = re.search(pattern, text)
                    return found.group() if found is not None else default


                def f(text='12'):
                    return word('[a-z]+', text)
                """,
        ),
        Example(
            before="""
                import re


                def f(text='12'):
                    return re.search('[a-z]+', text).group()
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        culprit = guarded(scene)
        if not isinstance(culprit, ast.Call) or not isinstance(culprit.func, ast.Attribute):
            return
        whole = chain_of(scene, scene.node)
        if not isinstance(whole, ast.expr):
            return
        ours = {"": scene.text(culprit.func.value)}
        ours |= {str(i): scene.text(a) for i, a in enumerate(culprit.args)}
        for file in [scene.file, *(f for f in scene.sources.all() if f is not scene.file)]:
            for function in file.functions.values():
                call = _helped(file, function, culprit.func.attr)
                if call is None or function is scene.function:
                    continue
                arguments = _matched(file, function, call, ours, len(culprit.args))
                if arguments is None:
                    continue
                need = import_own(scene.file, file, function.name, scene.conventions)
                yield scene.draft(
                    replace_expression(whole, f"{function.name}({', '.join(arguments)})"),
                    *([need] if need is not None else []),
                    title=f"use `{function.name}`, which copes with what is missing",
                    weight=1.9,
                )


def _helped(file: SourceFile, function: Function, method: str) -> ast.Call | None:
    """The call of `method` in a helper that looks whether it found something."""
    if file.class_of(function) is not None or file.function_of(function) is not None:
        return None
    checks = any(
        isinstance(n, ast.Compare) and isinstance(n.ops[0], ast.Is | ast.IsNot)
        for n in ast.walk(function)
    ) or any(isinstance(n, ast.IfExp | ast.If) for n in ast.walk(function))
    if not checks or len(function.body) > 4:
        return None
    calls = [n for n in ast.walk(function) if isinstance(n, ast.Call)]
    named = (c for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr == method)
    return next(named, None)


def _matched(
    file: SourceFile, function: Function, call: ast.Call, ours: dict[str, str], count: int
) -> list[str] | None:
    """The helper's arguments in terms of our call; None where one cannot be told."""
    assert isinstance(call.func, ast.Attribute)
    theirs = {file.segment(call.func.value): ours[""]}
    theirs |= {file.segment(a): ours.get(str(i), "") for i, a in enumerate(call.args)}
    if len(call.args) != count:
        return None
    names = parameters(function)
    owner = file.segment(call.func.value)
    if owner not in names and owner != ours[""]:
        return None
    required = len(function.args.args) - len(function.args.defaults)
    found = [theirs.get(name, "") for name in names[:required]]
    return found if found and all(found) else None


RULES: tuple[Rule, ...] = (
    RefuseRequest(),
    ReturnEarly(),
    SkipInLoop(),
    DefaultAtLookup(),
    UseDefault(),
    TolerateMissingKey(),
    RefuseMissingKey(),
    OptionalChain(),
    UseHelper(),
)
