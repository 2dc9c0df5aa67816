"""Clocks with and without a zone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.diagnosis.producers import Producer, producers
from selfheal_engine.diagnosis.source_file import SourceFile
from selfheal_engine.patch_generator.edits import (
    EXPR,
    Edit,
    add_argument,
    add_import,
    insert_after,
    replace_expression,
    replace_statements,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import is_stable
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY

_READERS = ("fromisoformat", "strptime", "utcfromtimestamp", "combine", "parse")
_WITH_ZONE = ("fromtimestamp",)
"""Makers of a time that take its zone as `tz`."""


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
                from datetime import datetime, timedelta, timezone

                LOANS = [{'since': '2024-01-01', 'days': 3}]


                def due(loan):
                    since = datetime.fromisoformat(loan['since'])
                    return since + timedelta(days=loan['days'])


                def f():
                    return due(LOANS[0]) < datetime.now(timezone.utc)
                """,
            after="""
                from datetime import datetime, timedelta, timezone

                LOANS = [{'since': '2024-01-01', 'days': 3}]


                def due(loan):
                    since = datetime.fromisoformat(loan['since'])
                    if since.tzinfo is None:
                        since = since.replace(tzinfo=timezone.utc)
                    return since + timedelta(days=loan['days'])


                def f():
                    return due(LOANS[0]) < datetime.now(timezone.utc)
                """,
        ),
        Example(
            before="""
                from datetime import datetime, timezone


                class Lease:
                    def __init__(self, end):
                        self.end = datetime.fromtimestamp(end)


                def f():
                    return Lease(0).end < datetime.now(timezone.utc)
                """,
            after="""
                from datetime import datetime, timezone


                class Lease:
                    def __init__(self, end):
                        self.end = datetime.fromtimestamp(end, tz=timezone.utc)


                def f():
                    return Lease(0).end < datetime.now(timezone.utc)
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
        both = list(self._both(scene))
        yield from both
        for operand in _operands(scene.node):
            for made in producers(scene.sources, scene.file, operand):
                # one of two readings alone would only wait for the other to come without a zone
                read = isinstance(made.node, ast.Call) and called_name(made.node) in _READERS
                if isinstance(made.node, ast.Call) and not (both and read):
                    yield from self._made(scene, made, made.node)
            if is_stable(operand):
                utc, imports = _utc(scene.file)
                yield scene.draft(
                    replace_expression(operand, f"{EXPR}.replace(tzinfo={utc})"),
                    *imports,
                    title=f"read `{scene.text(operand)}` as UTC",
                    weight=0.9,
                )

    @staticmethod
    def _both(scene: Scene) -> Iterator[Draft]:
        """Every operand that is read from a text may come without a zone, not only this one."""
        edits, names = list[Edit](), list[str]()
        utc, imports = _utc(scene.file)
        for operand in _operands(scene.node):
            for made in producers(scene.sources, scene.file, operand):
                anchor, call = made.anchor, made.node
                read = isinstance(call, ast.Call) and called_name(call) in _READERS
                if not read or made.file is not scene.file or not isinstance(anchor, ast.Assign):
                    continue
                name = scene.text(anchor.targets[0])
                if anchor.value is call and isinstance(anchor.targets[0], ast.Name):
                    guard = f"if {name}.tzinfo is None:\n    {name} = {name}.replace(tzinfo={utc})"
                    edits.append(insert_after(anchor, guard))
                    names.append(name)
        if len(set(names)) > 1 and len(set(names)) == len(edits):
            yield scene.draft(
                *edits,
                *imports,
                title=f"read {' and '.join(f'`{n}`' for n in names)} as UTC without a zone",
                weight=1.8,
            )

    def _made(self, scene: Scene, made: Producer, call: ast.Call) -> Iterator[Draft]:
        """A call that makes a time: told its zone, in its own form."""
        name, (utc, imports) = called_name(call), _utc(made.file)
        if name == "now" and not call.args and not call.keywords:
            yield scene.draft(
                add_argument(call, utc),
                *imports,
                title=f"`now({utc})` knows its zone",
                weight=1.6,
                file=made.file,
            )
        elif name == "utcnow":
            owner = made.file.segment(call.func).rpartition(".")[0]
            yield scene.draft(
                replace_expression(call, f"{owner}.now({utc})"),
                *imports,
                title=f"`now({utc})` in place of `utcnow()`, which knows no zone",
                weight=1.7,
                file=made.file,
            )
        elif name in _WITH_ZONE and not any(k.arg == "tz" for k in call.keywords):
            yield scene.draft(
                add_argument(call, f"tz={utc}"),
                *imports,
                title=f"`{name}` told the zone",
                weight=1.5,
                file=made.file,
            )
        elif name in _READERS:
            yield from self._from_text(scene, made, call)

    @staticmethod
    def _from_text(scene: Scene, made: Producer, call: ast.Call) -> Iterator[Draft]:
        anchor, (utc, imports) = made.anchor, _utc(made.file)
        named = isinstance(anchor, ast.Assign) and isinstance(anchor.targets[0], ast.Name)
        if isinstance(anchor, ast.Assign) and named and anchor.value is call:
            name = made.file.segment(anchor.targets[0])
            guard = f"if {name}.tzinfo is None:\n    {name} = {name}.replace(tzinfo={utc})"
            yield scene.draft(
                insert_after(anchor, guard),
                *imports,
                title=f"read `{name}` as UTC when it names no zone",
                weight=1.6,
                file=made.file,
            )
        around = made.file.parent(call)
        if isinstance(around, ast.Return):
            read = f"moment = {made.file.segment(call)}"
            guard = f"if moment.tzinfo is None:\n    moment = moment.replace(tzinfo={utc})"
            yield scene.draft(
                replace_statements([around], f"{read}\n{guard}\nreturn moment"),
                *imports,
                title="read the time as UTC when it names no zone",
                weight=1.5,
                file=made.file,
            )
        yield scene.draft(
            replace_expression(call, f"{EXPR}.replace(tzinfo={utc})"),
            *imports,
            title="read the time as UTC",
            weight=1.0,
            file=made.file,
        )


def _operands(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Compare):
        return [node.left, *node.comparators]
    return [node.left, node.right] if isinstance(node, ast.BinOp) else []


def _utc(file: SourceFile) -> tuple[str, list[Edit]]:
    """How the file names UTC, with the import where it does not yet."""
    if re.search(r"from datetime import .*\bUTC\b", file.text):
        return "UTC", []
    module = re.search(r"^import datetime(?: as (\w+))?$", file.text, re.MULTILINE)
    if module is not None:
        return f"{module[1] or 'datetime'}.timezone.utc", []
    return "timezone.utc", [add_import("from datetime import timezone")]
