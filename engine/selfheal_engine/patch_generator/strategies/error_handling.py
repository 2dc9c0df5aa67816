"""An error that belongs to the world, not to the code: bad input, a flaky upstream, a bad item.

Only the exception that was seen is caught, around the statement that raised it, and something
is done with it: the project's own answer or error, a bounded retry, a logged skip. Nothing is
swallowed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.bug_types import UPSTREAM
from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.diagnosis.source_file import Function
from selfheal_engine.patch_generator.answers import refusals
from selfheal_engine.patch_generator.edits import (
    BODY,
    add_import,
    indented,
    replace_statements,
)
from selfheal_engine.patch_generator.exceptions import caught
from selfheal_engine.patch_generator.logging_lines import log_line
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import anchor_of, in_loop

STRATEGY = "error_handling"
_PROGRAMMING = frozenset(
    {
        "NameError",
        "UnboundLocalError",
        "AttributeError",
        "AssertionError",
        "SyntaxError",
        "ImportError",
        "ModuleNotFoundError",
        "IndentationError",
        "RecursionError",
        "NotImplementedError",
        "MemoryError",
        "SystemError",
        "RuntimeError",
        "StopIteration",
        "ZeroDivisionError",
        "IndexError",
    }
)
"""Exceptions that say the code is wrong: catching them hides the bug."""


def is_foreign(scene: Scene) -> bool:
    """Whether the exception speaks of input or of the world rather than of a slip in the code."""
    if scene.exception in _PROGRAMMING or scene.failure.is_none:
        return False
    return not (scene.exception == "TypeError" and scene.occurrence.kind != "thread_death")


def is_upstream(scene: Scene) -> bool:
    return scene.exception in UPSTREAM and scene.exception not in ("Error",)


def _wrapped(handler: str, error: str, name: str = "", rest: str = "") -> str:
    clause = f"except {error} as {name}:" if name else f"except {error}:"
    return f"try:\n    {BODY}\n{clause}\n{indented(handler.rstrip())}\n{rest}"


def _binds_later(scene: Scene, statement: ast.stmt) -> bool:
    """Whether names that the statement binds are read after it."""
    bound = {
        n.id
        for n in ast.walk(statement)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    root: ast.AST = scene.function or scene.file.tree
    return any(
        isinstance(n, ast.Name) and n.id in bound and n.lineno > (statement.end_lineno or 0)
        for n in ast.walk(root)
    )


class RefuseBadInput(Rule):
    """Answers input that cannot be converted with the project's own 4xx, not with a crash."""

    name = "refuse_bad_input"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                class BadRequest(Exception):
                    status = 400


                def f(page='x'):
                    number = int(page)
                    return number
                """,
            after="""
                class BadRequest(Exception):
                    status = 400


                def f(page='x'):
                    try:
                        number = int(page)
                    except ValueError as error:
                        raise BadRequest("page is not valid") from error
                    return number
                """,
        ),
        Example(
            before="""
                def f(page='x'):
                    return int(page)
                """
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if not is_foreign(scene) or is_upstream(scene) or scene.exception == "KeyError":
            return
        error = caught(scene)
        anchor = anchor_of(scene.file, scene.statement)
        if error is None or anchor is None or _too_wide(scene, anchor):
            return
        word = _input_word(scene)
        statuses = (400, 422)
        for refusal in refusals(
            scene.conventions, scene.file, scene.function, statuses, f"{word} is not valid", (word,)
        ):
            code, name = refusal.code, ""
            if code.startswith("raise ") and "\n" not in code:
                code, name = f"{code} from error", "error"
            yield scene.draft(
                replace_statements([anchor], _wrapped(code, error.text, name)),
                *error.imports,
                *refusal.imports,
                title=f"{refusal.title} when {word} cannot be read",
                weight=refusal.weight,
                explanation="Bad input is the sender's error: it gets the answer that others get.",
            )


def _too_wide(scene: Scene, anchor: ast.stmt) -> bool:
    """A loop or a whole `with` around the failing line is more than one may catch for."""
    return isinstance(anchor, ast.For | ast.AsyncFor | ast.While | ast.With | ast.If) and (
        (anchor.end_lineno or 0) - anchor.lineno > 6
    )


def _input_word(scene: Scene) -> str:
    """What the failing call converts, in the client's words."""
    node = scene.node
    for argument in node.args if isinstance(node, ast.Call) else []:
        for part in ast.walk(argument):
            word = part.value if isinstance(part, ast.Constant) else None
            if isinstance(word, str) and word.isidentifier():
                return word
        if isinstance(argument, ast.Name | ast.Attribute):
            text = scene.text(argument).rpartition(".")[2]
            return text.strip("_").replace("_", " ")
    target = scene.statement.targets[0] if isinstance(scene.statement, ast.Assign) else None
    return target.id.replace("_", " ") if isinstance(target, ast.Name) else "the request"


class SkipBadItem(Rule):
    """Logs an item that cannot be processed and goes on with the next: one must not end all."""

    name = "skip_bad_item"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                import logging

                log = logging.getLogger(__name__)


                def f():
                    total = 0
                    for row in ['1', 'x', '2']:
                        total += int(row)
                    return total
                """,
            after="""
                import logging

                log = logging.getLogger(__name__)


                def f():
                    total = 0
                    for row in ['1', 'x', '2']:
                        try:
                            total += int(row)
                        except ValueError:
                            log.warning("skipped row %r, which cannot be read", row, exc_info=True)
                    return total
                """,
        ),
        Example(
            before="""
                def f(row='x'):
                    return int(row)
                """
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        thread = scene.occurrence.kind == "thread_death"
        if scene.exception in ("SystemExit", "MemoryError"):
            return
        if not is_foreign(scene) and not thread:
            return
        loop, body = _loop_around(scene)
        error = caught(scene)
        if loop is None or not body or error is None:
            return
        item = _item_of(loop)
        text, values = "skipped an item that cannot be read", tuple[str, ...]()
        if item:
            text, values = f"skipped {item} %r, which cannot be read", (item,)
        warning, imports = log_line(scene, text, values)
        with_trace = f"{warning[:-1]}, exc_info=True)"
        what = item or "an item"
        yield scene.draft(
            replace_statements(body, _wrapped(with_trace, error.text)),
            *error.imports,
            *imports,
            title=f"log and skip {what} when it raises {scene.exception}",
            weight=1.5 if thread else 1.1,
            explanation="The other items are still processed, and the log says which was not.",
        )
        if thread:
            exception, imports = log_line(scene, text, values, "exception")
            yield scene.draft(
                replace_statements(body, _wrapped(exception, "Exception")),
                *imports,
                title=f"log and skip {what} when it fails, so that the worker lives on",
                weight=1.1,
                risk="medium",
                explanation="A worker's loop is the one place where a broad except is right.",
            )


def _item_of(loop: ast.For | ast.AsyncFor | ast.While) -> str:
    if isinstance(loop, ast.While):
        return _taken(loop)
    return loop.target.id if isinstance(loop.target, ast.Name) else ""


def _loop_around(scene: Scene) -> tuple[ast.For | ast.AsyncFor | ast.While | None, list[ast.stmt]]:
    """The loop that holds the failing statement, and the run of its body that may be guarded.

    The run starts at the failing statement and ends before what acknowledges the item
    (`task_done`, `ack`, `commit`), which has to happen for a bad item too.
    """
    current: ast.AST = scene.statement
    for outer in scene.file.ancestors(scene.statement):
        if isinstance(outer, Function):
            return None, []
        if isinstance(outer, ast.For | ast.AsyncFor | ast.While):
            if current not in outer.body:
                return None, []
            assert isinstance(current, ast.stmt)
            first = outer.body.index(current)
            last = len(outer.body)
            while last - 1 > first and _acknowledges(outer.body[last - 1]):
                last -= 1
            return outer, outer.body[first:last]
        current = outer
    return None, []


def _acknowledges(statement: ast.stmt) -> bool:
    call = statement.value if isinstance(statement, ast.Expr) else None
    call = call.value if isinstance(call, ast.Await) else call
    return isinstance(call, ast.Call) and called_name(call) in (
        "task_done",
        "ack",
        "commit",
        "sleep",
        "release",
        "done",
        "acknowledge",
    )


_TAKES = ("get", "get_nowait", "pop", "popleft", "receive", "recv", "blpop", "next")


def _taken(loop: ast.stmt) -> str:
    """The name that a worker's loop gives to the item it takes from its queue."""
    for node in ast.walk(loop):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value = node.value.value if isinstance(node.value, ast.Await) else node.value
            if isinstance(value, ast.Call) and called_name(value) in _TAKES:
                return node.targets[0].id
    return ""


class Retry(Rule):
    """Tries an idempotent upstream call again, a bounded number of times with back-off."""

    name = "retry"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def fetch(url):
                    raise ConnectionResetError(104)


                def f():
                    return fetch('a')
                """,
            after="""
                import time


                def fetch(url):
                    raise ConnectionResetError(104)


                def f():
                    for attempt in range(3):
                        try:
                            return fetch('a')
                        except ConnectionResetError:
                            if attempt == 2:
                                raise
                            time.sleep(0.1 * 2**attempt)
                """,
        ),
        Example(
            before="""
                def charge(card):
                    raise ConnectionResetError(104)


                def f():
                    return charge('a')
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if not is_upstream(scene) or scene.function is None:
            return
        node = scene.node.value if isinstance(scene.node, ast.Await) else scene.node
        if not isinstance(node, ast.Call) or not _idempotent(node):
            return
        error = caught(scene)
        anchor = anchor_of(scene.file, scene.statement)
        if error is None or anchor is not scene.statement or in_loop(scene.file, anchor):
            return
        returns = isinstance(anchor, ast.Return)
        leave = "" if returns else "\n        break"
        asynchronous = isinstance(scene.function, ast.AsyncFunctionDef)
        sleep = "await asyncio.sleep" if asynchronous else "time.sleep"
        code = (
            f"for attempt in range(3):\n    try:\n        {BODY}{leave}\n    except {error.text}:\n"
            f"        if attempt == 2:\n            raise\n        {sleep}(0.1 * 2**attempt)\n"
        )
        yield scene.draft(
            replace_statements([anchor], code),
            *error.imports,
            add_import("import asyncio" if asynchronous else "import time"),
            title=f"try `{called_name(node)}` up to three times on {scene.exception}",
            weight=0.9,
            explanation="The call only reads, so asking again is safe; it gives up after 0.3 s.",
            risk="medium",
        )


_READS = (
    "get",
    "fetch",
    "load",
    "read",
    "query",
    "lookup",
    "find",
    "head",
    "list",
    "select",
    "search",
    "download",
    "connect",
    "urlopen",
    "resolve",
    "ping",
    "status",
)


def _idempotent(call: ast.Call) -> bool:
    """By name: a call that only reads may be sent again, one that writes may not."""
    words = called_name(call).lower().strip("_").split("_")
    return any(word in _READS for word in words) and "post" not in words


class RaiseOwnError(Rule):
    """Says in the project's own words that the upstream failed: its error or its 502/503 answer."""

    name = "raise_own_error"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                class Unavailable(Exception):
                    status = 503


                def fetch():
                    raise ConnectionRefusedError(111)


                def f():
                    return fetch()
                """,
            after="""
                class Unavailable(Exception):
                    status = 503


                def fetch():
                    raise ConnectionRefusedError(111)


                def f():
                    try:
                        return fetch()
                    except ConnectionRefusedError as error:
                        raise Unavailable("fetch is not available") from error
                """,
        ),
        Example(
            before="""
                class Unavailable(Exception):
                    status = 503


                def f():
                    return [1, 2].index(3)
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if not is_upstream(scene):
            return
        anchor = anchor_of(scene.file, scene.statement)
        if anchor is None or _too_wide(scene, anchor):
            return
        node = scene.node.value if isinstance(scene.node, ast.Await) else scene.node
        word = called_name(node) if isinstance(node, ast.Call) else "upstream"
        statuses = (504, 503, 502) if "time" in scene.exception.lower() else (503, 502, 504)
        for family in (True, False):
            error = caught(scene, family)
            if error is None:
                continue
            for refusal in refusals(
                scene.conventions,
                scene.file,
                scene.function,
                statuses,
                f"{word.replace('_', ' ')} is not available",
                ("upstream", "unavailable", "gateway"),
            ):
                code, name = refusal.code, ""
                if code.startswith("raise ") and "\n" not in code:
                    code, name = f"{code} from error", "error"
                yield scene.draft(
                    replace_statements([anchor], _wrapped(code, error.text, name)),
                    *error.imports,
                    *refusal.imports,
                    title=f"{refusal.title} when `{word}` fails",
                    weight=refusal.weight - (0.05 if not family else 0.0),
                )


class FallBack(Rule):
    """Goes on with the neutral or last known value, and logs that it did."""

    name = "fall_back"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                import logging

                log = logging.getLogger(__name__)


                def fetch():
                    raise ConnectionRefusedError(111)


                def f(on=True):
                    if not on:
                        return []
                    return fetch()
                """,
            after="""
                import logging

                log = logging.getLogger(__name__)


                def fetch():
                    raise ConnectionRefusedError(111)


                def f(on=True):
                    if not on:
                        return []
                    try:
                        return fetch()
                    except ConnectionRefusedError:
                        log.warning("fetch failed, going on without it", exc_info=True)
                        return []
                """,
        ),
        Example(
            before="""
                def f():
                    return undefined_name
                """
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if not is_foreign(scene) or scene.function is None or scene.depth > 1:
            return
        error = caught(scene, family=is_upstream(scene))
        anchor = anchor_of(scene.file, scene.statement)
        if error is None or anchor is None or _too_wide(scene, anchor):
            return
        node = scene.node.value if isinstance(scene.node, ast.Await) else scene.node
        word = called_name(node) if isinstance(node, ast.Call) else scene.exception
        line, imports = log_line(scene, f"{word} failed, going on without it")
        line = f"{line[:-1]}, exc_info=True)"
        values = [v for v in scene.conventions.nothing_value(scene.file, scene.function) if v]
        if isinstance(anchor, ast.Return) or not _binds_later(scene, anchor):
            for rank, value in enumerate(values[:2]):
                yield scene.draft(
                    replace_statements([anchor], _wrapped(f"{line}\nreturn {value}", error.text)),
                    *error.imports,
                    *imports,
                    title=f"log and return {value} when `{word}` fails",
                    weight=0.85 - 0.1 * rank,
                )
        if isinstance(anchor, ast.Assign) and len(anchor.targets) == 1:
            default = _default_near(scene, anchor)
            if default:
                target = scene.text(anchor.targets[0])
                yield scene.draft(
                    replace_statements(
                        [anchor], _wrapped(f"{line}\n{target} = {default}", error.text)
                    ),
                    *error.imports,
                    *imports,
                    title=f"use {default} for `{target}` when `{word}` fails",
                    weight=0.9,
                )


def _default_near(scene: Scene, anchor: ast.Assign) -> str:
    """A default that the code itself names: of a `.get(key, default)`, a constant DEFAULT_*."""
    for node in ast.walk(anchor.value):
        looks_up = isinstance(node, ast.Call) and called_name(node) in ("get", "getenv", "pop")
        if looks_up and isinstance(node, ast.Call) and len(node.args) == 2:
            return scene.text(node.args[1]).strip("'\"")
    target = anchor.targets[0]
    name = getattr(target, "id", getattr(target, "attr", "")).upper()
    for constant in scene.conventions.constants(scene.file):
        if name and name in constant and "DEFAULT" in constant:
            return constant
    return ""


RULES: tuple[Rule, ...] = (RefuseBadInput(), SkipBadItem(), Retry(), RaiseOwnError(), FallBack())
