"""Values that are read already, or that are written otherwise than the reader takes them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.patch_generator.edits import (
    EXPR,
    add_import,
    insert_before,
    replace_expression,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import anchor_of, is_stable
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY

_READERS = {
    "loads": "str | bytes",
    "fromisoformat": "str",
    "strptime": "str",
    "literal_eval": "str",
    "safe_load": "str",
    "unquote": "str",
    "parse": "str",
}
"""Functions that read a text, and what they take."""


class ReadAlready(Rule):
    """Leaves a value as it is that is no text any more, and reads the texts."""

    name = "read_already"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                import json


                def f(payload={'n': 4}):
                    data = json.loads(payload)
                    return data['n']
                """,
            after="""
                import json


                def f(payload={'n': 4}):
                    data = json.loads(payload) if isinstance(payload, (str, bytes)) else payload
                    return data['n']
                """,
        ),
        Example(
            before="""
                import json


                def f(payload=None):
                    return json.loads(payload)
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        other = re.search(r"must be (?:a )?str.*?(?:, not|but got|got) '?([\w.]+)", scene.message)
        bare = "argument must be str" in scene.message
        if scene.exception != "TypeError" or scene.failure.is_none or not (other or bare):
            return
        if not isinstance(node, ast.Call) or not node.args:
            return
        takes, value = _READERS.get(called_name(node)), node.args[0]
        if takes is None or not is_stable(value):
            return
        kinds = "(str, bytes)" if "bytes" in takes else "str"
        text = scene.text(value)
        yield scene.draft(
            replace_expression(node, f"{EXPR} if isinstance({text}, {kinds}) else {text}"),
            title=f"leave `{text}` as it is where it is read already",
            weight=1.7,
        )


class ReadNumber(Rule):
    """Reads a number that is written with a fraction, or with signs between its digits."""

    name = "read_number"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(text='1.5'):
                    return int(text)
                """,
            after="""
                def f(text='1.5'):
                    return int(float(text))
                """,
        ),
        Example(
            before="""
                def f(text='1,250.00'):
                    return float(text)
                """,
            after="""
                def f(text='1,250.00'):
                    return float(text.replace(",", ""))
                """,
        ),
        Example(
            before="""
                def f(text='2,5'):
                    return float(text)
                """,
            after="""
                def f(text='2,5'):
                    return float(text.replace(",", "."))
                """,
        ),
        Example(
            before="""
                def f(text='abc'):
                    return int(text)
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if scene.exception not in ("ValueError", "InvalidOperation"):
            return
        if not isinstance(node, ast.Call) or len(node.args) != 1:
            return
        name, value = called_name(node), node.args[0]
        said = re.search(r"(?:base 10|to float): (['\"])(.*)\1$", scene.message)
        if name not in ("int", "float") or said is None:
            return
        form = _number_form(said[2].strip(), whole=name == "int")
        if form:
            inner = form.replace("{}", scene.text(value) if is_stable(value) else EXPR)
            yield scene.draft(
                replace_expression(value, inner),
                title=f"read numbers such as {said[2]} too",
                weight=1.6,
            )


def _number_form(text: str, whole: bool) -> str:
    """How a text of this form is made one that `int` or `float` reads; "" where it is none."""
    if whole and re.fullmatch(r"[-+]?\d+\.\d*", text):
        return "float({})"
    if re.fullmatch(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?", text):
        cleaned = '{}.replace(",", "")'
        return f"float({cleaned})" if whole and "." in text else cleaned
    if re.fullmatch(r"[-+]?\d+,\d+", text) and not whole:
        return '{}.replace(",", ".")'
    if re.fullmatch(r"[-+]?\d{1,3}(?: \d{3})+", text):
        return '{}.replace(" ", "")'
    if re.fullmatch(r"[$\u20ac\u00a3#]\s*\d+(?:\.\d+)?", text) and not (whole and "." in text):
        return f'{{}}.lstrip("{text[0]} ")'
    if re.fullmatch(r"\d+(?:\.\d+)?\s*%", text) and not (whole and "." in text):
        return '{}.rstrip("% ")'
    return ""


class DayOfMoment(Rule):
    """Compares days with days: of a timestamp, its day."""

    name = "day_of_moment"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                from datetime import date, datetime


                def f(day=datetime(2020, 1, 1)):
                    return day < date(2024, 1, 1)
                """,
            after="""
                from datetime import date, datetime


                def f(day=datetime(2020, 1, 1)):
                    if isinstance(day, datetime):
                        day = day.date()
                    return day < date(2024, 1, 1)
                """,
        ),
        Example(
            before="""
                def f(day=3):
                    return day < 'a'
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        mixed = re.search(
            r"can't compare datetime\.datetime to datetime\.date"
            r"|'datetime\.datetime' and 'datetime\.date'"
            r"|'datetime\.date' and 'datetime\.datetime'",
            scene.message,
        )
        if mixed is None or not isinstance(node, ast.Compare | ast.BinOp):
            return
        sides = (
            [node.left, *node.comparators]
            if isinstance(node, ast.Compare)
            else [node.left, node.right]
        )
        anchor = anchor_of(scene.file, scene.statement)
        module = any(
            isinstance(n, ast.Import) and any(a.name == "datetime" for a in n.names)
            for n in scene.file.tree.body
        )
        kind = "datetime.datetime" if module else "datetime"
        imports = [] if module else [add_import("from datetime import datetime")]
        for side in sides:
            value = scene.value(side)
            if value is None or value.type_name.rpartition(".")[2] != "datetime":
                continue
            text = scene.text(side)
            if isinstance(side, ast.Name) and anchor is not None:
                guard = f"if isinstance({text}, {kind}):\n    {text} = {text}.date()"
                yield scene.draft(
                    insert_before(anchor, guard),
                    *imports,
                    title=f"of a timestamp in `{text}`, its day",
                    weight=1.7,
                )
            yield scene.draft(
                replace_expression(side, f"{EXPR}.date()"), title=f"the day of `{text}`", weight=1.3
            )
