"""What another place of the file does when the same key is missing, done here too."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import parameters
from selfheal_engine.patch_generator.answers import module_names
from selfheal_engine.patch_generator.edits import indented, insert_before
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import anchor_of, looked_up, reached_when
from selfheal_engine.patch_generator.strategies.error_handling.wrapping import STRATEGY


class GuardAsElsewhere(Rule):
    """Asks for the key first, and refuses, as a sibling does for the same collection."""

    name = "guard_as_elsewhere"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                class Unknown(Exception):
                    pass


                SUBS = {}


                def rename(old, new):
                    if old not in SUBS:
                        raise Unknown(old)
                    SUBS[new] = SUBS.pop(old)


                def f(name='a'):
                    del SUBS[name]
                """,
            after="""
                class Unknown(Exception):
                    pass


                SUBS = {}


                def rename(old, new):
                    if old not in SUBS:
                        raise Unknown(old)
                    SUBS[new] = SUBS.pop(old)


                def f(name='a'):
                    if name not in SUBS:
                        raise Unknown(name)
                    del SUBS[name]
                """,
        ),
        Example(
            before="""
                SUBS = {}


                def has(name):
                    if name not in SUBS:
                        print('no')
                    return True


                def f(name='a'):
                    del SUBS[name]
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        failing = looked_up(scene)
        anchor = anchor_of(scene.file, scene.statement)
        if scene.exception != "KeyError" or failing is None or anchor is None:
            return
        container, key = (scene.text(part) for part in failing)
        reached = reached_when(scene.file, failing[0], scene.statement)
        missing = f"{key} not in {container}"
        condition = f"{reached} and {missing}" if reached else missing
        seen: set[str] = set()
        for donor in _guards_of(scene, container):
            code = _for_key(scene, donor, key)
            if code and code not in seen:
                seen.add(code)
                yield scene.draft(
                    insert_before(anchor, f"if {condition}:\n{indented(code)}"),
                    title=f"{code} when {key} is missing, as on line {donor.lineno}",
                    weight=1.8,
                    explanation="The same collection is asked first elsewhere in this file.",
                )


def _guards_of(scene: Scene, container: str) -> Iterator[ast.If]:
    """`if key not in container:` with one statement that leaves the function."""
    for node in ast.walk(scene.file.tree):
        if not isinstance(node, ast.If) or not isinstance(node.test, ast.Compare):
            continue
        asks = isinstance(node.test.ops[0], ast.NotIn) and len(node.test.ops) == 1
        leaves = len(node.body) == 1 and isinstance(node.body[0], ast.Raise | ast.Return)
        if asks and leaves and scene.text(node.test.comparators[0]) == container:
            yield node


def _for_key(scene: Scene, donor: ast.If, key: str) -> str:
    """The donor's way out, for our key; "" where it needs names that are not known here."""
    assert isinstance(donor.test, ast.Compare)
    theirs, leave = scene.text(donor.test.left), donor.body[0]
    known = module_names(scene.file)
    known |= set(parameters(scene.function)) if scene.function is not None else set()
    for node in ast.walk(leave):
        if isinstance(node, ast.Name) and node.id != theirs and node.id not in known:
            return ""
    return re.sub(rf"(?<![\w.]){re.escape(theirs)}(?!\w)", lambda _: key, scene.text(leave))
