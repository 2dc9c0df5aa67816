"""What is read later than the file is open."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.patch_generator.edits import replace_expression
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import read_functions


class ReadWhileOpen(Rule):
    """Reads all of a file before its `with` ends, where so far a generator reads it afterwards."""

    name = "read_while_open"
    strategy = "resource_cleanup"
    examples = (
        Example(
            before="""
                def lines():
                    with open(__file__) as source:
                        found = (line.strip() for line in source)
                    return found


                def f():
                    return list(lines())
                """,
            after="""
                def lines():
                    with open(__file__) as source:
                        found = [line.strip() for line in source]
                    return found


                def f():
                    return list(lines())
                """,
        ),
        Example(
            before="""
                def f():
                    with open(__file__) as source:
                        pass
                    return source.read()
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if "on closed file" not in scene.message or scene.depth:
            return
        for file, function in read_functions(scene):
            for node in ast.walk(function):
                if not isinstance(node, ast.With | ast.AsyncWith):
                    continue
                opened = {
                    n.id
                    for item in node.items
                    if item.optional_vars is not None
                    for n in ast.walk(item.optional_vars)
                    if isinstance(n, ast.Name)
                }
                for part in (p for statement in node.body for p in ast.walk(statement)):
                    if isinstance(part, ast.GeneratorExp) and _reads(part, opened):
                        text = file.segment(part).removeprefix("(").removesuffix(")")
                        yield scene.draft(
                            replace_expression(part, f"[{text}]"),
                            title="read it all while the file is open",
                            weight=1.8,
                            file=file,
                        )


def _reads(generator: ast.GeneratorExp, opened: set[str]) -> bool:
    return any(isinstance(n, ast.Name) and n.id in opened for n in ast.walk(generator))
