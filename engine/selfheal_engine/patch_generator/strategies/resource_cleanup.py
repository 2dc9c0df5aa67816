"""Something opened is not closed on every path: `with`, `closing`, try/finally, back to the pool.

The place that leaks is rarely the place that fails when the limit is reached, so every opener of
the project is looked at; those on the traceback come first.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from selfheal_engine.diagnosis.origin import called_name, parameters
from selfheal_engine.diagnosis.source_file import Function, SourceFile
from selfheal_engine.diagnosis.unreleased import pairs
from selfheal_engine.patch_generator.conventions import is_test
from selfheal_engine.patch_generator.edits import (
    BODY,
    Edit,
    add_import,
    indented,
    replace_expression,
    replace_statements,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene

STRATEGY = "resource_cleanup"
KINDS = frozenset({"resource", "exception", "thread_death", "log"})
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


@dataclass(frozen=True)
class Opening:
    """An assignment that opens something, with the statements of its block that follow."""

    file: SourceFile
    function: Function
    statement: ast.Assign
    call: ast.Call
    name: str
    rest: tuple[ast.stmt, ...]

    @property
    def opener(self) -> str:
        return called_name(self.call)


def openings(file: SourceFile) -> Iterator[Opening]:
    """Every `name = opener(...)` of a file's functions whose value does not leave the function."""
    for node in ast.walk(file.tree):
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            continue
        value = node.value.value if isinstance(node.value, ast.Await) else node.value
        function = file.function_of(node)
        if not isinstance(value, ast.Call) or function is None:
            continue
        block = file.block_of(node)
        rest = tuple(block[block.index(node) + 1 :])
        yield Opening(file, function, node, value, node.targets[0].id, rest)


def _leaves(opening: Opening) -> bool:
    """Returned, stored or handed over: somebody else closes it."""
    for node in ast.walk(opening.function):
        if isinstance(node, ast.Return | ast.Yield) and _is(node.value, opening.name):
            return True
        stored = isinstance(node, ast.Assign) and not isinstance(node.targets[0], ast.Name)
        if stored and isinstance(node, ast.Assign) and _is(node.value, opening.name):
            return True
        value = node.value if isinstance(node, ast.Return) else None
        if isinstance(value, ast.Tuple) and any(_is(e, opening.name) for e in value.elts):
            return True
    return False


def _is(node: ast.AST | None, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _closing(opening: Opening) -> list[ast.Expr]:
    """`name.close()` statements of the function."""
    return [
        node
        for node in ast.walk(opening.function)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute)
        and node.value.func.attr in ("close", "shutdown", "terminate", "cleanup")
        and _is(node.value.func.value, opening.name)
    ]


def _used_in(statements: tuple[ast.stmt, ...], name: str) -> int:
    """How many of the statements, from the first, reach to the last that uses the name."""
    last = 0
    for number, statement in enumerate(statements, 1):
        if any(_is(n, name) for n in ast.walk(statement)):
            last = number
    return last


def leak_like(scene: Scene) -> bool:
    """Whether the occurrence is of a resource that ran out or was never closed."""
    if scene.occurrence.kind == "resource":
        return True
    text = f"{scene.exception} {scene.message}".lower()
    words = (
        "too many open",
        "unclosed",
        "pool",
        "locked",
        "can't start new thread",
        "too many",
        "exhausted",
        "resourcewarning",
        "no free",
        "queue.empty",
        "empty",
    )
    return any(word in text for word in words)


def _files(scene: Scene) -> list[SourceFile]:
    """The scene's file, then those on the traceback, then the rest of the project."""
    found = [scene.file]
    found += [f for f in map(scene.sources.get, (x.file for x in scene.findings.own_frames)) if f]
    found += [f for f in scene.sources.all() if not is_test(f.path)]
    return list({file.path: file for file in found}.values())


def _nearness(scene: Scene, opening: Opening) -> float:
    """1 on the failing line, less in the function, the traceback, the file, elsewhere."""
    if opening.function is scene.function:
        return 1.0
    names = {f.function for f in scene.findings.own_frames}
    if opening.file.qualified_name(opening.function) in names:
        return 0.9
    return 0.75 if opening.file is scene.file else 0.6


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
        for file in _files(scene):
            for opening in openings(file):
                draft = self._draft(scene, opening)
                if draft is not None:
                    yield draft

    def _draft(self, scene: Scene, opening: Opening) -> Draft | None:
        opener = opening.opener
        known = opener in CONTEXT_MANAGERS
        if not (known or opener in CLOSABLE) or not opening.rest or _leaves(opening):
            return None
        closings = _closing(opening)
        if not known and opener == "connect" and not _is_database(opening):
            return None
        if any(isinstance(o, ast.Try) and _in_finally(o, closings) for o in opening.rest):
            return None
        used = _used_in(opening.rest, opening.name)
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
        body = _dedented(opening.file, inside)
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
            weight=1.4 * _nearness(scene, opening),
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


def _own_manager(scene: Scene, opening: Opening) -> str:
    """A context manager of the project that takes the same thing and gives it back."""
    owner = opening.call.func.value if isinstance(opening.call.func, ast.Attribute) else None
    for file in _files(scene):
        for function in file.functions.values():
            managed = any("contextmanager" in file.segment(d) for d in function.decorator_list)
            calls = {called_name(n) for n in ast.walk(function) if isinstance(n, ast.Call)}
            if managed and opening.opener in calls and len(parameters(function)) <= 1:
                method = file.class_of(function) is not None
                prefix = f"{opening.file.segment(owner)}." if owner is not None and method else ""
                return f"{prefix}{function.name}()"
    return ""


def _dedented(
    file: SourceFile, statements: tuple[ast.stmt, ...], without: set[int] | None = None
) -> str:
    """The statements' own lines moved to the left margin, comments between them included."""
    first, last = statements[0], statements[-1]
    numbers = range(first.lineno, (last.end_lineno or first.lineno) + 1)
    lines = [file.lines[n - 1] for n in numbers if n not in (without or ())]
    margin = first.col_offset
    return "".join(line[margin:] if line.strip() else "\n" for line in lines)


class GiveBack(Rule):
    """Gives what was taken from a pool back in a `finally`, with the call that the project uses."""

    name = "give_back"
    strategy = STRATEGY
    kinds = KINDS
    searches = True
    examples = (
        Example(
            before="""
                def f(pool, query):
                    conn = pool.getconn()  # <- here
                    rows = conn.run(query)
                    pool.putconn(conn)
                    return rows
                """,
            after="""
                def f(pool, query):
                    conn = pool.getconn()  # <- here
                    try:
                        rows = conn.run(query)
                    finally:
                        pool.putconn(conn)
                    return rows
                """,
            kind="resource",
        ),
        Example(
            before="""
                def f(pool, query):
                    conn = pool.getconn()  # <- here
                    try:
                        return conn.run(query)
                    finally:
                        pool.putconn(conn)
                """,
            kind="resource",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if not leak_like(scene) or scene.depth:
            return
        known = pairs(scene.sources)
        for file in _files(scene):
            for opening in openings(file):
                draft = self._draft(scene, opening, known.get(opening.opener, ()))
                if draft is not None:
                    yield draft

    def _draft(self, scene: Scene, opening: Opening, releases: tuple[str, ...]) -> Draft | None:
        if not releases or "close" in releases or not opening.rest or _leaves(opening):
            return None
        walked = ast.walk(opening.function)
        given = [n for n in walked if isinstance(n, ast.Expr) and _gives_back(n, opening, releases)]
        tries = [s for s in opening.rest if isinstance(s, ast.Try)]
        if any(g in s.finalbody for s in tries for g in given):
            return None
        back = _text_of(opening.file, given[0]) if given else _donor(scene, opening, releases)
        if not back:
            return None
        used = _used_in(opening.rest, opening.name)
        run = list(opening.rest[:used])
        while run and run[-1] in given:
            run.pop()
        if not run:
            return None
        covered = [*run, *[s for s in opening.rest[len(run) : used] if s in given]]
        # what is given back on some ways out already must not be given back twice
        gone = {line for g in given for line in range(g.lineno, (g.end_lineno or 0) + 1)}
        body = _dedented(opening.file, tuple(run), gone)
        code = f"try:\n{indented(body)}finally:\n    {back}\n"
        edits = [replace_statements(covered, code)]
        own = _own_manager(scene, opening)
        if own:
            code = f"with {own} as {opening.name}:\n{indented(body)}"
            return scene.draft(
                replace_statements([opening.statement, *covered], code),
                title=f"borrow `{opening.name}` with `{own}`, which gives it back",
                weight=1.8 * _nearness(scene, opening),
                file=opening.file,
            )
        imports = [add_import("import shutil")] if "shutil.rmtree" in back else []
        return scene.draft(
            *edits,
            *imports,
            title=f"give `{opening.name}` back on every way out of `{opening.function.name}`",
            weight=1.5 * _nearness(scene, opening),
            file=opening.file,
        )


def _gives_back(node: ast.Expr, opening: Opening, wanted: tuple[str, ...]) -> bool:
    call = node.value
    if not isinstance(call, ast.Call):
        return False
    about = any(_is(n, opening.name) for n in ast.walk(call))
    return called_name(call) in wanted and about


def _text_of(file: SourceFile, node: ast.AST) -> str:
    return " ".join(file.segment(node).split())


def _donor(scene: Scene, opening: Opening, releases: tuple[str, ...]) -> str:
    """How other code of the project gives back what it takes from the same owner."""
    owner = opening.call.func.value if isinstance(opening.call.func, ast.Attribute) else None
    if opening.opener == "mkdtemp":
        return f"shutil.rmtree({opening.name}, ignore_errors=True)"
    if owner is None:
        return ""
    text = opening.file.segment(owner)
    for file in _files(scene):
        for node in ast.walk(file.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                same = file.segment(node.func.value).rpartition(".")[2] == text.rpartition(".")[2]
                if same and node.func.attr in releases and len(node.args) == 1:
                    return f"{text}.{node.func.attr}({opening.name})"
    for name in releases:
        defined = any(q.rpartition(".")[2] == name for f in _files(scene) for q in f.functions)
        if defined:
            return f"{text}.{name}({opening.name})"
    return ""


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
        for file in _files(scene):
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
                if any(_is(n, name) for n in ast.walk(function)):
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


class CloseInFinally(Rule):
    """Moves a close that only the straight way reaches into a `finally`."""

    name = "close_in_finally"
    strategy = STRATEGY
    kinds = KINDS
    searches = True
    examples = (
        Example(
            before="""
                def f(peer):
                    try:
                        peer.send(b'hello')
                        peer.close()
                    except ValueError:
                        peer.send(b'sorry')  # <- here
                """,
            after="""
                def f(peer):
                    try:
                        peer.send(b'hello')
                    except ValueError:
                        peer.send(b'sorry')  # <- here
                    finally:
                        peer.close()
                """,
            kind="resource",
        ),
        Example(
            before="""
                import os


                def f(path):
                    handle = os.open(path, 0)  # <- here
                    head = os.read(handle, 4)
                    if not head:
                        return None
                    os.close(handle)
                    return head
                """,
            after="""
                import os


                def f(path):
                    handle = os.open(path, 0)  # <- here
                    try:
                        head = os.read(handle, 4)
                        if not head:
                            return None
                    finally:
                        os.close(handle)
                    return head
                """,
            kind="resource",
        ),
        Example(
            before="""
                def f(peer):
                    try:
                        peer.send(b'hello')
                    finally:
                        peer.close()  # <- here
                """,
            kind="resource",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if not leak_like(scene) or scene.depth:
            return
        for file in _files(scene):
            for node in ast.walk(file.tree):
                function = file.function_of(node) if isinstance(node, ast.Expr) else None
                name = _closes(node) if isinstance(node, ast.Expr) else ""
                if not name or function is None or not isinstance(node, ast.Expr):
                    continue
                draft = self._draft(scene, file, function, node, name)
                if draft is not None:
                    yield draft

    def _draft(
        self, scene: Scene, file: SourceFile, function: Function, node: ast.Expr, name: str
    ) -> Draft | None:
        block = file.block_of(node)
        outer = file.parent(node)
        at = block.index(node)
        title = f"close `{name}` on every way out of `{function.name}`"
        near = 1.0 if function is scene.function else 0.75 if file is scene.file else 0.6
        close = file.segment(node)
        if isinstance(outer, ast.Try):
            if block is not outer.body or outer.finalbody or at != len(block) - 1 or not at:
                return None
            lines = _dedented(file, (outer,), {node.lineno})
            return scene.draft(
                replace_statements([outer], f"{lines.rstrip()}\nfinally:\n    {close}\n"),
                title=title,
                weight=1.5 * near,
                file=file,
            )
        # from behind the opening, or the block's start for what was handed in, to the close
        start = next(
            (
                i + 1
                for i in range(at - 1, -1, -1)
                if isinstance(block[i], ast.Assign | ast.Try) and _binds(block[i], name)
            ),
            0 if name in parameters(function) and block is function.body else -1,
        )
        run = block[start:at] if 0 <= start < at else []
        risky = any(
            isinstance(n, ast.Return | ast.Raise | ast.Call) for s in run for n in ast.walk(s)
        )
        if not run or not risky:
            return None
        body = _dedented(file, tuple(run))
        code = f"try:\n{indented(body)}finally:\n    {close}\n"
        return scene.draft(
            replace_statements([*run, node], code), title=title, weight=1.45 * near, file=file
        )


def _closes(node: ast.Expr) -> str:
    """The name that a statement closes: `x.close()`, `os.close(x)`; "" for other statements."""
    call = node.value.value if isinstance(node.value, ast.Await) else node.value
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return ""
    owner = call.func.value
    if call.func.attr not in ("close", "aclose", "terminate", "unlink", "cleanup"):
        return ""
    if isinstance(owner, ast.Name) and owner.id == "os" and call.args:
        return call.args[0].id if isinstance(call.args[0], ast.Name) else ""
    return owner.id if isinstance(owner, ast.Name) and not call.args else ""


def _binds(statement: ast.stmt, name: str) -> bool:
    names = [n for n in ast.walk(statement) if isinstance(n, ast.Name)]
    return any(n.id == name and isinstance(n.ctx, ast.Store) for n in names)


RULES: tuple[Rule, ...] = (OpenInWith(), GiveBack(), ReadInWith(), CloseInFinally())
