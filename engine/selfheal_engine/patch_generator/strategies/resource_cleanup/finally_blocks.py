"""Closes or gives back in a `finally`, where no `with` will do."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name, parameters
from selfheal_engine.diagnosis.source_file import Function, SourceFile
from selfheal_engine.diagnosis.unreleased import pairs
from selfheal_engine.patch_generator.edits import (
    add_import,
    indented,
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


def _own_manager(scene: Scene, opening: Opening) -> str:
    """A context manager of the project that takes the same thing and gives it back."""
    owner = opening.call.func.value if isinstance(opening.call.func, ast.Attribute) else None
    for file in project_files(scene):
        for function in file.functions.values():
            managed = any("contextmanager" in file.segment(d) for d in function.decorator_list)
            calls = {called_name(n) for n in ast.walk(function) if isinstance(n, ast.Call)}
            if managed and opening.opener in calls and len(parameters(function)) <= 1:
                method = file.class_of(function) is not None
                prefix = f"{opening.file.segment(owner)}." if owner is not None and method else ""
                return f"{prefix}{function.name}()"
    return ""


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
                import sqlite3

                OPEN = set()


                def connect(path):
                    conn = sqlite3.connect(path)
                    OPEN.add(conn)
                    return conn


                def release(conn):
                    OPEN.discard(conn)
                    conn.close()


                def f(path, text):
                    conn = connect(path)  # <- here
                    if not text:
                        raise ValueError('no text')
                    conn.execute('SELECT ?', (text,))
                    release(conn)
                """,
            after="""
                import sqlite3

                OPEN = set()


                def connect(path):
                    conn = sqlite3.connect(path)
                    OPEN.add(conn)
                    return conn


                def release(conn):
                    OPEN.discard(conn)
                    conn.close()


                def f(path, text):
                    conn = connect(path)  # <- here
                    try:
                        if not text:
                            raise ValueError('no text')
                        conn.execute('SELECT ?', (text,))
                    finally:
                        release(conn)
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
        for file in project_files(scene):
            for opening in openings(file):
                draft = self._draft(scene, opening, known.get(opening.opener, ()))
                if draft is not None:
                    yield draft

    def _draft(self, scene: Scene, opening: Opening, releases: tuple[str, ...]) -> Draft | None:
        if not releases or not opening.rest or leaves(opening):
            return None
        walked = ast.walk(opening.function)
        given = [n for n in walked if isinstance(n, ast.Expr) and _gives_back(n, opening, releases)]
        if "close" in releases:  # other rules close; here what the project closes it with
            given = [n for n in given if not _closes(n)]
            if not given:
                return None
        tries = [s for s in opening.rest if isinstance(s, ast.Try)]
        if any(g in s.finalbody for s in tries for g in given):
            return None
        back = _text_of(opening.file, given[0]) if given else _donor(scene, opening, releases)
        if not back:
            return None
        used = used_in(opening.rest, opening.name)
        run = list(opening.rest[:used])
        while run and run[-1] in given:
            run.pop()
        if not run:
            return None
        covered = [*run, *[s for s in opening.rest[len(run) : used] if s in given]]
        # what is given back on some ways out already must not be given back twice
        gone = {line for g in given for line in range(g.lineno, (g.end_lineno or 0) + 1)}
        body = dedented(opening.file, tuple(run), gone)
        code = f"try:\n{indented(body)}finally:\n    {back}\n"
        edits = [replace_statements(covered, code)]
        own = _own_manager(scene, opening)
        if own:
            code = f"with {own} as {opening.name}:\n{indented(body)}"
            return scene.draft(
                replace_statements([opening.statement, *covered], code),
                title=f"borrow `{opening.name}` with `{own}`, which gives it back",
                weight=1.8 * nearness(scene, opening),
                file=opening.file,
            )
        imports = [add_import("import shutil")] if "shutil.rmtree" in back else []
        return scene.draft(
            *edits,
            *imports,
            title=f"give `{opening.name}` back on every way out of `{opening.function.name}`",
            weight=1.5 * nearness(scene, opening),
            file=opening.file,
        )


def _gives_back(node: ast.Expr, opening: Opening, wanted: tuple[str, ...]) -> bool:
    call = node.value
    if not isinstance(call, ast.Call):
        return False
    about = any(is_name(n, opening.name) for n in ast.walk(call))
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
    for file in project_files(scene):
        for node in ast.walk(file.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                same = file.segment(node.func.value).rpartition(".")[2] == text.rpartition(".")[2]
                if same and node.func.attr in releases and len(node.args) == 1:
                    return f"{text}.{node.func.attr}({opening.name})"
    for name in releases:
        defined = any(
            q.rpartition(".")[2] == name for f in project_files(scene) for q in f.functions
        )
        if defined:
            return f"{text}.{name}({opening.name})"
    return ""


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
        for file in project_files(scene):
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
            lines = dedented(file, (outer,), {node.lineno})
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
        body = dedented(file, tuple(run))
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
