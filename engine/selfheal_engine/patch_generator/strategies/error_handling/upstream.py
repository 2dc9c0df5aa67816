"""An upstream that fails: tried again, answered, or done without."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.patch_generator.answers import refusals
from selfheal_engine.patch_generator.edits import (
    BODY,
    add_import,
    replace_statements,
)
from selfheal_engine.patch_generator.exceptions import caught
from selfheal_engine.patch_generator.logging_lines import log_line
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import anchor_of, in_loop
from selfheal_engine.patch_generator.strategies.error_handling.wrapping import (
    STRATEGY,
    is_foreign,
    is_upstream,
    too_wide,
    wrapped,
)


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


AIOHTTP = """\
class ClientError(Exception):
    pass


class ContentTypeError(ClientError):
    pass


def fetch(city):
    raise ContentTypeError(city)
"""
"""Stands for the library in an example."""


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
                import aiohttp
                from aiohttp import web


                def f(request='a'):
                    data = aiohttp.fetch(request)
                    return web.Response(data)
                """,
            after="""
                import aiohttp
                from aiohttp import ContentTypeError, web


                def f(request='a'):
                    try:
                        data = aiohttp.fetch(request)
                    except ContentTypeError as error:
                        raise web.HTTPServiceUnavailable(text="fetch is not available") from error
                    return web.Response(data)
                """,
            others=(("aiohttp/__init__.py", AIOHTTP), ("aiohttp/web.py", "Response = dict\n")),
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
        if anchor is None or too_wide(scene, anchor):
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
                    replace_statements([anchor], wrapped(code, error.text, name)),
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
        if error is None or anchor is None or too_wide(scene, anchor):
            return
        node = scene.node.value if isinstance(scene.node, ast.Await) else scene.node
        called = called_name(node) if isinstance(node, ast.Call) else ""
        text = f"{called} failed, going on without it" if called else "going on without what failed"
        line, imports = log_line(scene, text)
        line = f"{line[:-1]}, exc_info=True)"
        values = [v for v in scene.conventions.nothing_value(scene.file, scene.function) if v]
        if isinstance(anchor, ast.Return) or not _binds_later(scene, anchor):
            for rank, value in enumerate(values[:2]):
                yield scene.draft(
                    replace_statements([anchor], wrapped(f"{line}\nreturn {value}", error.text)),
                    *error.imports,
                    *imports,
                    title=f"log and return {value} when `{called or scene.exception}` fails",
                    weight=0.85 - 0.1 * rank,
                )
        if isinstance(anchor, ast.Assign) and len(anchor.targets) == 1:
            default = _default_near(scene, anchor)
            if default:
                target = scene.text(anchor.targets[0])
                yield scene.draft(
                    replace_statements(
                        [anchor], wrapped(f"{line}\n{target} = {default}", error.text)
                    ),
                    *error.imports,
                    *imports,
                    title=f"use {default} for `{target}` when `{called or scene.exception}` fails",
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
