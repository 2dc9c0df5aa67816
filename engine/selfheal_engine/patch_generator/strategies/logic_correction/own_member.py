"""A member that is looked for under an attribute, and that the object itself has."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.source_file import Function, Sources
from selfheal_engine.patch_generator.edits import replace_expression
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.logic_correction.guards import (
    STRATEGY,
    lacking_attribute,
)

MOST_BASES = 8


class OwnMember(Rule):
    """Asks the object itself where the attribute in between does not exist."""

    name = "own_member"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                class Base:
                    def make(self, name):
                        return name


                class Disk(Base):
                    def move(self, name):
                        return self.fs.make(name)


                def f():
                    return Disk().move('a')
                """,
            after="""
                class Base:
                    def make(self, name):
                        return name


                class Disk(Base):
                    def move(self, name):
                        return self.make(name)


                def f():
                    return Disk().move('a')
                """,
        ),
        Example(
            before="""
                class Disk:
                    def move(self, name):
                        return self.fs.make(name)


                def f():
                    return Disk().move('a')
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        lacking = lacking_attribute(scene)
        if lacking is None:
            return
        node, kind = lacking
        wanted = scene.file.parent(node)
        if not isinstance(wanted, ast.Attribute):
            return
        if wanted.attr in _members(scene.sources, kind):
            owner = scene.text(node.value)
            yield scene.draft(
                replace_expression(node, owner),
                title=f"`{owner}` itself has `{wanted.attr}`",
                weight=1.9,
            )


def _members(sources: Sources, kind: str) -> set[str]:
    """Methods of the project's class of this name and of its bases in the project."""
    names: set[str] = set()
    pending, seen = [kind], set[str]()
    while pending and len(seen) < MOST_BASES:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        for _, owner in sources.classes_named(current):
            names |= {part.name for part in owner.body if isinstance(part, Function)}
            pending += [ast.unparse(base).rpartition(".")[2] for base in owner.bases]
    return names
