"""Indices that a division made fractional."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import last_assignment
from selfheal_engine.patch_generator.edits import replace_expression
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
