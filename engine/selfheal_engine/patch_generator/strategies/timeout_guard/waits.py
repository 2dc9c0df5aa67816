"""Limits on awaits and locks."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.failure import parts_of
from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.patch_generator.edits import (
    add_import,
    replace_expression,
    replace_statements,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.timeout_guard.apis import (
    KINDS,
    STRATEGY,
    timeout_value,
    unlimited_calls,
)


class LimitAwait(Rule):
    """Puts a limit around an `await` that may never come back: `asyncio.wait_for`."""

    name = "limit_await"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="""
                import asyncio


                async def f(reader):
                    return await reader.readline()  # <- here
                """,
            after="""
                import asyncio


                async def f(reader):
                    return await asyncio.wait_for(reader.readline(), 5)  # <- here
                """,
            kind="stall",
        ),
        Example(
            before="""
                import asyncio


                async def f(reader):
                    return await asyncio.wait_for(reader.readline(), 2)  # <- here
                """,
            kind="stall",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if scene.occurrence.kind != "stall" and "time" not in scene.exception.lower():
            return
        seconds = timeout_value(scene)
        for node in parts_of(scene.statement):
            if not isinstance(node, ast.Await) or not isinstance(node.value, ast.Call):
                continue
            name = called_name(node.value)
            if name in ("wait_for", "timeout", "sleep") or any(
                True for _ in unlimited_calls(scene)
            ):
                continue
            yield scene.draft(
                replace_expression(node.value, f"asyncio.wait_for(__expr__, {seconds})"),
                add_import("import asyncio"),
                title=f"wait at most {seconds} s for `{name}`",
                weight=1.2,
            )


class LimitLock(Rule):
    """Waits for a lock only so long, and says so instead of standing still for ever."""

    name = "limit_lock"
    strategy = STRATEGY
    kinds = frozenset({"stall"})
    examples = (
        Example(
            before="""
                import threading

                LOCK = threading.Lock()


                def f():
                    LOCK.acquire()  # <- here
                    LOCK.release()
                """,
            after="""
                import threading

                LOCK = threading.Lock()


                def f():
                    if not LOCK.acquire(timeout=5):  # <- here
                        raise TimeoutError("LOCK was not free within 5 s")
                    LOCK.release()
                """,
            kind="stall",
        ),
        Example(
            before="""
                import threading

                LOCK = threading.Lock()


                def f():
                    with LOCK:  # <- here
                        pass
                """,
            kind="stall",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        statement = scene.statement
        if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Call):
            return
        call = statement.value
        if called_name(call) != "acquire" or call.args or call.keywords:
            return
        assert isinstance(call.func, ast.Attribute)
        lock, seconds = scene.text(call.func.value), timeout_value(scene)
        trailing = scene.file.lines[statement.lineno - 1][statement.end_col_offset or 0 :].rstrip()
        code = (
            f"if not {lock}.acquire(timeout={seconds}):{trailing}\n"
            f'    raise TimeoutError("{lock} was not free within {seconds} s")\n'
        )
        yield scene.draft(
            replace_statements([statement], code),
            title=f"give up on `{lock}` after {seconds} s",
            weight=0.6,
            risk="medium",
        )
