"""A helper finds nothing: it says so with None, as helpers do, and its handler answers that."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace

from selfheal_engine.diagnosis.failure import Failure, find_failure
from selfheal_engine.diagnosis.origin import (
    calls_on_line,
    definitions,
    none_returns,
    parameters,
)
from selfheal_engine.diagnosis.source_file import Function, SourceFile
from selfheal_engine.patch_generator.answers import module_names, refusals
from selfheal_engine.patch_generator.donors import in_its_words, message_of, reworded
from selfheal_engine.patch_generator.edits import (
    Edit,
    indented,
    insert_after,
    insert_before,
    replace_statements,
)
from selfheal_engine.patch_generator.error_answers import Answer, answers_in
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import called_per_item, guard_site, names_in
from selfheal_engine.patch_generator.strategies.null_check.guarded_value import STRATEGY, guarded

_TAILS = ("_id", "_key", "_name", "_number", "_no", "_code", "_slug")


_SAYS_LITTLE = frozenset({"row", "found", "result", "record", "value", "match", "data", "r", "x"})


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
            word = _word(scene, [*handed, helper.name])
            for code, imports, weight in _answers(above, handed, word, raises):
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
    if not wanted:
        return Place(site.name, site.anchor, site.binding, site.edits)
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


def _answers(
    above: Scene, handed: list[str], word: str, raises: bool
) -> Iterator[tuple[str, tuple[Edit, ...], float]]:
    """(statements, imports, weight): first as a sibling handler answers the same None."""
    function = above.function
    message = f"{word} not found"
    for answer, theirs in sorted(_for_the_same(above), key=lambda pair: pair[1] != handed):
        known = module_names(answer.file) | set(parameters(function) if function else [])
        same = bool(handed) and handed == theirs
        said = None if same else in_its_words(message_of(answer), message, word)
        code = reworded(answer, said, known, known)
        if code is not None:
            yield code, (), 1.9
            return
    # where helpers raise what the handlers answer, this one should do so too
    weight = 0.6 if raises else 0.95
    for refusal in refusals(above.conventions, above.file, function, (404,), message, (word,)):
        yield refusal.code, refusal.imports, refusal.weight * weight
        return


def _word(scene: Scene, names: list[str]) -> str:
    """What was not found: by the variable that holds it, else by what it was asked for with."""
    culprit = guarded(scene)
    if isinstance(culprit, ast.Name) and culprit.id not in _SAYS_LITTLE:
        return culprit.id.strip("_").replace("_", " ")
    name = names[0]
    for tail in _TAILS:
        name = name.removesuffix(tail)
    return name.strip("_").replace("_", " ") or "item"


def _for_the_same(above: Scene) -> Iterator[tuple[Answer, list[str]]]:
    """(answer, arguments handed in) of handlers that answer a None of another helper."""
    file = above.file
    for other in file.functions.values():
        if other is above.function or not above.conventions.is_handler(file, other):
            continue
        for answer in answers_in(file, other):
            call = _asked_before(file, answer)
            if call is None:
                continue
            found = definitions(above.sources, file, call)
            if any(none_returns(where, function) for where, function in found):
                yield answer, [file.segment(a) for a in call.args]


def _asked_before(file: SourceFile, answer: Answer) -> ast.Call | None:
    """`find(key)` of `x = find(key)`, `if x is None: <answer>`."""
    choice = file.parent(answer.statement)
    if not isinstance(choice, ast.If) or answer.statement not in choice.body:
        return None
    test = choice.test
    if isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Is):
        test = test.left
    elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        test = test.operand
    else:
        return None
    block = file.block_of(choice)
    for before in reversed(block[: block.index(choice)]):
        made = before.value if isinstance(before, ast.Assign) else None
        if isinstance(before, ast.Assign) and isinstance(made, ast.Call):
            named = ast.unparse(before.targets[0]) == ast.unparse(test)
            return made if named else None
    return None
