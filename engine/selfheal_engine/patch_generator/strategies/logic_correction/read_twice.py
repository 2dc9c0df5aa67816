"""Generators and other iterators that somebody goes through a second time."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.patch_generator.edits import EXPR, replace_expression
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY

_ITERATORS = frozenset({"generator", "map", "filter", "zip", "enumerate", "reversed", "islice"})
_ITERATORS |= {"chain", "groupby", "dict_itemiterator", "list_iterator", "reader", "DictReader"}
_SPENT = frozenset({"ValueError", "IndexError", "ZeroDivisionError", "StopIteration"})
_SPENT |= {"StatisticsError", "TypeError"}


class KeepTheItems(Rule):
    """Keeps what an iterator gives in a list, where the function goes through it twice."""

    name = "keep_the_items"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def numbers(lines):
                    for line in lines:
                        yield int(line)


                def f(lines=('1', '2')):
                    found = numbers(lines)
                    total = sum(found)
                    return total, max(found)
                """,
            after="""
                def numbers(lines):
                    for line in lines:
                        yield int(line)


                def f(lines=('1', '2')):
                    found = list(numbers(lines))
                    total = sum(found)
                    return total, max(found)
                """,
        ),
        Example(
            before="""
                def mean(values):
                    values = list(values)
                    return sum(values) / len(values)


                def f(rows=('1', '2')):
                    values = map(int, rows)
                    return min(values), mean(values)
                """,
            after="""
                def mean(values):
                    values = list(values)
                    return sum(values) / len(values)


                def f(rows=('1', '2')):
                    values = list(map(int, rows))
                    return min(values), mean(values)
                """,
        ),
        Example(
            before="""
                def f(rows=()):
                    values = map(int, rows)
                    return max(values)
                """,
        ),
        Example(
            before="""
                def f(rows=()):
                    values = list(rows)
                    return sum(values), max(values)
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if scene.exception.rpartition(".")[2] not in _SPENT or scene.function is None:
            return
        held = {name for name, value in scene.frame.locals if value.type_name in _ITERATORS}
        for node in ast.walk(scene.function):
            if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
                continue
            name = node.targets[0].id
            if name in held and _reads(scene.function, name) > 1:
                yield scene.draft(
                    replace_expression(node.value, f"list({EXPR})"),
                    title=f"keep the items of `{name}`, which is gone through twice",
                    weight=1.9,
                    explanation="An iterator gives its items once; the second reader finds none.",
                )


def _reads(function: ast.AST, name: str) -> int:
    return sum(
        isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)
        for node in ast.walk(function)
    )
