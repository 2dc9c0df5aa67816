"""Items of a loop that hold nothing: blank lines, empty rows."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.source_file import Function
from selfheal_engine.patch_generator.edits import insert_before
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import COMPREHENSIONS, filtered, first_statement
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY

_UNREADABLE = frozenset({"IndexError", "ValueError", "JSONDecodeError", "KeyError"})


class SkipEmptyItem(Rule):
    """Goes on to the next item where this one is empty, in the loop that hands it on."""

    name = "skip_empty_item"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def price(row):
                    return row[1]


                def f(rows=(('a', 1), (), ('b', 2))):
                    found = []
                    for row in rows:
                        found.append(price(row))
                    return found
                """,
            after="""
                def price(row):
                    return row[1]


                def f(rows=(('a', 1), (), ('b', 2))):
                    found = []
                    for row in rows:
                        if not row:
                            continue
                        found.append(price(row))
                    return found
                """,
        ),
        Example(
            before="""
                def f(text='1\\n \\n2'):
                    total = 0
                    for line in text.split('\\n'):
                        total += int(line)
                    return total
                """,
            after="""
                def f(text='1\\n \\n2'):
                    total = 0
                    for line in text.split('\\n'):
                        if not line.strip():
                            continue
                        total += int(line)
                    return total
                """,
        ),
        Example(
            before="""
                def f(rows=((), ('a', 1))):
                    return [row[0] for row in rows]
                """,
            after="""
                def f(rows=((), ('a', 1))):
                    return [row[0] for row in rows if row]
                """,
        ),
        Example(
            before="""
                def f(rows=(('a',),)):
                    for row in rows:
                        print(row[1])
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if scene.exception not in _UNREADABLE:
            return
        yield from self._of_a_comprehension(scene)
        handed = {n.id for n in ast.walk(scene.statement) if isinstance(n, ast.Name)}
        for outer in (scene.statement, *scene.file.ancestors(scene.statement)):
            if isinstance(outer, Function):
                return
            if not isinstance(outer, ast.For | ast.AsyncFor):
                continue
            condition = _full(scene, outer.target)
            if condition and isinstance(outer.target, ast.Name) and outer.target.id in handed:
                skip = f"if not {condition}:\n    continue"
                yield scene.draft(
                    insert_before(first_statement(outer.body), skip),
                    title=f"skip items that are empty: `not {condition}`",
                    weight=1.7,
                )
            return

    @staticmethod
    def _of_a_comprehension(scene: Scene) -> Iterator[Draft]:
        for outer in scene.file.ancestors(scene.node):
            if outer is scene.statement:
                return
            if isinstance(outer, COMPREHENSIONS):
                condition = _full(scene, outer.generators[-1].target)
                if condition:
                    yield scene.draft(
                        filtered(scene.file, outer, condition),
                        title=f"leave out items that are empty: `not {condition}`",
                        weight=1.7,
                    )
                return


def _full(scene: Scene, target: ast.expr) -> str:
    """What tells other items from the empty one that failed; "" where it is not empty."""
    value = scene.value(target) if isinstance(target, ast.Name) else None
    if value is None or value.length is None:
        return ""
    name = scene.text(target)
    if value.type_name == "str":
        return f"{name}.strip()" if not value.truncated and not value.text.strip() else ""
    return name if value.length == 0 else ""
