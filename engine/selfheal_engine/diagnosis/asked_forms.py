"""A table that is asked for a key in another form than its own keys have: "2" where it has 2.

`.get` answers with None then, which fails far from where the key was read.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from selfheal_engine.diagnosis.captured import evaluate, scope_of
from selfheal_engine.diagnosis.failure import Failure
from selfheal_engine.diagnosis.origin import (
    Step,
    argument_for,
    called_name,
    last_assignment,
    parameters,
)
from selfheal_engine.diagnosis.source_file import SourceFile
from selfheal_engine.model import Value

_FORMS = ("{}.lower()", "{}.upper()", "{}.strip()", "{}.strip().lower()", "{}.title()")


@dataclass(frozen=True)
class AskedForm:
    """The key of a look-up, and how to write it in the form of the table's keys."""

    file: SourceFile
    key: ast.expr
    form: str


def asked_form(failure: Failure | None, origin: Sequence[Step]) -> AskedForm | None:
    """Of a None whose origin is a look-up in a table that the module writes out."""
    step = origin[-1] if origin else None
    if failure is None or step is None or step.kind != "missing_key":
        return None
    call = step.node
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return None
    name = getattr(call.func.value, "id", "")
    found = last_assignment(step.file, None, name, len(step.file.lines))
    held = found[1] if found is not None else None
    value = _asked_for(failure, step.file, call.args[0])
    if not isinstance(held, ast.Dict) or value is None:
        return None
    keys = [key.value for key in held.keys if isinstance(key, ast.Constant)]
    form = ""
    if value.type_name == "str":
        numbers = [str(key) for key in keys if type(key) is int]
        texts = [key for key in keys if isinstance(key, str)]
        form = "int({})" if value.text in numbers else written_as(value.text, texts)
    elif value.type_name == "int" and value.text in keys:
        form = "str({})"
    return AskedForm(step.file, call.args[0], form) if form else None


def written_as(text: str, known: list[str]) -> str:
    """The form in which the text is one of the known ones; "" where it is not."""
    made = {
        "{}.lower()": text.lower(),
        "{}.upper()": text.upper(),
        "{}.strip()": text.strip(),
        "{}.strip().lower()": text.strip().lower(),
        "{}.title()": text.title(),
    }
    return next((form for form in _FORMS if made[form] != text and made[form] in known), "")


def _asked_for(failure: Failure, file: SourceFile, key: ast.expr) -> Value | None:
    """The captured value of a key, read in the function that failed or handed on by it."""
    scope = scope_of(failure.frame)
    asker = file.function_of(key)
    if asker is failure.function:
        return evaluate(key, scope)
    if asker is None or not isinstance(key, ast.Name) or key.id not in parameters(asker):
        return None
    for call in ast.walk(failure.statement):
        if isinstance(call, ast.Call) and called_name(call) == asker.name:
            argument = argument_for(call, asker, key.id)
            if argument is not None:
                return evaluate(argument, scope)
    return None
