"""Records that one place keeps in another form than the others: under another key, or as text."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from selfheal_engine.diagnosis.odd_writers import odd_keys, value_behind
from selfheal_engine.diagnosis.producers import kept_as
from selfheal_engine.diagnosis.source_file import SourceFile
from selfheal_engine.patch_generator.conventions import is_test
from selfheal_engine.patch_generator.edits import replace_expression
from selfheal_engine.patch_generator.kinds import kind_of
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY

MOST = 2


class KeyAsElsewhere(Rule):
    """Writes the key as the other records of this kind do, and reads what was kept till now."""

    name = "key_as_elsewhere"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def arrived(sku, amount):
                    return {'sku': sku, 'at': 1, 'quantity': amount}


                def left(sku, amount):
                    return {'sku': sku, 'at': 2, 'qty': -amount}


                def f():
                    entries = [arrived('a', 3), left('a', 1)]
                    return sum(e['quantity'] for e in entries)
                """,
            after="""
                def arrived(sku, amount):
                    return {'sku': sku, 'at': 1, 'quantity': amount}


                def left(sku, amount):
                    return {'sku': sku, 'at': 2, 'quantity': -amount}


                def f():
                    entries = [arrived('a', 3), left('a', 1)]
                    return sum(e['quantity' if 'quantity' in e else 'qty'] for e in entries)
                """,
        ),
        Example(
            before="""
                def f():
                    entry = {'sku': 1, 'at': 2, 'qty': 3}
                    other = {'sku': 1, 'at': 2, 'quantity': 3}
                    return entry['qty'] + entry['quantity'] + len(other)
                """,
        ),
        Example(
            before="""
                def f():
                    entry = {'name': 1, 'qty': 3}
                    other = {'title': 1, 'at': 2, 'quantity': 3}
                    return entry['quantity'] + len(other)
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if scene.exception != "KeyError" or scene.depth or not isinstance(node, ast.Subscript):
            return
        found = (w for w in odd_keys(scene.sources, scene.failure) if not is_test(w.file.path))
        for writer in islice(found, MOST):
            quote = writer.file.segment(writer.key)[:1]
            right = scene.draft(
                replace_expression(writer.key, f"{quote}{writer.wanted}{quote}"),
                title=f"write {writer.wanted!r} as elsewhere, where it was {writer.written!r}",
                weight=1.4,
                file=writer.file,
            )
            kept, key = scene.text(node.value), scene.text(node.slice)
            old = f"{key[:1]}{writer.written}{key[:1]}"
            tolerant = scene.draft(
                replace_expression(node.slice, f"{key} if {key} in {kept} else {old}"),
                title=f"{right.title}, and read what was kept till now",
                weight=1.7,
                explanation="Records that were kept before the patch have the other key.",
            )
            if isinstance(node.value, ast.Name):  # it is named twice
                yield replace(tolerant, edits=(*right.edits, *tolerant.edits))
            yield right


class KeepTheValue(Rule):
    """Keeps the value itself, as other places do, where one place keeps its text."""

    name = "keep_the_value"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                import datetime

                LOAN = {'due': datetime.date(2024, 1, 31)}


                def extend(days):
                    due = LOAN['due'] + datetime.timedelta(days=days)
                    LOAN['due'] = due.isoformat()


                def f():
                    extend(3)
                    return LOAN['due'] - datetime.date(2024, 1, 1)
                """,
            after="""
                import datetime

                LOAN = {'due': datetime.date(2024, 1, 31)}


                def extend(days):
                    due = LOAN['due'] + datetime.timedelta(days=days)
                    LOAN['due'] = due


                def f():
                    extend(3)
                    return LOAN['due'] - datetime.date(2024, 1, 1)
                """,
        ),
        Example(
            before="""
                class Meter:
                    def __init__(self):
                        self.count = 0

                    def read(self, line):
                        count = len(line)
                        self.count = str(count)


                METER = Meter()


                def f():
                    METER.read('abc')
                    return METER.count + 1
                """,
            after="""
                class Meter:
                    def __init__(self):
                        self.count = 0

                    def read(self, line):
                        count = len(line)
                        self.count = count


                METER = Meter()


                def f():
                    METER.read('abc')
                    return METER.count + 1
                """,
        ),
        Example(
            before="""
                ROW = {'count': str(3)}


                def f():
                    return ROW['count'] + 1
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if scene.exception not in ("TypeError", "AttributeError") or scene.depth:
            return
        if scene.exception == "AttributeError" and "'str' object" not in scene.message:
            return
        for operand in _held(scene.node):
            if kind_of(scene, operand) not in ("str", ""):
                continue
            yield from self._kept(scene, operand)

    @staticmethod
    def _kept(scene: Scene, operand: ast.expr) -> Iterator[Draft]:
        made = [p for p in _makers(scene, operand) if not is_test(p[0].path)]
        texts = [(file, node) for file, node in made if value_behind(node) is not None]
        values = [node for _, node in made if value_behind(node) is None and not _is_text(node)]
        if not values:
            return  # the text is what is kept here
        for file, node in islice(texts, MOST):
            value = value_behind(node)
            if value is not None:
                yield scene.draft(
                    replace_expression(node, file.segment(value)),
                    title=f"keep `{file.segment(value)}` itself, as elsewhere, not its text",
                    weight=1.6,
                    file=file,
                )


def _held(node: ast.AST) -> list[ast.expr]:
    """Operands of the failing expression that are kept under a key or an attribute."""
    parts: list[ast.expr] = []
    if isinstance(node, ast.BinOp):
        parts = [node.left, node.right]
    elif isinstance(node, ast.Compare):
        parts = [node.left, *node.comparators]
    elif isinstance(node, ast.AugAssign | ast.Attribute):
        parts = [node.value]
    return [part for part in parts if isinstance(part, ast.Subscript | ast.Attribute)]


def _makers(scene: Scene, operand: ast.expr) -> list[tuple[SourceFile, ast.expr]]:
    """What is kept under the operand's own key or attribute, one step back."""
    near = kept_as(scene.sources, scene.file, operand)
    return [(producer.file, producer.node) for producer in near]


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str | type(None))
    )
