"""A caller answers for an error that says "not there": then that is what a None should raise."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.patch_generator.edits import replace_statements
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import called_per_item, guard_site
from selfheal_engine.patch_generator.strategies.null_check.guarded_value import STRATEGY, guarded

_SAYS_ABSENT = ("LookupError", "KeyError", "IndexError", "ValueError", "FileNotFoundError")
"""Built-in exceptions for what is not there or no good, the most telling first."""


class RaiseWhatIsHandled(Rule):
    """Raises, where there is None, the built-in error that a caller on the stack answers for."""

    name = "raise_what_is_handled"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                ROWS = {}


                def team_of(key):
                    row = ROWS.get(key)
                    return row['team']


                def f(key='a'):
                    try:
                        return 200, team_of(key)
                    except LookupError:
                        return 404, None
                """,
            after="""
                ROWS = {}


                def team_of(key):
                    row = ROWS.get(key)
                    if row is None:
                        raise LookupError("row not found")
                    return row['team']


                def f(key='a'):
                    try:
                        return 200, team_of(key)
                    except LookupError:
                        return 404, None
                """,
        ),
        Example(
            before="""
                def team_of(row):
                    return row['team']


                def f(row=None):
                    try:
                        return team_of(row)
                    except OSError:
                        return None
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        culprit = guarded(scene)
        if culprit is None or scene.function is None or scene.depth:
            return
        site = guard_site(scene, culprit)
        error = _answered_above(scene)
        if site is None or not error:
            return
        word = site.name.rpartition(".")[2].strip("_").replace("_", " ")
        word = word if word.replace(" ", "").isidentifier() else "value"
        guard = f'if {site.name} is None:\n    raise {error}("{word} not found")\n'
        yield scene.draft(
            replace_statements([site.anchor], site.before(guard)),
            *site.edits,
            title=f"raise {error}, which a caller answers for, when `{site.name}` is None",
            weight=0.9 if called_per_item(scene) else 1.7,
            explanation="The caller's own answer for what is not there is given.",
        )


def _answered_above(scene: Scene) -> str:
    """The error of a handler around one of the calls on the stack; "" where there is none."""
    for frame in reversed(scene.findings.own_frames):
        file = scene.sources.get(frame.file)
        for node in ast.walk(file.tree) if file is not None else ():
            if not isinstance(node, ast.Try):
                continue
            if not node.body[0].lineno <= frame.line <= (node.body[-1].end_lineno or 0):
                continue
            for handler in node.handlers:
                names = _names(handler.type)
                known = [name for name in _SAYS_ABSENT if name in names]
                if known and isinstance(handler.body[-1], ast.Return | ast.Raise):
                    return known[0]
    return ""


def _names(types: ast.expr | None) -> set[str]:
    return {node.id for node in ast.walk(types) if isinstance(node, ast.Name)} if types else set()
