"""Clocks with and without a zone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name, last_assignment
from selfheal_engine.diagnosis.producers import Producer, producers
from selfheal_engine.diagnosis.source_file import SourceFile
from selfheal_engine.patch_generator.edits import (
    EXPR,
    Edit,
    add_argument,
    add_import,
    insert_after,
    insert_before,
    replace_expression,
    replace_statements,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import anchor_of, in_comprehension, is_stable
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
                from datetime import datetime, timezone

                QUEUE = [{'at': '2024-01-01T10:00:00'}, {'at': '2024-01-01T10:00:00+01:00'}]


                def parse(stamp):
                    return datetime.fromisoformat(stamp)


                def f():
                    now = datetime.now(timezone.utc)
                    items = [{'at': parse(item['at'])} for item in QUEUE]
                    return [item for item in items if item['at'] <= now]
                """,
            after="""
                from datetime import datetime, timezone

                QUEUE = [{'at': '2024-01-01T10:00:00'}, {'at': '2024-01-01T10:00:00+01:00'}]


                def parse(stamp):
                    moment = datetime.fromisoformat(stamp)
                    if moment.tzinfo is None:
                        moment = moment.replace(tzinfo=timezone.utc)
                    return moment


                def f():
                    now = datetime.now(timezone.utc)
                    items = [{'at': parse(item['at'])} for item in QUEUE]
                    return [item for item in items if item['at'] <= now]
                """,
        ),
        Example(
            before="""
                from datetime import datetime, timezone


                def f(text='2.1.2024'):
                    day = datetime.strptime(text, '%d.%m.%Y')
                    return day < datetime.now(timezone.utc)
                """,
            after="""
                from datetime import datetime, timezone


                def f(text='2.1.2024'):
                    day = datetime.strptime(text, '%d.%m.%Y').replace(tzinfo=timezone.utc)
                    return day < datetime.now(timezone.utc)
                """,
        ),
        Example(
            before="""
                from datetime import datetime, timezone


                def f(opened=datetime(2024, 1, 1), now=datetime(2024, 1, 2, tzinfo=timezone.utc)):
                    return now - opened
                """,
            after="""
                from datetime import datetime, timezone


                def f(opened=datetime(2024, 1, 1), now=datetime(2024, 1, 2, tzinfo=timezone.utc)):
                    if opened.tzinfo is None:
                        opened = opened.replace(tzinfo=timezone.utc)
                    return now - opened
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
        for operand in _without_zone(scene):
            for made in producers(scene.sources, scene.file, operand):
                # one of two readings alone would only wait for the other to come without a zone
                read = isinstance(made.node, ast.Call) and called_name(made.node) in _READERS
                if isinstance(made.node, ast.Call) and not (both and read):
                    yield from self._made(scene, made, made.node)
            yield from self._used(scene, operand)

    @staticmethod
    def _used(scene: Scene, operand: ast.expr) -> Iterator[Draft]:
        """Where it is compared: of several values that come here, some may have a zone."""
        if not is_stable(operand):
            return
        (utc, imports), text = _utc(scene.file), scene.text(operand)
        anchor = anchor_of(scene.file, scene.statement)
        inside = in_comprehension(scene.file, operand, scene.statement)
        aware = f"{text}.replace(tzinfo={utc})"
        if isinstance(operand, ast.Name) and anchor is not None and not inside:
            edit = insert_before(anchor, f"if {text}.tzinfo is None:\n    {text} = {aware}")
        else:
            edit = replace_expression(operand, f"({EXPR} if {text}.tzinfo else {aware})")
        yield scene.draft(
            edit, *imports, title=f"read `{text}` as UTC when it names no zone", weight=1.2
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
        if _names_no_zone(made.file, call):
            yield scene.draft(
                replace_expression(call, f"{EXPR}.replace(tzinfo={utc})"),
                *imports,
                title="read the time as UTC",
                weight=1.7,
                file=made.file,
            )
            return
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


_NO_ZONE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?")


def _without_zone(scene: Scene) -> list[ast.expr]:
    """The operands whose clock has no zone: by their values, else by how they are made."""
    found = []
    for operand in _operands(scene.node):
        value = scene.value(operand)
        known = value is not None and value.type_name == "datetime" and value.text
        if value is not None and known and not _NO_ZONE.fullmatch(value.text):
            continue
        if not known and _gets_zone(scene, operand):
            continue
        found.append(operand)
    return found


def _gets_zone(scene: Scene, operand: ast.expr) -> bool:
    """Whether the nearest call that makes the operand gives it a zone."""
    for made in producers(scene.sources, scene.file, operand):
        call = made.node
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        name, words = call.func.attr, {k.arg for k in call.keywords}
        if name in ("now", "fromtimestamp", "replace", "datetime"):
            told = bool(words & {"tz", "tzinfo"})
            return told or (name == "now" and bool(call.args))
        if name in (*_READERS, "utcnow"):
            return False
        if name in ("astimezone", "localize"):
            return True
    return False


def _names_no_zone(file: SourceFile, call: ast.Call) -> bool:
    """Whether what the call reads never has a zone, by the format that it is read in."""
    if called_name(call) == "utcfromtimestamp":
        return True
    if called_name(call) != "strptime" or len(call.args) != 2:
        return False
    form = call.args[1]
    if isinstance(form, ast.Name):
        found = last_assignment(file, None, form.id, len(file.lines))
        form = found[1] if found is not None and found[2] == "value" else form
    return isinstance(form, ast.Constant) and not re.search("%[zZ]", str(form.value))


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
