"""Times as text: in the standard's form with parts that a fixed format does not expect."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.patch_generator.edits import replace_expression
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY

_UNREAD = re.compile(r"unconverted data remains|does not match format")


class StandardMoment(Rule):
    """Reads an ISO 8601 time as such, so that fractions and offsets may be there or not."""

    name = "standard_moment"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                from datetime import datetime

                FORMAT = '%Y-%m-%dT%H:%M:%S'


                def f(text='2024-01-02T10:00:00.123'):
                    return datetime.strptime(text, FORMAT)
                """,
            after="""
                from datetime import datetime

                FORMAT = '%Y-%m-%dT%H:%M:%S'


                def f(text='2024-01-02T10:00:00.123'):
                    return datetime.fromisoformat(text)
                """,
        ),
        Example(
            before="""
                from datetime import datetime


                def f(text='2.1.2024 10:00'):
                    return datetime.strptime(text, '%d.%m.%Y')
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if scene.exception != "ValueError" or not _UNREAD.search(scene.message):
            return
        if not isinstance(node, ast.Call) or called_name(node) != "strptime" or len(node.args) != 2:
            return
        form: ast.expr | None = node.args[1]
        if isinstance(form, ast.Name):
            form = scene.conventions.constants(scene.file).get(form.id)
        if not isinstance(form, ast.Constant) or not str(form.value).startswith("%Y-%m-%d"):
            return
        if isinstance(node.func, ast.Attribute):
            read = f"{scene.text(node.func.value)}.fromisoformat({scene.text(node.args[0])})"
            yield scene.draft(
                replace_expression(node, read),
                title="read the time in the standard's form, with what belongs to it",
                weight=1.7,
            )
