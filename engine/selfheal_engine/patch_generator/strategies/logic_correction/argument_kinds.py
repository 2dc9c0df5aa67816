"""Arguments of a type that the called function does not take, as its own words say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from selfheal_engine.diagnosis.origin import called_name, last_assignment, parameters
from selfheal_engine.patch_generator.answers import module_names
from selfheal_engine.patch_generator.edits import (
    EXPR,
    Edit,
    add_import,
    insert_before,
    replace_expression,
)
from selfheal_engine.patch_generator.kinds import (
    as_text_of,
    kind_of,
    number_of_text,
    written_beside,
)
from selfheal_engine.patch_generator.neutral_values import name_for
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import anchor_of, in_comprehension, names_in
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY

_SAID: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (wants, re.compile(words))
    for wants, words in (
        ("bytes", r"bytes-like object is required, not '?(?P<has>[\w.]+)"),
        ("bytes", r"expected (?:a )?bytes(?:-like object)?,? (?:got|not) '?(?P<has>[\w.]+)"),
        ("bytes", r"expected bytes or bytearray, but got '(?P<has>[\w.]+)'"),
        ("bytes", r"expected bytes, (?P<has>\w+) found"),
        ("bytes", r"first arg must be bytes or a tuple of bytes, not (?P<has>\w+)"),
        ("bytes", r"(?:Strings|Unicode-objects) must be encoded before hashing"),
        ("str", r"expected string or bytes-like object(?:, got '(?P<has>[\w.]+)')?"),
        ("str", r"must be (?:a )?str(?:ing)?(?: or None)?,? not '?(?P<has>[\w.]+)"),
        ("str", r"expected str(?:, bytes or os\.PathLike object)?,? (?:got|not) '?(?P<has>[\w.]+)"),
        ("str", r"first arg must be str or a tuple of str, not (?P<has>\w+)"),
        ("str", r"string argument expected, got '(?P<has>[\w.]+)'"),
        ("int", r"'(?P<has>[\w.]+)' object cannot be interpreted as an integer"),
        ("int", r"integer is required \(got type (?P<has>[\w.]+)\)"),
        ("int", r"must be (?:an )?int(?:eger)?, not '?(?P<has>[\w.]+)"),
        ("int", r"required argument is not an integer"),
        ("float", r"must be real number, not (?P<has>[\w.]+)"),
        ("float", r"unsupported type for timedelta (?P<name>\w+) component: (?P<has>[\w.]+)"),
        ("float", r"type (?P<has>[\w.]+) doesn't define __round__ method"),
        ("float", r"bad operand type for abs\(\): '(?P<has>[\w.]+)'"),
    )
)
_WITH_FRACTION = frozenset({"sleep", "wait", "settimeout", "fromtimestamp", "acquire", "result"})
"""Functions that take numbers with a fraction too, whatever they say of integers."""
_AT = re.compile(r"argument (\d+)\b")
_NAMED = re.compile(r"^(\w+): expected|(?:argument|parameter) '(\w+)'")
_NUMBERS = ("int", "float", "Decimal", "Fraction")
_AS_TEXT = (*_NUMBERS, "bool", "UUID", "PosixPath", "WindowsPath", "PurePosixPath", "IPv4Address")


@dataclass(frozen=True)
class _Mismatch:
    """What a function wants and what it was given, by its message."""

    wants: str
    has: str
    position: int | None = None
    name: str = ""


class FitArgument(Rule):
    """Hands a function what it says it takes: the argument of the other type is converted."""

    name = "fit_argument"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                import hashlib
                import hmac


                def f(settings={'key': 'k'}, body=b'x'):
                    return hmac.new(settings['key'], body, hashlib.sha256).hexdigest()
                """,
            after="""
                import hashlib
                import hmac


                def f(settings={'key': 'k'}, body=b'x'):
                    return hmac.new(settings['key'].encode(), body, hashlib.sha256).hexdigest()
                """,
        ),
        Example(
            before="""
                import hashlib
                import hmac

                KEYS = {'a': b'k-a', 'b': 'k-b'}


                def f(client='b', body=b'x'):
                    mac = hmac.new(KEYS[client], body, hashlib.sha256)
                    return mac.hexdigest()
                """,
            after="""
                import hashlib
                import hmac

                KEYS = {'a': b'k-a', 'b': 'k-b'}


                def f(client='b', body=b'x'):
                    key = KEYS[client]
                    if isinstance(key, str):
                        key = key.encode()
                    mac = hmac.new(key, body, hashlib.sha256)
                    return mac.hexdigest()
                """,
        ),
        Example(
            before="""
                import hashlib

                SALT = 'pepper'


                def f():
                    return hashlib.sha256(SALT).hexdigest()
                """,
            after="""
                import hashlib

                SALT = 'pepper'


                def f():
                    return hashlib.sha256(SALT.encode()).hexdigest()
                """,
        ),
        Example(
            before="""
                import re


                def f(row={'zip': 1010}):
                    return bool(re.match('[0-9]+', row['zip']))
                """,
            after="""
                import re


                def f(row={'zip': 1010}):
                    return bool(re.match('[0-9]+', str(row['zip'])))
                """,
        ),
        Example(
            before="""
                from datetime import timedelta


                def f(job={'hours': '3', 'name': 'x'}):
                    return timedelta(hours=job['hours'])
                """,
            after="""
                from datetime import timedelta


                def f(job={'hours': '3', 'name': 'x'}):
                    return timedelta(hours=int(job['hours']))
                """,
        ),
        Example(
            before="""
                import io
                from datetime import date


                def f(row={'day': date(2024, 1, 2)}):
                    io.StringIO().write(row['day'])
                """,
            after="""
                import io
                from datetime import date


                def f(row={'day': date(2024, 1, 2)}):
                    io.StringIO().write(row['day'].isoformat())
                """,
        ),
        Example(
            before="""
                def f(chunk=b'a;b'):
                    return chunk.split(';')
                """,
            after="""
                def f(chunk=b'a;b'):
                    return chunk.split(b';')
                """,
        ),
        Example(
            before="""
                import struct


                def f(size='12'):
                    return struct.pack('>I', size)
                """,
            after="""
                import struct


                def f(size='12'):
                    return struct.pack('>I', int(size))
                """,
        ),
        Example(
            before="""
                import time

                PAUSES = {'long': 'x'}


                def f(name='long'):
                    time.sleep(PAUSES[name])
                """,
        ),
        Example(
            before="""
                import hashlib


                def f(data=None):
                    return hashlib.sha1(data)
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node, said = scene.node, _mismatch(scene)
        if said is None or scene.depth or not isinstance(node, ast.Call):
            return  # a caller hands its own arguments to a function of ours
        for argument in _given(scene, node, said):
            if isinstance(argument, ast.BinOp) and isinstance(argument.op, ast.Div):
                continue  # whole divisions have a rule of their own
            form = _form(scene, argument, said)
            plain = isinstance(argument, ast.Constant) and scene.text(argument)[:1] in "\"'"
            if plain and said.wants == "bytes" and scene.text(argument).isascii():
                form = "b{}"  # written as bytes in the first place
            if form:
                yield from self._converted(scene, argument, form, said)
                return

    def _converted(
        self, scene: Scene, argument: ast.expr, form: str, said: _Mismatch
    ) -> Iterator[Draft]:
        imports = [add_import("import json")] if "json." in form else []
        text = scene.text(argument)
        others = {kind_of(scene, value) for value in written_beside(scene, argument)}
        if said.wants not in others:
            yield scene.draft(
                replace_expression(argument, form.format(text if form == "b{}" else EXPR)),
                *imports,
                title=f"`{form.format(text)}`: the function takes {said.wants}",
                weight=1.7,
            )
            yield from _where_read(scene, argument, form, imports)
        # a name is guarded by the rule for text and bytes; what is written or made is of one type
        if isinstance(argument, ast.Subscript | ast.Attribute):
            yield from _guarded(scene, argument, form, said, 1.8 if said.wants in others else 1.1)


def _mismatch(scene: Scene) -> _Mismatch | None:
    if scene.exception not in ("TypeError", "error") or scene.failure.is_none:
        return None
    for wants, words in _SAID:
        found = words.search(scene.message)
        if found is None:
            continue
        groups = found.groupdict()
        has = (groups.get("has") or "").rpartition(".")[2]
        if not has and wants in ("bytes", "int"):
            has = "str"
        if has == "NoneType":
            return None
        called = called_name(scene.node) if isinstance(scene.node, ast.Call) else ""
        fraction = wants == "int" and called in _WITH_FRACTION
        at, named = _AT.search(scene.message), _NAMED.search(scene.message)
        name = groups.get("name") or (named and (named[1] or named[2])) or ""
        return _Mismatch("float" if fraction else wants, has, int(at[1]) if at else None, name)
    return None


def _given(scene: Scene, call: ast.Call, said: _Mismatch) -> Iterator[ast.expr]:
    """The arguments that may be the one that is meant, likeliest first."""
    for keyword in call.keywords:
        if said.name and keyword.arg == said.name:
            yield keyword.value
            return
    places = [a for a in call.args if not isinstance(a, ast.Starred)]
    places += [keyword.value for keyword in call.keywords if keyword.arg is not None]
    if said.position is not None and 0 < said.position <= len(places):
        meant = places[said.position - 1]
        if kind_of(scene, meant) in ("", said.has):
            yield meant
    known = [(kind_of(scene, place), place) for place in places]
    yield from (place for kind, place in known if kind and kind == said.has)
    unknown = [place for kind, place in known if not kind and not isinstance(place, ast.Lambda)]
    # of one alone nothing has to be known
    yield from unknown if len(unknown) == 1 else ()


def _form(scene: Scene, argument: ast.expr, said: _Mismatch) -> str:
    """How the argument is written as what the function wants; "" where that has no sense."""
    has = said.has or kind_of(scene, argument)
    if said.wants == "bytes":
        if has in ("dict", "list"):
            return "json.dumps({}).encode()" if _knows(scene, "json") else ""
        return "{}.encode()" if has == "str" else "str({}).encode()" if has in _AS_TEXT else ""
    if said.wants == "str":
        if has in ("dict", "list"):
            return "json.dumps({})" if _knows(scene, "json") else ""
        written = as_text_of(scene, has)
        if written:
            return written
        return "str({})" if has in _AS_TEXT else ""
    return _number(scene, argument, said.wants, has)


def _number(scene: Scene, argument: ast.expr, wants: str, has: str) -> str:
    """Where a fraction is fine, a whole number stays one."""
    if has in _NUMBERS:
        return f"{wants}({{}})"
    return number_of_text(scene, argument, wants) if has == "str" else ""


def _knows(scene: Scene, module: str) -> bool:
    return module in module_names(scene.file)


def _where_read(
    scene: Scene, argument: ast.expr, form: str, imports: list[Edit]
) -> Iterator[Draft]:
    """A variable is converted where it is read, which helps its other uses too."""
    if not isinstance(argument, ast.Name):
        return
    found = last_assignment(scene.file, scene.function, argument.id, scene.statement.lineno)
    if found is None and argument.id not in _own_names(scene):
        found = last_assignment(scene.file, None, argument.id, len(scene.file.lines))
    if found is None or found[2] != "value" or isinstance(found[1], ast.Constant | ast.Name):
        return
    outside = isinstance(found[1], ast.Call) and called_name(found[1]) in _FROM_OUTSIDE
    yield scene.draft(
        replace_expression(found[1], form.format(EXPR)),
        *imports,
        title=f"`{argument.id}` is read as `{form.format(scene.text(found[1]))}`",
        weight=1.9 if outside and "encode" not in form else 1.3,
    )


_FROM_OUTSIDE = ("getenv", "get", "pop", "input")
"""Calls that read settings, which come as text."""


def _own_names(scene: Scene) -> list[str]:
    return parameters(scene.function) if scene.function is not None else []


def _guarded(
    scene: Scene, argument: ast.expr, form: str, said: _Mismatch, weight: float
) -> Iterator[Draft]:
    """Converted only where it is of the other type: some are as they should be."""
    has = said.has or kind_of(scene, argument)
    anchor = anchor_of(scene.file, scene.statement)
    if has not in ("str", "bytes") or anchor is not scene.statement:
        return
    if in_comprehension(scene.file, argument, scene.statement):
        return
    taken, name = names_in(scene.file, scene.function), said.name
    if not name or name in taken:
        name = name_for(argument, taken)
    text = scene.text(argument)
    guard = f"{name} = {text}\nif isinstance({name}, {has}):\n    {name} = {form.format(name)}"
    yield scene.draft(
        insert_before(anchor, guard),
        replace_expression(argument, name),
        title=f"take {has} for `{text}` as well as {said.wants}",
        weight=weight,
    )
