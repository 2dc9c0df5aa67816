"""A helper finds nothing: it says so with None, as helpers do, and its handler answers that."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace

from selfheal_engine.diagnosis.failure import Failure, find_failure
from selfheal_engine.diagnosis.origin import (
    called_name,
    calls_on_line,
)
from selfheal_engine.diagnosis.source_file import Function
from selfheal_engine.patch_generator.answers import module_names
from selfheal_engine.patch_generator.edits import (
    Edit,
    add_argument,
    indented,
    insert_after,
    insert_before,
    replace_statements,
)
from selfheal_engine.patch_generator.neutral_values import name_for
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import called_per_item, guard_site, names_in, with_second
from selfheal_engine.patch_generator.strategies.null_check.guarded_value import STRATEGY, guarded
from selfheal_engine.patch_generator.strategies.null_check.sibling_pairs import (
    answers_for_none,
    word_for,
)


class AnswerInHandler(Rule):
    """Returns None from the helper that found nothing, and lets its handler answer that."""

    name = "answer_in_handler"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                ROWS = {}


                def route(path):
                    return lambda function: function


                def size_of(item_id):
                    row = ROWS.get(item_id)
                    if row is None:
                        return None
                    return row[0]


                def color_of(item_id):
                    row = ROWS.get(item_id)
                    return row[1]


                @route('/size')
                def size(item_id):
                    found = size_of(item_id)
                    if found is None:
                        return {'error': 'no such item'}, 404
                    return {'size': found}


                @route('/color')
                def f(item_id=3):
                    return {'color': color_of(item_id)}
                """,
            after="""
                ROWS = {}


                def route(path):
                    return lambda function: function


                def size_of(item_id):
                    row = ROWS.get(item_id)
                    if row is None:
                        return None
                    return row[0]


                def color_of(item_id):
                    row = ROWS.get(item_id)
                    if row is None:
                        return None
                    return row[1]


                @route('/size')
                def size(item_id):
                    found = size_of(item_id)
                    if found is None:
                        return {'error': 'no such item'}, 404
                    return {'size': found}


                @route('/color')
                def f(item_id=3):
                    color = color_of(item_id)
                    if color is None:
                        return {'error': 'no such item'}, 404
                    return {'color': color}
                """,
        ),
        Example(
            before="""
                ROWS = {}


                def color_of(item):
                    return ROWS[item]


                class Handler:
                    def reply(self, status, body):
                        return status

                    def do_GET(self, item='a'):
                        color = color_of(item)
                        return self.reply(200, color)

                    def do_PUT(self, item='a'):
                        if not item:
                            return self.reply(404, 'no such thing')


                def f():
                    return Handler().do_GET()
                """,
            after="""
                ROWS = {}


                def color_of(item):
                    if item not in ROWS:
                        return None
                    return ROWS[item]


                class Handler:
                    def reply(self, status, body):
                        return status

                    def do_GET(self, item='a'):
                        color = color_of(item)
                        if color is None:
                            return self.reply(404, 'no such item')
                        return self.reply(200, color)

                    def do_PUT(self, item='a'):
                        if not item:
                            return self.reply(404, 'no such thing')


                def f():
                    return Handler().do_GET()
                """,
        ),
        Example(
            before="""
                ROWS = []


                def route(path):
                    return lambda function: function


                def user_of(number):
                    return next(row for row in ROWS if row['id'] == number)


                @route('/color')
                def f(number=3):
                    if number < 0:
                        return {'error': 'unknown page'}, 404
                    return user_of(number)
                """,
            after="""
                ROWS = []


                def route(path):
                    return lambda function: function


                def user_of(number):
                    return next((row for row in ROWS if row['id'] == number), None)


                @route('/color')
                def f(number=3):
                    if number < 0:
                        return {'error': 'unknown page'}, 404
                    user = user_of(number)
                    if user is None:
                        return {'error': 'unknown user'}, 404
                    return user
                """,
        ),
        # nobody there answers requests
        Example(
            before="""
                ROWS = {}


                def color_of(item):
                    row = ROWS.get(item)
                    return row[1]


                def f(item='a'):
                    return {'color': color_of(item)}
                """,
        ),
        # its callers are promised a text
        Example(
            before="""
                ROWS = {}


                def route(path):
                    return lambda function: function


                def color_of(item) -> str:
                    row = ROWS.get(item)
                    return row[1]


                @route('/color')
                def f(item='a'):
                    if item == 'b':
                        return {'error': 'no such item'}, 404
                    return {'color': color_of(item)}
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        helper = scene.function
        above = _caller(scene)
        if helper is None or above is None or scene.depth or called_per_item(scene):
            return
        if scene.conventions.is_handler(scene.file, helper) or not _may_give_none(helper):
            return
        first = _none_for_nothing(scene)
        if first is None:
            return
        raises = bool(scene.conventions.raised_in(scene.file))
        for call in calls_on_line(above.file, above.frame, helper.name)[:1]:
            place = _guarded_result(above, call)
            if place is None:
                continue
            handed = [above.text(a) for a in call.args if isinstance(a, ast.Name)]
            word = word_for(scene, [*handed, place.name, helper.name])
            for code, imports, weight in answers_for_none(above, handed, word, raises):
                guard = f"if {place.name} is None:\n{indented(code)}\n"
                second = [place.with_guard(guard), *place.edits, *imports]
                yield _draft(scene, above, first, second, weight)


def _draft(
    scene: Scene, above: Scene, first: list[Edit], second: list[Edit], weight: float
) -> Draft:
    helper = scene.function
    named = helper.name if helper is not None else ""
    drafted = scene.draft(
        *first,
        title=f"`{named}` gives None for nothing, and its handler answers that",
        weight=weight,
        explanation="Who asks for what is not there gets an answer, not a crash.",
    )
    more = above.draft(*second, title="", weight=weight)
    return replace(drafted, edits=(*drafted.edits, *more.edits))


def _caller(scene: Scene) -> Scene | None:
    """The scene of the handler that called the failing function; None where none did."""
    own = scene.findings.own_frames
    if len(own) < 2:
        return None
    frame = own[-2]
    file = scene.sources.get(frame.file)
    failure: Failure | None = find_failure(file, frame, "", "") if file is not None else None
    if file is None or failure is None or failure.function is None:
        return None
    if not scene.conventions.is_handler(file, failure.function):
        return None
    return replace(scene, failure=failure, depth=1)


def _may_give_none(helper: Function) -> bool:
    if any(isinstance(node, ast.Yield | ast.YieldFrom) for node in ast.walk(helper)):
        return False
    if not any(isinstance(node, ast.Return) and node.value for node in ast.walk(helper)):
        return False
    said = ast.unparse(helper.returns) if helper.returns is not None else "None"
    return any(word in said for word in ("None", "Optional", "Any"))


def _none_for_nothing(scene: Scene) -> list[Edit] | None:
    """The edits by which the helper returns None where it now fails on what it did not find."""
    culprit, node = guarded(scene), scene.node
    if culprit is not None:
        if not any(step.kind in ("returned", "missing_key") for step in scene.origin):
            return None
        site = guard_site(scene, culprit)
        if site is None or site.loop:
            return None
        guard = site.before(f"if {site.name} is None:\n    return None")
        return [replace_statements([site.anchor], guard), *site.edits]
    returned = isinstance(scene.file.parent(node), ast.Return)
    if isinstance(node, ast.Call) and called_name(node) == "next" and len(node.args) == 1:
        alone = isinstance(node.args[0], ast.GeneratorExp)
        edit = with_second(scene, node, "None") if alone else add_argument(node, "None")
        return [edit] if returned else None
    if scene.exception != "KeyError" or not isinstance(node, ast.Subscript):
        return None
    if isinstance(node.slice, ast.Constant) or not isinstance(node.ctx, ast.Load):
        return None
    site = guard_site(scene, node.value)
    if site is None or site.binding or site.loop:
        return None
    guard = f"if {scene.text(node.slice)} not in {site.name}:\n    return None"
    return [insert_before(site.anchor, guard)]


@dataclass(frozen=True)
class Place:
    """Where the handler knows the helper's result by a name, and can ask what it is."""

    name: str
    statement: ast.stmt
    binding: str = ""
    edits: tuple[Edit, ...] = ()

    def with_guard(self, guard: str) -> Edit:
        if self.binding:
            return insert_before(self.statement, f"{self.binding}\n{guard}")
        return insert_after(self.statement, guard)


def _guarded_result(above: Scene, call: ast.Call) -> Place | None:
    statement = above.file.statement_of(call)
    if isinstance(statement, ast.Assign) and statement.value is call:
        target = statement.targets[0]
        return Place(target.id, statement) if isinstance(target, ast.Name) else None
    site = guard_site(above, call)
    if site is None or not site.binding or site.loop or site.anchor is not statement:
        return None
    wanted = _given_as(above, call)
    if not wanted and site.name not in module_names(above.file):
        return Place(site.name, site.anchor, site.binding, site.edits)
    if not wanted:  # the name of a function stays with it
        wanted = name_for(ast.Call(ast.Name("find"), [], []), names_in(above.file, above.function))
    edits = tuple(replace(edit, code=wanted) for edit in site.edits)
    return Place(wanted, site.anchor, f"{wanted} = {above.text(call)}", edits)


def _given_as(above: Scene, call: ast.Call) -> str:
    """The keyword or key under which the result is handed on, where it is free as a name."""
    parent, word = above.file.parent(call), ""
    if isinstance(parent, ast.keyword):
        word = parent.arg or ""
    elif isinstance(parent, ast.Dict):
        keys = {id(v): k for k, v in zip(parent.keys, parent.values, strict=True)}
        key = keys.get(id(call))
        word = str(key.value) if isinstance(key, ast.Constant) else ""
    taken = names_in(above.file, above.function) | module_names(above.file)
    return word if word.isidentifier() and word not in taken else ""
