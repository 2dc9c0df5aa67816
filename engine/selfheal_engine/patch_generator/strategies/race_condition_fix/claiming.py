"""Something chosen from a shared collection is taken out only after work was done with it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from selfheal_engine.diagnosis.slow_calls import is_slow
from selfheal_engine.patch_generator.edits import Edit, indented, replace_statements
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.race_condition_fix.locking import STRATEGY
from selfheal_engine.patch_generator.strategies.race_condition_fix.shared_state import KINDS
from selfheal_engine.patch_generator.strategies.race_condition_fix.sharing import (
    guard,
    locked_elsewhere,
    may_race,
    mentions,
    shared_of,
)
from selfheal_engine.patch_generator.strategies.resource_cleanup.openings import dedented

_LEAVES = (ast.Return, ast.Raise, ast.Continue, ast.Break, ast.Yield, ast.YieldFrom, ast.Await)


@dataclass(frozen=True)
class _Taking:
    """A statement that takes something out of a collection, and its way back."""

    code: str
    """The statement, as an assignment where the value is wanted for the way back."""
    back: str
    after: str = ""
    """What is left of the statement once the work is done."""


class TakeFirst(Rule):
    """Takes what was chosen out at once, under the lock, and works with it afterwards.

    Holding the lock for the work as well would make everybody wait for a disk or a peer. Where
    the work fails, what was taken is put back: it fails as it did, and nothing is lost.
    """

    name = "take_first"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="""
                import threading
                import time


                class Emptied(dict):
                    def __iter__(self):
                        yield 'a'


                class Board:
                    def __init__(self):
                        self._lock = threading.Lock()
                        self._jobs = {}

                    def add(self, name, job):
                        with self._lock:
                            self._jobs[name] = job

                    def claim(self):
                        name = min(self._jobs)
                        time.sleep(0)
                        job = self._jobs.pop(name)
                        return name, job


                def f():
                    board = Board()
                    board._jobs = Emptied()
                    board.claim()
                """,
            after="""
                import threading
                import time


                class Emptied(dict):
                    def __iter__(self):
                        yield 'a'


                class Board:
                    def __init__(self):
                        self._lock = threading.Lock()
                        self._jobs = {}

                    def add(self, name, job):
                        with self._lock:
                            self._jobs[name] = job

                    def claim(self):
                        with self._lock:
                            name = min(self._jobs)
                            job = self._jobs.pop(name)
                        try:
                            time.sleep(0)
                        except BaseException:
                            with self._lock:
                                self._jobs[name] = job
                            raise
                        return name, job


                def f():
                    board = Board()
                    board._jobs = Emptied()
                    board.claim()
                """,
        ),
        # what is done in between decides whether it is taken at all
        Example(
            before="""
                import threading
                import time

                JOBS = {}


                def f(name='a'):
                    if JOBS or threading:
                        pass
                    if time.time() < 0 or time.sleep(0):
                        return None
                    return JOBS.pop(name)
                """,
        ),
        # no work that anybody would wait for
        Example(
            before="""
                import threading

                JOBS = {}


                def f(name='a'):
                    if JOBS or threading:
                        pass
                    print(name)
                    return JOBS.pop(name)
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if scene.function is None or not may_race(scene):
            return
        for shared in shared_of(scene):
            found = _taking(scene, shared)
            edit = _edit(scene, shared, found) if found is not None else None
            guarded = guard(scene, shared, {scene.function: edit}) if edit is not None else None
            if found is None or guarded is None:
                continue
            known = 1.7 if locked_elsewhere(scene) else 1.4
            yield scene.draft(
                *guarded.edits,
                title=f"take from `{shared}` under `{guarded.lock}` before the work, not after",
                weight=1.15 if guarded.is_new else known,
                explanation="Between the choice and this line another thread may take the same; "
                "the work in between needs no lock, and what fails in it puts it back.",
                risk="medium",
            )


def _taking(scene: Scene, shared: str) -> _Taking | None:
    """How the failing statement takes one thing out, None where it does something else."""
    statement = scene.statement
    if isinstance(statement, ast.Delete) and isinstance(statement.targets[0], ast.Subscript):
        place = statement.targets[0]
        if len(statement.targets) > 1 or scene.text(place.value) != shared:
            return None
        key = scene.text(place.slice)
        return _Taking(f"taken = {shared}.pop({key})", f"{shared}[{key}] = taken")
    call = getattr(statement, "value", None)
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return None
    if scene.text(call.func.value) != shared or call.keywords:
        return None
    if isinstance(statement, ast.Return):
        name, after = "taken", "return taken"
    elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        name, after = statement.targets[0].id, ""
    elif isinstance(statement, ast.Expr):
        name, after = "taken", ""
    else:
        return None
    arguments = [scene.text(argument) for argument in call.args]
    back = _way_back(call.func.attr, scene.exception, shared, arguments, name)
    if not back:
        return None
    text = scene.text(call)
    removes = call.func.attr == "remove"
    return _Taking(text if removes else f"{name} = {text}", back, after)


def _way_back(method: str, exception: str, shared: str, arguments: list[str], name: str) -> str:
    """The call or assignment that undoes a removal; "" where there is none."""
    if method == "remove" and len(arguments) == 1:
        # a set says KeyError, a list ValueError
        adds = {"KeyError": "add", "ValueError": "append"}.get(exception, "")
        return f"{shared}.{adds}({arguments[0]})" if adds else ""
    if method == "pop" and len(arguments) == 1:
        if exception == "IndexError":
            return f"{shared}.insert({arguments[0]}, {name})"
        return f"{shared}[{arguments[0]}] = {name}"
    if method in ("pop", "popleft") and not arguments and exception == "IndexError":
        return f"{shared}.{'append' if method == 'pop' else 'appendleft'}({name})"
    return ""


def _edit(scene: Scene, shared: str, taking: _Taking) -> Edit | None:
    """The choice and the taking under the lock, then the work; None where it cannot be so."""
    file, statement = scene.file, scene.statement
    body = scene.function.body if scene.function is not None else []
    if statement not in body or isinstance(scene.function, ast.AsyncFunctionDef):
        return None
    at = body.index(statement)
    uses = [i for i, s in enumerate(body) if mentions(file, s, shared)]
    if not uses or uses[-1] != at or len(uses) < 2:
        return None
    head, work = body[uses[0] : uses[-2] + 1], body[uses[-2] + 1 : at]
    # names that the choice needs and that are made after it belong to it
    while work and _stored(work[:1]) & _loaded([statement]):
        head, work = [*head, work[0]], work[1:]
    if not work or any(isinstance(n, _LEAVES) for s in work for n in ast.walk(s)):
        return None
    if _stored(work) & (_loaded([statement]) | _stored([statement])):
        return None
    if _stored([statement]) & _loaded(work):
        return None
    if not any(is_slow(scene.sources, file, s) for s in work):
        return None
    if any(is_slow(scene.sources, file, s) for s in head):
        return None
    chosen = dedented(file, tuple(head)).rstrip()
    code = (
        f"with {{lock}}:\n{indented(f'{chosen}{chr(10)}{taking.code}{chr(10)}')}"
        f"try:\n{indented(dedented(file, tuple(work)))}"
        f"except BaseException:\n    with {{lock}}:\n        {taking.back}\n    raise\n"
        f"{taking.after}"
    )
    return replace_statements([*head, *work, statement], code)


def _stored(statements: list[ast.stmt]) -> set[str]:
    return _names(statements, ast.Store)


def _loaded(statements: list[ast.stmt]) -> set[str]:
    return _names(statements, ast.Load)


def _names(statements: list[ast.stmt], context: type[ast.expr_context]) -> set[str]:
    return {
        node.id
        for statement in statements
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, context)
    }
