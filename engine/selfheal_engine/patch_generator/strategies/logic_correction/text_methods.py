"""Methods of text, asked of numbers, paths and other values that are no text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.patch_generator.edits import EXPR, replace_expression
from selfheal_engine.patch_generator.kinds import as_text_of
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY

_LACKS = re.compile(r"'([\w.]+)' object has no attribute '(\w+)'")
_OTHER = frozenset({"NoneType", "bytes", "bytearray", "list", "tuple", "dict", "set", "function"})
"""Types whose text is not what is meant, or that other rules know."""
_OF_TEXT = frozenset(dir(str))
_KNOWN = frozenset(
    {"int", "float", "Decimal", "UUID", "PosixPath", "WindowsPath", "date", "datetime", "time"}
)


class TextOfValue(Rule):
    """Asks the value's text, where the value is a number, a path or a member of an enumeration."""

    name = "text_of_value"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(row={'zip': 1010}):
                    return row['zip'].strip()
                """,
            after="""
                def f(row={'zip': 1010}):
                    return str(row['zip']).strip()
                """,
        ),
        Example(
            before="""
                from pathlib import Path


                def f(path=Path('/var/a.log')):
                    return path.endswith('.log')
                """,
            after="""
                from pathlib import Path


                def f(path=Path('/var/a.log')):
                    return str(path).endswith('.log')
                """,
        ),
        Example(
            before="""
                from enum import Enum


                class State(Enum):
                    OPEN = 'open'


                def f(state=State.OPEN):
                    return state.upper()
                """,
            after="""
                from enum import Enum


                class State(Enum):
                    OPEN = 'open'


                def f(state=State.OPEN):
                    return state.value.upper()
                """,
        ),
        Example(
            before="""
                def f(rows=['a']):
                    return rows.strip()
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        found, node = _LACKS.match(scene.message), scene.node
        if scene.exception != "AttributeError" or found is None or scene.depth:
            return
        kind, name = found[1].rpartition(".")[2], found[2]
        if not isinstance(node, ast.Attribute) or node.attr != name or name not in _OF_TEXT:
            return
        written = as_text_of(scene, kind)
        if kind in _OTHER or not (written or kind in _KNOWN):
            return
        form = written or "str({})"
        yield scene.draft(
            replace_expression(node.value, form.format(EXPR)),
            title=f"`{form.format(scene.text(node.value))}`, which is text",
            weight=1.5,
        )
