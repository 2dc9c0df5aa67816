"""Clocks with and without a zone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import (
    called_name,
    definitions,
    last_assignment,
)
from selfheal_engine.patch_generator.edits import (
    EXPR,
    Edit,
    add_argument,
    add_import,
    insert_after,
    replace_expression,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import is_stable
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY

_READERS = ("fromisoformat", "strptime", "fromtimestamp", "utcfromtimestamp", "combine", "parse")


class KnowTheZone(Rule):
    """Compares clocks that both know their zone, or both do not."""

    name = "know_the_zone"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                from datetime import datetime, timezone


                def f():
                    due = datetime(2024, 1, 1, tzinfo=timezone.utc)
                    return due < datetime.now()
                """,
            after="""
                from datetime import datetime, timezone


                def f():
                    due = datetime(2024, 1, 1, tzinfo=timezone.utc)
                    return due < datetime.now(timezone.utc)
                """,
        ),
        Example(
            before="""
                from datetime import datetime, timezone


                def f(due='2024-01-01'):
                    when = datetime.fromisoformat(due)
                    return when < datetime.now(timezone.utc)
                """,
            after="""
                from datetime import datetime, timezone


                def f(due='2024-01-01'):
                    when = datetime.fromisoformat(due)
                    if when.tzinfo is None:
                        when = when.replace(tzinfo=timezone.utc)
                    return when < datetime.now(timezone.utc)
                """,
        ),
        Example(
            before="""
                def f():
                    return 1 < 'a'
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if "offset-naive" not in scene.message:
            return
        utc, imports = _utc(scene)
        for operand in _operands(scene.node):
            for made, anchor in self._makers(scene, operand):
                name = called_name(made)
                if name == "now" and not made.args and not made.keywords:
                    yield scene.draft(
                        add_argument(made, utc),
                        *imports,
                        title=f"`now({utc})` knows its zone",
                        weight=1.6,
                    )
                elif name == "utcnow":
                    owner = scene.text(made.func).rpartition(".")[0]
                    yield scene.draft(
                        replace_expression(made, f"{owner}.now({utc})"),
                        *imports,
                        title=f"`now({utc})` in place of `utcnow()`, which knows no zone",
                        weight=1.7,
                    )
                elif name in _READERS:
                    yield from self._from_text(scene, made, anchor, utc, imports)
            if is_stable(operand):
                yield scene.draft(
                    replace_expression(operand, f"{EXPR}.replace(tzinfo={utc})"),
                    *imports,
                    title=f"read `{scene.text(operand)}` as UTC",
                    weight=0.9,
                )

    @staticmethod
    def _makers(scene: Scene, operand: ast.expr) -> Iterator[tuple[ast.Call, ast.stmt | None]]:
        """The calls that made the operand, in this function or in those that it calls."""
        for node in ast.walk(operand):
            if isinstance(node, ast.Call):
                yield node, None
                for file, function in definitions(scene.sources, scene.file, node):
                    inside = ast.walk(function) if file is scene.file else ()
                    calls = [n for n in inside if isinstance(n, ast.Call)]
                    yield from ((c, None) for c in calls if called_name(c) in ("now", "utcnow"))
            elif isinstance(node, ast.Name):
                found = last_assignment(scene.file, scene.function, node.id, node.lineno)
                if found is not None:
                    for inner in ast.walk(found[1]):
                        if isinstance(inner, ast.Call):
                            yield inner, found[0]

    @staticmethod
    def _from_text(
        scene: Scene, made: ast.Call, anchor: ast.stmt | None, utc: str, imports: list[Edit]
    ) -> Iterator[Draft]:
        named = isinstance(anchor, ast.Assign) and isinstance(anchor.targets[0], ast.Name)
        if isinstance(anchor, ast.Assign) and named and anchor.value is made:
            name = scene.text(anchor.targets[0])
            guard = f"if {name}.tzinfo is None:\n    {name} = {name}.replace(tzinfo={utc})"
            yield scene.draft(
                insert_after(anchor, guard),
                *imports,
                title=f"read `{name}` as UTC when it names no zone",
                weight=1.6,
            )
        yield scene.draft(
            replace_expression(made, f"{EXPR}.replace(tzinfo={utc})"),
            *imports,
            title="read the time as UTC",
            weight=1.0,
        )


def _operands(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Compare):
        return [node.left, *node.comparators]
    return [node.left, node.right] if isinstance(node, ast.BinOp) else []


def _utc(scene: Scene) -> tuple[str, list[Edit]]:
    """How the file names UTC, with the import where it does not yet."""
    text = scene.file.text
    if re.search(r"from datetime import .*\bUTC\b", text):
        return "UTC", []
    if re.search(r"^import datetime$", text, re.MULTILINE):
        return "datetime.timezone.utc", []
    return "timezone.utc", [add_import("from datetime import timezone")]
