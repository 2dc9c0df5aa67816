"""Locks that are not released on every way out."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.held_locks import holders, owner_of_call
from selfheal_engine.diagnosis.source_file import Function, SourceFile
from selfheal_engine.patch_generator.edits import (
    indented,
    replace_statements,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.race_condition_fix.locking import STRATEGY


class HoldWith(Rule):
    """Holds a lock in a `with`, so that an error on the way cannot leave it taken."""

    name = "hold_with"
    strategy = STRATEGY
    kinds = frozenset({"deadlock", "stall", "exception", "resource"})
    examples = (
        Example(
            before="""
                import threading

                LOCK = threading.Lock()


                def f(work):
                    LOCK.acquire()  # <- here
                    done = work()
                    LOCK.release()
                    return done
                """,
            after="""
                import threading

                LOCK = threading.Lock()


                def f(work):
                    with LOCK:  # <- here
                        done = work()
                    return done
                """,
            kind="stall",
        ),
        Example(
            before="""
                import threading

                LOCK = threading.Lock()
                NAMES = []


                def add(name):
                    LOCK.acquire()
                    if name in NAMES:
                        return False
                    NAMES.append(name)
                    LOCK.release()
                    return True


                def f():
                    LOCK.acquire()  # <- here
                    found = sorted(NAMES)
                    LOCK.release()
                    return found
                """,
            after="""
                import threading

                LOCK = threading.Lock()
                NAMES = []


                def add(name):
                    with LOCK:
                        if name in NAMES:
                            return False
                        NAMES.append(name)
                    return True


                def f():
                    LOCK.acquire()  # <- here
                    found = sorted(NAMES)
                    LOCK.release()
                    return found
                """,
            kind="stall",
        ),
        Example(
            before="""
                import threading

                LOCK = threading.Lock()


                def f(work):
                    LOCK.acquire()  # <- here
                    return work()
                """,
            kind="stall",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if scene.depth:
            return
        file = scene.file
        leaving = {h.function.name for h in holders(scene.sources, scene.failure) if h.leaves}
        for function in file.functions.values():
            for node in ast.walk(function):
                block = getattr(node, "body", None)
                for statements in (block, getattr(node, "orelse", None)):
                    if isinstance(statements, list):
                        yield from self._held(scene, file, function, statements, leaving)

    def _held(
        self,
        scene: Scene,
        file: SourceFile,
        function: Function,
        block: list[ast.stmt],
        leaving: set[str],
    ) -> Iterator[Draft]:
        for index, statement in enumerate(block):
            lock = _calls(file, statement, "acquire")
            if not lock or file.function_of(statement) is not function:
                continue
            releases = [
                i for i in range(index + 1, len(block)) if _calls(file, block[i], "release") == lock
            ]
            early = any(
                isinstance(n, ast.Expr) and _calls(file, n, "release") == lock
                for s in block[index + 1 :]
                for n in ast.walk(s)
                if n not in block
            )
            if not releases or releases[0] == index + 1:
                continue
            run = block[index : releases[0] + 1]
            lines = file.lines[run[1].lineno - 1 : run[-2].end_lineno]
            body = "".join(line[run[1].col_offset :] if line.strip() else "\n" for line in lines)
            if early:
                body = _without_release(body, lock)
            rest = file.lines[statement.lineno - 1][statement.end_col_offset or 0 :].rstrip()
            near = 1.0 if function is scene.function else 0.8
            if leaving:  # whoever waits is the victim of those who leave it taken
                near = 1.2 if function.name in leaving else 0.4
            yield scene.draft(
                replace_statements(run, f"with {lock}:{rest}\n{indented(body)}"),
                title=f"release `{lock}` on every way out of `{function.name}`",
                weight=1.5 * near,
            )


def _calls(file: SourceFile, statement: ast.AST, method: str) -> str:
    """The owner's text of a statement `owner.method()` without arguments, "" for others."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    bare = isinstance(call, ast.Call) and not call.args and not call.keywords
    return owner_of_call(file, statement, method) if bare else ""


def _without_release(body: str, lock: str) -> str:
    kept = [line for line in body.splitlines(True) if line.strip() != f"{lock}.release()"]
    return "".join(kept)
