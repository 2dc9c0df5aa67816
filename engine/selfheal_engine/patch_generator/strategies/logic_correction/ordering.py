"""Objects that are to be put in order and have none."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.patch_generator.edits import EXPR, replace_expression
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY


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
        for file, owner in scene.sources.classes_named(found[1]):
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
