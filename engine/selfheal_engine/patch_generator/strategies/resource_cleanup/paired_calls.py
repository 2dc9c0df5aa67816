"""Two calls that belong together, take and give back, with nothing returned in between."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.diagnosis.source_file import Function, SourceFile, Sources
from selfheal_engine.patch_generator.edits import indented, replace_statements
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.resource_cleanup.openings import (
    KINDS,
    STRATEGY,
    dedented,
    leak_like,
    project_files,
)

_COUNTERPARTS = {"acquire": "release", "enter": "leave", "lock": "unlock", "begin": "end"}


class GiveBackAfter(Rule):
    """Gives a permit back in a `finally` where only the straight way gave it back."""

    name = "give_back_after"
    strategy = STRATEGY
    kinds = KINDS
    searches = True
    examples = (
        Example(
            before="""
                def f(places, work):
                    places.acquire()  # <- here
                    done = work()
                    places.release()
                    return done
                """,
            after="""
                def f(places, work):
                    places.acquire()  # <- here
                    try:
                        done = work()
                    finally:
                        places.release()
                    return done
                """,
            kind="resource",
        ),
        Example(
            before="""
                class Gate:
                    def __init__(self, places):
                        self.places = places

                    def take(self):
                        if not self.places.acquire(timeout=1):
                            raise OSError('pool limit')  # <- here

                    def put(self):
                        self.places.release()

                    def run(self, work):
                        self.take()
                        work()
                        self.put()
                """,
            after="""
                class Gate:
                    def __init__(self, places):
                        self.places = places

                    def take(self):
                        if not self.places.acquire(timeout=1):
                            raise OSError('pool limit')  # <- here

                    def put(self):
                        self.places.release()

                    def run(self, work):
                        self.take()
                        try:
                            work()
                        finally:
                            self.put()
                """,
            kind="resource",
        ),
        Example(
            before="""
                def f(places, work):
                    places.acquire()  # <- here
                    try:
                        return work()
                    finally:
                        places.release()
                """,
            kind="resource",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if not leak_like(scene) or scene.depth:
            return
        known = {**_COUNTERPARTS, **counterparts(scene.sources)}
        for file in project_files(scene):
            for function in file.functions.values():
                for block in _blocks(function):
                    draft = _draft(scene, file, function, block, known)
                    if draft is not None:
                        yield draft


def counterparts(sources: Sources) -> dict[str, str]:
    """Methods of the project that acquire and release one and the same thing: taker -> giver."""
    found: dict[str, str] = {}
    for file in sources.all():
        for owner in file.classes.values():
            takers: dict[str, str] = {}
            givers: dict[str, str] = {}
            for method in (m for m in owner.body if isinstance(m, Function)):
                used = {
                    node.func.attr: file.segment(node.func.value)
                    for node in ast.walk(method)
                    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
                }
                if "acquire" in used and "release" not in used:
                    takers[used["acquire"]] = method.name
                elif "release" in used and "acquire" not in used:
                    givers[used["release"]] = method.name
            found |= {takers[place]: givers[place] for place in takers if place in givers}
    return found


def _blocks(function: Function) -> Iterator[list[ast.stmt]]:
    for node in ast.walk(function):
        for name in ("body", "orelse"):
            block = getattr(node, name, None)
            if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
                yield block


def _draft(
    scene: Scene, file: SourceFile, function: Function, block: list[ast.stmt], known: dict[str, str]
) -> Draft | None:
    for start, taken in enumerate(block):
        take = _plain_call(taken)
        giver = known.get(called_name(take)) if take is not None else None
        if take is None or giver is None:
            continue
        owner = _owner(file, take)
        for end in range(start + 2, len(block)):
            give = _plain_call(block[end])
            if give is None or called_name(give) != giver or _owner(file, give) != owner:
                continue
            body = dedented(file, tuple(block[start + 1 : end]))
            back = file.segment(block[end])
            near = 1.0 if function is scene.function else 0.9 if file is scene.file else 0.7
            return scene.draft(
                replace_statements(
                    block[start + 1 : end + 1], f"try:\n{indented(body)}finally:\n    {back}\n"
                ),
                title=f"`{function.name}` gives back with `{back}` on every way out",
                weight=1.6 * near,
                file=file,
            )
    return None


def _plain_call(statement: ast.stmt) -> ast.Call | None:
    value = statement.value if isinstance(statement, ast.Expr) else None
    value = value.value if isinstance(value, ast.Await) else value
    return value if isinstance(value, ast.Call) else None


def _owner(file: SourceFile, call: ast.Call) -> str:
    return file.segment(call.func.value) if isinstance(call.func, ast.Attribute) else ""
