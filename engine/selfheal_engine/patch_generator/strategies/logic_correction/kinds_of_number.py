"""Indices that a division made fractional, objects that cannot be put in order."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name, last_assignment
from selfheal_engine.patch_generator.edits import EXPR, replace_expression
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY

_FRACTIONAL = re.compile(r"slice indices must be integers|indices must be integers .*not float")


class WholeIndex(Rule):
    """Divides without a rest where the result counts places."""

    name = "whole_index"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(rows=(1, 2, 3, 4)):
                    half = len(rows) / 2
                    return rows[:half]
                """,
            after="""
                def f(rows=(1, 2, 3, 4)):
                    half = len(rows) // 2
                    return rows[:half]
                """,
        ),
        Example(
            before="""
                def f(rows=(1, 2, 3)):
                    return rows[len(rows) / 2]
                """,
            after="""
                def f(rows=(1, 2, 3)):
                    return rows[len(rows) // 2]
                """,
        ),
        Example(
            before="""
                def f(rows=(1, 2, 3), place=1.5):
                    return rows[place]
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if not _FRACTIONAL.search(scene.message) or not isinstance(node, ast.Subscript):
            return
        seen: set[ast.AST] = set()
        for part in ast.walk(node.slice):
            divided: ast.expr | None = part if isinstance(part, ast.BinOp) else None
            if isinstance(part, ast.Name):
                found = last_assignment(scene.file, scene.function, part.id, part.lineno)
                divided = found[1] if found is not None and found[2] == "value" else None
            if not isinstance(divided, ast.BinOp) or divided in seen:
                continue
            seen.add(divided)
            if isinstance(divided.op, ast.Div):
                whole = f"{scene.text(divided.left)} // {scene.text(divided.right)}"
                yield scene.draft(
                    replace_expression(divided, whole),
                    title="divide without a rest",
                    weight=1.8,
                )


class OrderedClass(Rule):
    """Gives a dataclass of the project the order that it is asked for."""

    name = "ordered_class"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                from dataclasses import dataclass


                @dataclass
                class Task:
                    size: int


                def f():
                    return sorted([Task(2), Task(1)])
                """,
            after="""
                from dataclasses import dataclass


                @dataclass(order=True)
                class Task:
                    size: int


                def f():
                    return sorted([Task(2), Task(1)])
                """,
        ),
        Example(
            before="""
                class Task:
                    pass


                def f():
                    return sorted([Task(), Task()])
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        found = re.search(r"'[<>]=?' not supported between instances of '(\w+)' and", scene.message)
        if scene.exception != "TypeError" or found is None:
            return
        for file in scene.sources.all():
            for qualified, owner in file.classes.items():
                if qualified.rpartition(".")[2] != found[1]:
                    continue
                for decorator in owner.decorator_list:
                    code = ""
                    if ast.unparse(decorator) in ("dataclass", "dataclasses.dataclass"):
                        code = f"{EXPR}(order=True)"
                    elif isinstance(decorator, ast.Call) and called_name(decorator) == "dataclass":
                        code = f"{file.segment(decorator)[:-1]}, order=True)"
                    if code:
                        yield scene.draft(
                            replace_expression(decorator, code),
                            title=f"`{found[1]}` objects are ordered by their fields",
                            weight=1.4,
                            file=file,
                        )
