"""Opens in a `with`, so that every way out closes."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.diagnosis.source_file import SourceFile
from selfheal_engine.patch_generator.edits import (
    BODY,
    Edit,
    add_import,
    indented,
    replace_expression,
    replace_statements,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.resource_cleanup.openings import (
    KINDS,
    STRATEGY,
    Opening,
    dedented,
    is_name,
    leak_like,
    leaves,
    nearness,
    openings,
    project_files,
    used_in,
)

CONTEXT_MANAGERS = frozenset(
    {
        "open",
        "fdopen",
        "urlopen",
        "Popen",
        "socket",
        "create_connection",
        "Session",
        "Client",
        "AsyncClient",
        "ClientSession",
        "ThreadPoolExecutor",
        "ProcessPoolExecutor",
        "ZipFile",
        "TarFile",
        "NamedTemporaryFile",
        "TemporaryFile",
        "TemporaryDirectory",
        "SpooledTemporaryFile",
        "scandir",
        "Pool",
        "SMTP",
        "SMTP_SSL",
        "FTP",
        "memoryview",
        "GzipFile",
        "BZ2File",
        "LZMAFile",
    }
)


CLOSABLE = frozenset({"connect", "cursor", "HTTPConnection", "HTTPSConnection", "mmap", "makefile"})
"""Have `close` but no `with` that closes: they need `contextlib.closing`."""


ASYNC = frozenset({"AsyncClient", "ClientSession"})


def _closing(opening: Opening) -> list[ast.Expr]:
    """`name.close()` statements of the function."""
    return [
        node
        for node in ast.walk(opening.function)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute)
        and node.value.func.attr in ("close", "shutdown", "terminate", "cleanup")
        and is_name(node.value.func.value, opening.name)
    ]


class OpenInWith(Rule):
    """Opens in a `with`, so that every way out closes."""

    name = "open_in_with"
    strategy = STRATEGY
    kinds = KINDS
    searches = True
    examples = (
        Example(
            before="""
                def f(path):
                    file = open(path)  # <- here
                    head = file.readline()
                    if not head:
                        return None
                    rest = file.read()
                    file.close()
                    return head + rest
                """,
            after="""
                def f(path):
                    with open(path) as file:  # <- here
                        head = file.readline()
                        if not head:
                            return None
                        rest = file.read()
                    return head + rest
                """,
            kind="resource",
        ),
        Example(
            before="""
                import sqlite3


                def f(path):
                    db = sqlite3.connect(path)  # <- here
                    rows = db.execute('select 1').fetchall()
                    return rows
                """,
            after="""
                import sqlite3
                from contextlib import closing


                def f(path):
                    with closing(sqlite3.connect(path)) as db:  # <- here
                        rows = db.execute('select 1').fetchall()
                    return rows
                """,
            kind="resource",
        ),
        Example(
            before="""
                def f(path):
                    file = open(path)  # <- here
                    return file
                """,
            kind="resource",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if not leak_like(scene) or scene.depth:
            return
        for file in project_files(scene):
            for opening in openings(file):
                draft = self._draft(scene, opening)
                if draft is not None:
                    yield draft

    def _draft(self, scene: Scene, opening: Opening) -> Draft | None:
        opener = opening.opener
        known = opener in CONTEXT_MANAGERS
        if not (known or opener in CLOSABLE) or not opening.rest or leaves(opening):
            return None
        closings = _closing(opening)
        if not known and opener == "connect" and not _is_database(opening):
            return None
        if any(isinstance(o, ast.Try) and _in_finally(o, closings) for o in opening.rest):
            return None
        used = used_in(opening.rest, opening.name)
        if not used:
            return None
        inside = opening.rest[:used]
        while inside and inside[-1] in closings:
            inside = inside[:-1]
        text = opening.file.segment(opening.statement.value)
        imports: list[Edit] = []
        if not known:
            text = f"closing({text})"
            imports.append(add_import("from contextlib import closing"))
        word = "async with" if opener in ASYNC else "with"
        trailing = _trailing(opening.file, opening.statement)
        header = f"{word} {text} as {opening.name}:{trailing}\n"
        edits: list[Edit] = []
        if not inside:
            return None
        span_statements = [opening.statement, *opening.rest[:used]]
        body = dedented(opening.file, inside)
        edits.append(replace_statements(span_statements, header + indented(body)))
        edits += [
            replace_statements([node], "")
            for node in closings
            if node not in span_statements and not _within(node, span_statements)
        ]
        return scene.draft(
            *edits,
            *imports,
            title=f"close `{opening.name}` on every way out of `{opening.function.name}`",
            weight=1.4 * nearness(scene, opening),
            file=opening.file,
        )


def _within(node: ast.stmt, statements: list[ast.stmt]) -> bool:
    return any(node in set(ast.walk(statement)) for statement in statements)


def _in_finally(node: ast.Try, closings: list[ast.Expr]) -> bool:
    return any(c in node.finalbody for c in closings)


def _is_database(opening: Opening) -> bool:
    text = opening.file.segment(opening.call.func)
    words = ("sqlite3", "psycopg", "pymysql", "MySQLdb", "db", "oracle")
    return any(word in text for word in words)


def _trailing(file: SourceFile, statement: ast.stmt) -> str:
    """The comment behind a statement, which its replacement keeps."""
    rest = file.lines[(statement.end_lineno or 1) - 1][statement.end_col_offset or 0 :].rstrip()
    return f"  {rest.strip()}" if rest.strip().startswith("#") else ""


class ReadInWith(Rule):
    """Gives a file that is opened only inside an expression a name and a `with`."""

    name = "read_in_with"
    strategy = STRATEGY
    kinds = KINDS
    searches = True
    examples = (
        Example(
            before="""
                import json


                def f(path):
                    return json.load(open(path))  # <- here
                """,
            after="""
                import json


                def f(path):
                    with open(path) as file:
                        return json.load(file)  # <- here
                """,
            kind="resource",
        ),
        Example(
            before="""
                def f(path):
                    with open(path) as file:
                        return file.read()  # <- here
                """,
            kind="resource",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if not leak_like(scene) or scene.depth:
            return
        for file in project_files(scene):
            for call in (n for n in ast.walk(file.tree) if isinstance(n, ast.Call)):
                if called_name(call) not in ("open", "urlopen"):
                    continue
                if not _inside_expression(file, call):
                    continue
                statement, function = file.statement_of(call), file.function_of(call)
                if statement is None or function is None:
                    continue
                if not isinstance(statement, ast.Return | ast.Assign | ast.Expr | ast.AugAssign):
                    continue
                name = "file" if called_name(call) == "open" else "answer"
                if any(is_name(n, name) for n in ast.walk(function)):
                    name += "_"
                near = 1.0 if function is scene.function else 0.75 if file is scene.file else 0.6
                code = f"with {file.segment(call)} as {name}:\n    {BODY}\n"
                yield scene.draft(
                    replace_statements([statement], code),
                    replace_expression(call, name),
                    title=f"close the file that `{function.name}` reads",
                    weight=1.4 * near,
                    file=file,
                )


def _inside_expression(file: SourceFile, call: ast.Call) -> bool:
    parent = file.parent(call)
    if isinstance(parent, ast.Attribute):
        # `socket.open(...)` or `open(p).close` are no reads
        return parent.attr not in ("close", "__enter__")
    return isinstance(parent, ast.Call) and call in parent.args and called_name(parent) != "closing"
