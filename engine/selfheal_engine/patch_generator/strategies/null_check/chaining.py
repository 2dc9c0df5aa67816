"""Carries a missing value on in place, as the project does it elsewhere."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name, definitions, parameters
from selfheal_engine.diagnosis.source_file import Function, SourceFile
from selfheal_engine.patch_generator.answers import import_own
from selfheal_engine.patch_generator.edits import (
    Edit,
    insert_before,
    replace_expression,
)
from selfheal_engine.patch_generator.neutral_values import of_type
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import guard_site, is_stable
from selfheal_engine.patch_generator.strategies.null_check.guarded_value import STRATEGY, guarded


class OptionalChain(Rule):
    """Carries the None on in place: `a.b if a is not None else None`, where that is allowed."""

    name = "optional_chain"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                class User:
                    city: str


                def f(user=None):
                    return {'city': user.city}
                """,
            after="""
                class User:
                    city: str


                def f(user=None):
                    return {'city': user.city if user is not None else ""}
                """,
        ),
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
        bound: list[Edit] = []
        if site is not None and site.binding:
            bound = [insert_before(site.anchor, site.binding), *site.edits]
        edits = [replace_expression(whole, f"__expr__ if {text} is not None else None"), *bound]
        then = _then_optional(scene, whole)
        if then is not None:
            yield scene.draft(
                *edits,
                then,
                title=f"None in place of `{scene.text(whole)}`, and of what is made of it",
                weight=1.5,
            )
        in_record = isinstance(parent, ast.Dict | ast.keyword)
        yield scene.draft(
            *edits,
            title=f"None in place of `{scene.text(whole)}` when `{text}` is None",
            weight=1.35 if in_record else 0.9,
        )
        neutral = _neutral(scene, whole)
        if neutral:
            yield scene.draft(
                replace_expression(whole, f"__expr__ if {text} is not None else {neutral}"),
                *bound,
                title=f"{neutral} in place of `{scene.text(whole)}` when `{text}` is None",
                weight=1.1 if in_record else 0.8,
            )


_TEXT_MAKERS = frozenset(
    {"strip", "lower", "upper", "title", "capitalize", "strftime", "isoformat", "replace", "join"}
)


def _neutral(scene: Scene, whole: ast.expr) -> str:
    """The empty value of what the chain gives, where its last part says of what type that is."""
    if isinstance(whole, ast.Call):
        name = called_name(whole)
        if name in _TEXT_MAKERS:
            return of_type("str")
        kinds = {
            ast.unparse(function.returns)
            for _, function in definitions(scene.sources, scene.file, whole)
            if function.returns is not None
        }
    else:
        wanted = whole.attr if isinstance(whole, ast.Attribute) else ""
        kinds = {
            ast.unparse(node.annotation)
            for file in scene.sources.all()
            for owner in file.classes.values()
            for node in owner.body
            if isinstance(node, ast.AnnAssign) and file.segment(node.target) == wanted
        }
    return of_type(kinds.pop()) if len(kinds) == 1 else ""


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


def _then_optional(scene: Scene, whole: ast.expr) -> Edit | None:
    """The one later call that is given the variable now optional, made optional as well."""
    statement, function = scene.statement, scene.function
    if not isinstance(statement, ast.Assign) or statement.value is not whole or function is None:
        return None
    target = statement.targets[0]
    if not isinstance(target, ast.Name):
        return None
    uses = [
        n
        for n in ast.walk(function)
        if isinstance(n, ast.Name)
        and n.id == target.id
        and isinstance(n.ctx, ast.Load)
        and n.lineno > statement.lineno
    ]
    parent = scene.file.parent(uses[0]) if len(uses) == 1 else None
    if not isinstance(parent, ast.Call) or uses[0] not in parent.args:
        return None
    made = chain_of(scene, parent)
    if isinstance(scene.file.parent(made), ast.Expr) or not isinstance(made, ast.expr):
        return None
    return replace_expression(made, f"__expr__ if {target.id} is not None else None")


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
