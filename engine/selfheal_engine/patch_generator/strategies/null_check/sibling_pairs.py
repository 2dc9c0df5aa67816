"""What a handler answers where its helper found nothing: as a sibling pair does, else as others.

A pair is a helper that may give None and a handler that answers that: `cents = balance_of(id)`,
`if cents is None: return jsonify(error="no such account"), 404`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import definitions, none_returns, parameters
from selfheal_engine.diagnosis.source_file import SourceFile
from selfheal_engine.patch_generator.answers import can_be_said, module_names, refusals
from selfheal_engine.patch_generator.donors import in_its_words, message_of, reworded
from selfheal_engine.patch_generator.edits import Edit
from selfheal_engine.patch_generator.error_answers import Answer, answers_in
from selfheal_engine.patch_generator.rules import Scene
from selfheal_engine.patch_generator.strategies.null_check.guarded_value import guarded

_TAIL = re.compile(r"_(id|key|name|number|no|code|slug)$")
_SAYS_LITTLE = frozenset(
    {"code", "data", "found", "id", "index", "key", "match", "n", "name", "no", "number"}
    | {"r", "record", "result", "row", "value", "x"}
)
"""Names of variables that do not tell what was looked for."""


def answers_for_none(
    above: Scene, handed: list[str], word: str, raises: bool
) -> Iterator[tuple[str, tuple[Edit, ...], float]]:
    """(statements, imports, weight): first as a sibling handler answers the same None."""
    function = above.function
    message = f"{word} not found"
    for answer, theirs in sorted(_for_the_same(above), key=lambda pair: pair[1] != handed):
        known = module_names(answer.file) | set(parameters(function) if function else [])
        # one name may stand for keys of many things, unless the word says which
        same = handed == theirs and word in answer.text
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


def word_for(scene: Scene, names: list[str]) -> str:
    """What was not found: by the variable that holds it, what it was asked with, what gives it."""
    culprit = guarded(scene)
    stems = [culprit.id] if isinstance(culprit, ast.Name) else []
    stems += [_TAIL.sub("", name) for name in names]
    words = [stem.strip("_").lower() for stem in stems]
    telling = (word for word in words if word and word not in _SAYS_LITTLE)
    return next(telling, "item").replace("_", " ")


def _for_the_same(above: Scene) -> Iterator[tuple[Answer, list[str]]]:
    """(answer, arguments handed in) of handlers that answer a None of another helper."""
    file = above.file
    for other in file.functions.values():
        if other is above.function or not above.conventions.is_handler(file, other):
            continue
        for answer in answers_in(file, other):
            call = _asked_before(file, answer)
            if call is None or not can_be_said(answer, file, above.function):
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
