"""Answers a missing value with the project's own refusal."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name, last_assignment
from selfheal_engine.patch_generator.answers import refusals
from selfheal_engine.patch_generator.edits import (
    insert_before,
    replace_statements,
)
from selfheal_engine.patch_generator.provenance import is_kept
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import called_per_item, guard_site
from selfheal_engine.patch_generator.strategies.null_check.guarded_value import STRATEGY, guarded


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
                        return {'error': 'no such user'}, 404
                    return {'city': user.city}
                """,
        ),
        Example(
            before="""
                import re

                CODE = re.compile('[A-Z]{2}-[0-9]+')


                class BadAddress(ValueError):
                    pass


                def zone(country):
                    if country != 'DE':
                        raise BadAddress('we do not ship there')
                    return 1


                def f(code='x'):
                    found = CODE.match(code)
                    return zone(found[0][:2])
                """,
            after="""
                import re

                CODE = re.compile('[A-Z]{2}-[0-9]+')


                class BadAddress(ValueError):
                    pass


                def zone(country):
                    if country != 'DE':
                        raise BadAddress('we do not ship there')
                    return 1


                def f(code='x'):
                    found = CODE.match(code)
                    if found is None:
                        raise BadAddress('code is not valid')
                    return zone(found[0][:2])
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
        fit = 0.55 if called_per_item(scene) else 1.0
        if not scene.depth and isinstance(culprit, ast.Subscript) and is_kept(scene, culprit):
            fit *= 0.6  # the service keeps it so: who asks for it is not at fault
        word, fits = _asked_for(scene, site.name)
        looked_up = any(step.kind in ("returned", "missing_key") for step in scene.origin)
        part = "." in site.name or "[" in site.name
        statuses = (404, 422, 400) if looked_up and not part and not fits else (422, 400, 404)
        message = f"{word} not found" if statuses[0] == 404 else f"{word} is missing"
        if fits:
            message = f"{word} is not valid"
        for refusal in refusals(
            scene.conventions, scene.file, scene.function, statuses, message, (word,)
        ):
            guard = f"if {site.when(f'{site.name} is None')}:\n" + "".join(
                f"    {line}\n" for line in refusal.code.splitlines()
            )
            yield scene.draft(
                replace_statements([site.anchor], site.before(guard)),
                *site.edits,
                *refusal.imports,
                title=f"{refusal.title} when `{site.name}` is None",
                weight=refusal.weight * fit,
                explanation=f"Who asks for what has no {word} gets an answer, not a crash.",
            )


_SAYS_NOTHING = frozenset({"found", "result", "row", "match", "matched", "res", "ret", "hit"})
_SAYS_NOTHING |= {"item", "obj", "value", "data", "record", "entry", "m", "r"}
_FITS = frozenset({"match", "fullmatch", "search"})


def _asked_for(scene: Scene, name: str) -> tuple[str, bool]:
    """(what to call the value in a message, whether a pattern was asked if it fits).

    Of `row = find(user_id)` and `found = CODE.match(code)` the argument says more than the name.
    """
    word = name.rpartition(".")[2].strip("_")
    given = last_assignment(scene.file, scene.function, name, scene.statement.lineno)
    call = given[1] if given is not None else None
    fits = isinstance(call, ast.Call) and called_name(call) in _FITS
    if isinstance(call, ast.Call) and (word in _SAYS_NOTHING or fits):
        names = [scene.text(a) for a in call.args if isinstance(a, ast.Name | ast.Attribute)]
        if names:
            word = names[-1].rpartition(".")[2].strip("_").removesuffix("_id")
    return word.replace("_", " "), fits


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
                class BadTemplate(Exception):
                    pass


                WAYS = {'upper': str.upper}


                def f(text='a', way='shout'):
                    if not text:
                        raise BadTemplate('no text')
                    return WAYS[way](text) if way else text
                """,
            after="""
                class BadTemplate(Exception):
                    pass


                WAYS = {'upper': str.upper}


                def f(text='a', way='shout'):
                    if not text:
                        raise BadTemplate('no text')
                    if way and way not in WAYS:
                        raise BadTemplate('unknown way')
                    return WAYS[way](text) if way else text
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
        ours = constant and not scene.depth and is_kept(scene, node.value)
        message = f"{word} is missing" if constant else f"unknown {word.replace('_', ' ')}"
        for refusal in refusals(
            scene.conventions, scene.file, scene.function, statuses, message, (word,)
        ):
            lines = "".join(f"    {line}\n" for line in refusal.code.splitlines())
            guard = f"if {site.when(f'{key} not in {site.name}')}:\n{lines}"
            yield scene.draft(
                insert_before(site.anchor, guard),
                *refusal.imports,
                title=f"{refusal.title} when {key} is missing",
                weight=refusal.weight * (0.5 if ours else 1.0),  # not what was sent lacks the key
            )
