"""Waiting for what cannot be waited for: the result of a plain function."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name, definitions
from selfheal_engine.diagnosis.source_file import Function, SourceFile
from selfheal_engine.patch_generator.edits import (
    add_import,
    replace_expression,
    replace_statements,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import names_in
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY


class AwaitIfNeeded(Rule):
    """Waits only for what can be waited for: a plain function's result is there already."""

    name = "await_if_needed"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                import asyncio

                sent = []


                def log(text):
                    sent.append(text)


                async def run():
                    await log('a')
                    return len(sent)


                def f():
                    return asyncio.run(run())
                """,
            after="""
                import asyncio

                sent = []


                def log(text):
                    sent.append(text)


                async def run():
                    log('a')
                    return len(sent)


                def f():
                    return asyncio.run(run())
                """,
        ),
        Example(
            before="""
                import asyncio


                async def run(sender=len):
                    await sender('a')
                    return 1


                def f():
                    return asyncio.run(run())
                """,
            after="""
                import asyncio
                import inspect


                async def run(sender=len):
                    result = sender('a')
                    if inspect.isawaitable(result):
                        await result
                    return 1


                def f():
                    return asyncio.run(run())
                """,
        ),
        Example(
            before="""
                def f():
                    return None + 1
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        waited = re.search(r"can't be (?:used in 'await' expression|awaited)", scene.message)
        if waited is None:
            return
        parts = scene.node if isinstance(scene.node, ast.expr) else scene.statement
        waits = [n for n in ast.walk(parts) if isinstance(n, ast.Await)]
        for wait in waits[:1]:
            call = wait.value
            if not isinstance(call, ast.Call):
                continue
            known = definitions(scene.sources, scene.file, call)
            named = isinstance(call.func, ast.Name) and _defined(scene.file, call.func.id)
            plain = known and not any(isinstance(f, ast.AsyncFunctionDef) for _, f in known)
            if plain and (named or isinstance(call.func, ast.Attribute)):
                yield scene.draft(
                    replace_expression(wait, scene.text(call)),
                    title=f"`{called_name(call)}` is a plain function: nothing to wait for",
                    weight=1.9,
                )
            yield from _when_awaitable(scene, wait, call)


def _defined(file: SourceFile, name: str) -> bool:
    return any(isinstance(n, Function) and n.name == name for n in file.tree.body) or any(
        isinstance(n, ast.ImportFrom) and any((a.asname or a.name) == name for a in n.names)
        for n in file.tree.body
    )


def _when_awaitable(scene: Scene, wait: ast.Await, call: ast.Call) -> Iterator[Draft]:
    statement = scene.statement
    taken = names_in(scene.file, scene.function)
    name = next(n for n in ("result", "outcome", "awaited") if n not in taken)
    imports = add_import("import inspect")
    if isinstance(statement, ast.Expr) and statement.value is wait:
        code = f"{name} = {scene.text(call)}\nif inspect.isawaitable({name}):\n    await {name}"
    elif isinstance(statement, ast.Assign | ast.Return) and statement.value is wait:
        last = f"return {name}"
        if isinstance(statement, ast.Assign):
            if len(statement.targets) != 1 or not isinstance(statement.targets[0], ast.Name):
                return
            name, last = statement.targets[0].id, ""
        asked = f"if inspect.isawaitable({name}):\n    {name} = await {name}"
        code = f"{name} = {scene.text(call)}\n{asked}\n{last}"
    else:
        return
    yield scene.draft(
        replace_statements([statement], code),
        imports,
        title="wait only where there is something to wait for",
        weight=1.6,
    )
