"""What is not there, or is done already: the call says so with an exception, the code goes on.

The exception is an answer here (no such file, nothing in the queue, already removed), so it is
caught narrowly and turned into what the function promises for that case.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.patch_generator.contracts import promised
from selfheal_engine.patch_generator.edits import (
    BODY,
    EXPR,
    add_argument,
    replace_expression,
    replace_statements,
)
from selfheal_engine.patch_generator.exceptions import caught
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import anchor_of, fit_of_return
from selfheal_engine.patch_generator.strategies.error_handling.wrapping import (
    STRATEGY,
    UNREADABLE,
    is_slip,
    is_upstream,
    loses_output,
    too_wide,
    wrapped,
)

_ABSENT = frozenset(
    {
        "Empty",
        "FileNotFoundError",
        "LookupError",
        "NotFoundError",
        "StopIteration",
        "StopAsyncIteration",
        "ModuleNotFoundError",
        "PackageNotFoundError",
        "NoOptionError",
        "NoSectionError",
    }
)
"""Exceptions by whose names a call says that what was asked for is not there."""


class AnswerNothing(Rule):
    """Catches the narrow exception and returns what the docstring promises, or the empty value."""

    name = "answer_nothing"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(level='extreme'):
                    '''Place of the level, -1 when it is not known.'''
                    return ['low', 'high'].index(level)
                """,
            after="""
                def f(level='extreme'):
                    '''Place of the level, -1 when it is not known.'''
                    try:
                        return ['low', 'high'].index(level)
                    except ValueError:
                        return -1
                """,
        ),
        Example(
            before="""
                import json


                def f(path='missing.json'):
                    with open(path) as file:
                        return json.load(file)
                """,
            after="""
                import json


                def f(path='missing.json'):
                    try:
                        with open(path) as file:
                            return json.load(file)
                    except FileNotFoundError:
                        return {}
                """,
        ),
        Example(
            before="""
                import base64


                def f(cookie='abc'):
                    if cookie is None:
                        return None
                    session = base64.b64decode(cookie)
                    return session.decode()
                """,
            after="""
                import base64
                import binascii


                def f(cookie='abc'):
                    if cookie is None:
                        return None
                    try:
                        session = base64.b64decode(cookie)
                    except binascii.Error:
                        return None
                    return session.decode()
                """,
        ),
        Example(
            before="""
                def f(level='extreme'):
                    return ['low', 'high'].index(level)
                """,
        ),
        Example(
            before="""
                def f(name='a'):
                    '''Its length, 0 when there is none.'''
                    return nmae
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        function = scene.function
        if function is None or scene.failure.is_none or is_upstream(scene) or scene.depth > 1:
            return
        if scene.conventions.is_handler(scene.file, function):
            return
        if is_slip(scene.exception) or loses_output(scene):
            return
        error, anchor = caught(scene), anchor_of(scene.file, scene.statement)
        if error is None or anchor is None or too_wide(scene, anchor):
            return
        values = scene.conventions.nothing_value(scene.file, function)
        said = promised(function, next((v for v in values if v), ""))
        absent = scene.exception in _ABSENT
        qualified = scene.occurrence.exception
        unread = scene.exception in UNREADABLE or qualified == "binascii.Error"
        given_up = _given_up(scene) if unread else frozenset()
        if absent and not values and function.returns is None:
            values = [*scene.conventions.read_as(scene.file, function)[:1], "None"]
        for rank, value in enumerate(values[:2]):
            if value not in said and not absent and value not in given_up:
                continue
            weight = 1.7 if value in said else 0.9
            if scene.exception in ("IndexError", "ZeroDivisionError"):
                weight = 0.8  # a guard that asks first says more
            # an optional value that callers do not expect is told by their replay
            weight = 0.5 if absent and value == "None" and value not in said else weight
            weight *= fit_of_return(scene.file, anchor)
            yield scene.draft(
                replace_statements([anchor], wrapped(f"return {value}".rstrip(), error.text)),
                *error.imports,
                title=f"return {value or 'early'} on {scene.exception}",
                weight=weight - 0.15 * rank,
            )


def _given_up(scene: Scene) -> frozenset[str]:
    """What the function returns where it asks first and finds nothing to work with."""
    return frozenset(
        scene.text(exit_.value) if exit_.value is not None else ""
        for node in (scene.function.body if scene.function is not None else ())
        if isinstance(node, ast.If) and not node.orelse
        for exit_ in node.body[-1:]
        if isinstance(exit_, ast.Return)
    )


_ALREADY: dict[tuple[str, str], tuple[str, str]] = {
    ("mkdir", "FileExistsError"): ("pathlib", "exist_ok=True"),
    ("makedirs", "FileExistsError"): ("os", "exist_ok=True"),
    ("unlink", "FileNotFoundError"): ("pathlib", "missing_ok=True"),
    ("rmtree", "FileNotFoundError"): ("shutil", "ignore_errors=True"),
}
"""(called, exception): (module of the function, argument that makes it go on)."""


class DoneAlready(Rule):
    """Goes on where the folder is there, the file is gone or the item is removed already."""

    name = "done_already"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                import os


                def f(folder='.'):
                    os.mkdir(folder)
                    return folder
                """,
            after="""
                import os


                def f(folder='.'):
                    os.makedirs(folder, exist_ok=True)
                    return folder
                """,
        ),
        Example(
            before="""
                def f(names=('a', 'b')):
                    left = list(names)
                    left.remove('c')
                    return left
                """,
            after="""
                def f(names=('a', 'b')):
                    left = list(names)
                    if 'c' in left:
                        left.remove('c')
                    return left
                """,
        ),
        Example(
            before="""
                import os


                def f(path='no-such-file'):
                    os.remove(path)
                    return True
                """,
            after="""
                import os


                def f(path='no-such-file'):
                    try:
                        os.remove(path)
                    except FileNotFoundError:
                        return False
                    return True
                """,
        ),
        Example(
            before="""
                def f():
                    return open('no-such-file')
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node, statement = scene.node, scene.statement
        if not isinstance(node, ast.Call):
            return
        name = called_name(node)
        owner = scene.text(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        known = _ALREADY.get((name, scene.exception))
        if name == "mkdir" and known and owner == "os":
            arguments = ", ".join(scene.text(a) for a in (*node.args, *node.keywords))
            yield scene.draft(
                replace_expression(node, f"os.makedirs({arguments}, exist_ok=True)"),
                title="fine where the folder is there",
                weight=1.7,
            )
        elif known and (known[0] != "pathlib" or owner != "os"):
            yield scene.draft(add_argument(node, known[1]), title=known[1], weight=1.7)
        alone = isinstance(statement, ast.Expr) and statement.value is node
        if not alone:
            return
        if name == "remove" and "not in" in scene.message and owner and len(node.args) == 1:
            item = scene.text(node.args[0])
            yield scene.draft(
                replace_statements([statement], f"if {item} in {owner}:\n    {BODY}\n"),
                title=f"remove {item} only where it is in `{owner}`",
                weight=1.7,
            )
        if name in ("remove", "unlink", "rmdir") and scene.exception == "FileNotFoundError":
            yield from self._gone(scene, statement)

    @staticmethod
    def _gone(scene: Scene, statement: ast.stmt) -> Iterator[Draft]:
        block = scene.file.block_of(statement)
        after = block[block.index(statement) + 1 :]
        says = after and isinstance(after[0], ast.Return) and scene.text(after[0]) == "return True"
        if says:
            code = wrapped("return False", "FileNotFoundError")
            title, weight = "False where the file is gone already", 1.7
        else:
            code = wrapped("pass  # gone already, which is what was wanted", "FileNotFoundError")
            title, weight = "fine where the file is gone already", 1.4
        yield scene.draft(replace_statements([statement], code), title=title, weight=weight)


class TolerateText(Rule):
    """Lets text pass that its encoding or pattern does not hold: replaced, taken literally."""

    name = "tolerate_text"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(name='\u00e9'):
                    return name.encode('ascii')
                """,
            after="""
                def f(name='\u00e9'):
                    return name.encode('ascii', errors="replace")
                """,
        ),
        Example(
            before="""
                import re


                def f(text='a(b', pattern='a('):
                    return re.search(pattern, text)
                """,
            after="""
                import re


                def f(text='a(b', pattern='a('):
                    return re.search(re.escape(pattern), text)
                """,
        ),
        Example(
            before="""
                def f():
                    return int('x')
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if not isinstance(node, ast.Call):
            return
        name = called_name(node)
        said = len(node.args) > 1 or any(k.arg == "errors" for k in node.keywords)
        codes = name in ("encode", "decode", "read_text", "write_text") and not said
        if codes and scene.exception in ("UnicodeEncodeError", "UnicodeDecodeError"):
            yield scene.draft(
                add_argument(node, 'errors="replace"'),
                title="put a mark for letters that it does not know",
                weight=0.9,
            )
        if scene.occurrence.exception in ("re.error", "re.PatternError") and node.args:
            yield from _literally(scene, node)


def _literally(scene: Scene, node: ast.Call) -> Iterator[Draft]:
    pattern = node.args[0]
    plain = isinstance(node.func, ast.Attribute) and scene.text(node.func.value) == "re"
    if plain and isinstance(pattern, ast.Name | ast.Attribute | ast.Subscript | ast.Call):
        yield scene.draft(
            replace_expression(pattern, f"re.escape({EXPR})"),
            title="take the text literally, not as a pattern",
            weight=0.9,
        )
