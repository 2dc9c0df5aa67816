"""Attributes that a class sets on some paths only, or that stand for themselves without end."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import islice

from selfheal_engine.diagnosis.source_file import Function, SourceFile
from selfheal_engine.patch_generator.edits import (
    Edit,
    insert_before,
)
from selfheal_engine.patch_generator.mutations.missing import base_starts
from selfheal_engine.patch_generator.neutral_values import by_use
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import first_statement
from selfheal_engine.patch_generator.strategies.logic_correction.guards import (
    MISSING_ATTRIBUTE,
    STRATEGY,
    lacking_attribute,
)


class SetBeforehand(Rule):
    """Gives an attribute its first value at the start, where so far only some paths set it."""

    name = "set_beforehand"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                class Client:
                    def __init__(self, key=None):
                        if key:
                            self.token = 'Bearer ' + key

                    def headers(self):
                        return {'a': self.token} if self.token else {}


                def f():
                    return Client().headers()
                """,
            after="""
                class Client:
                    def __init__(self, key=None):
                        self.token = None
                        if key:
                            self.token = 'Bearer ' + key

                    def headers(self):
                        return {'a': self.token} if self.token else {}


                def f():
                    return Client().headers()
                """,
        ),
        Example(
            before="""
                class Worker:
                    def __init__(self):
                        self.name = 'w'

                    def start(self):
                        self.jobs = []

                    def pending(self):
                        return len(self.jobs)


                def f():
                    return Worker().pending()
                """,
            after="""
                class Worker:
                    def __init__(self):
                        self.jobs = []
                        self.name = 'w'

                    def start(self):
                        self.jobs = []

                    def pending(self):
                        return len(self.jobs)


                def f():
                    return Worker().pending()
                """,
        ),
        Example(
            before="""
                class Worker:
                    def __init__(self):
                        self.name = 'w'


                def f():
                    return Worker().title
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        lacking = lacking_attribute(scene)
        if lacking is None:
            return
        node, kind = lacking
        name = node.attr
        for file, owner in _class_named(scene, kind):
            setters = list(_setters(file, owner, name))
            if not setters:
                continue
            values = _first_values(scene, node, setters)
            if values[0] in _SHAREABLE:
                # objects that live already lack it too: the class gives it to all of them
                yield scene.draft(
                    insert_before(first_statement(owner.body), f"{name} = {values[0]}"),
                    title=f"`{name}` is {values[0]} for every `{kind}` until something sets it",
                    weight=1.5,
                    file=file,
                )
            for rank, value in enumerate(values):
                edit = _set_first(file, owner, setters, f"{name} = {value}")
                yield scene.draft(
                    edit,
                    title=f"`{name}` is {value} until something sets it",
                    weight=1.8 - 0.4 * rank,
                    file=file,
                )


_SHAREABLE = frozenset({"None", "0", "0.0", "''", '""', "False"})
"""Values that all objects of a class may share, since nobody can change them."""


def _class_named(scene: Scene, kind: str) -> list[tuple[SourceFile, ast.ClassDef]]:
    """The first of the project's classes of this name, where there is one."""
    return list(islice(scene.sources.classes_named(kind), 1))


def _setters(
    file: SourceFile, owner: ast.ClassDef, name: str
) -> Iterator[tuple[Function, ast.Assign | ast.AnnAssign]]:
    """The assignments to `self.name` in the class's methods."""
    for node in ast.walk(owner):
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(t, ast.Attribute) and t.attr == name for t in targets):
            function = file.function_of(node)
            if function is not None:
                yield function, node


def _first_values(
    scene: Scene, node: ast.Attribute, setters: list[tuple[Function, ast.Assign | ast.AnnAssign]]
) -> list[str]:
    """None where somebody asks for it; else what the use needs, or an empty one of the kind set."""
    asked = _is_asked(scene, node)
    given = [setter.value for _, setter in setters]
    empties = [ast.unparse(v) for v in given if v is not None and ast.unparse(v) in _EMPTY]
    needed = by_use(scene.file, node)
    values = ["None"] if asked else []
    values += empties + ([needed] if needed else []) + ["None"]
    return list(dict.fromkeys(values))[:2]


_EMPTY = frozenset({"[]", "{}", "set()", "0", "''", "False", "None", "0.0", "dict()", "list()"})


def _is_asked(scene: Scene, node: ast.Attribute) -> bool:
    """Whether code of the file asks if the attribute is there: `if self.x`, `self.x is None`."""
    for part in ast.walk(scene.file.tree):
        test = getattr(part, "test", None)
        for inside in ast.walk(test) if isinstance(test, ast.expr) else ():
            if not isinstance(inside, ast.Attribute) or inside.attr != node.attr:
                continue
            around = scene.file.parent(inside)
            compared = isinstance(around, ast.Compare) and isinstance(
                around.ops[0], ast.Is | ast.IsNot
            )
            if inside is test or compared or isinstance(around, ast.BoolOp | ast.UnaryOp):
                return True
    return False


def _set_first(
    file: SourceFile,
    owner: ast.ClassDef,
    setters: list[tuple[Function, ast.Assign | ast.AnnAssign]],
    code: str,
) -> Edit:
    """Before the branch of `__init__` that sets it, at its start, or in the class itself."""
    start = next((n for n in owner.body if isinstance(n, Function) and n.name == "__init__"), None)
    if start is None:
        return insert_before(first_statement(owner.body), code)
    for function, setter in setters:
        if function is start:
            for statement in start.body:
                if setter in set(ast.walk(statement)):
                    return insert_before(statement, f"self.{code}")
    return insert_before(first_statement(start.body), f"self.{code}")


class StartBase(Rule):
    """Calls the base class's `__init__`, which sets the attribute that is missing."""

    name = "start_base"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                class Base:
                    def __init__(self, owner):
                        self.owner = owner


                class Mail(Base):
                    def __init__(self, owner, host='h'):
                        self.host = host


                def f():
                    return Mail('ann').owner
                """,
            after="""
                class Base:
                    def __init__(self, owner):
                        self.owner = owner


                class Mail(Base):
                    def __init__(self, owner, host='h'):
                        super().__init__(owner)
                        self.host = host


                def f():
                    return Mail('ann').owner
                """,
        ),
        Example(
            before="""
                class Base:
                    def __init__(self):
                        self.owner = 1


                class Mail(Base):
                    def __init__(self):
                        super().__init__()


                def f():
                    return Mail().host
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        found = MISSING_ATTRIBUTE.match(scene.message)
        unstarted = "__init__() not called" in scene.message
        if found is None and not unstarted:
            return
        names = [found[1].rpartition(".")[2]] if found is not None else list(_made_here(scene))
        for kind in names:
            for file, owner in _class_named(scene, kind):
                if found is not None and not _inherits(scene, file, owner, found[2]):
                    continue
                start = next(
                    (n for n in owner.body if isinstance(n, Function) and n.name == "__init__"),
                    None,
                )
                if start is None:
                    continue
                # the first is the one that the base class's signature asks for
                code = next(base_starts(start, file, scene.sources), "")
                if code:
                    yield scene.draft(
                        insert_before(first_statement(start.body), code),
                        title=f"`{kind}` starts its base class",
                        weight=1.9,
                        file=file,
                    )


def _made_here(scene: Scene) -> Iterator[str]:
    """Classes that the frame's values are of."""
    for _, value in scene.frame.locals:
        yield value.type_name.rpartition(".")[2]


def _inherits(scene: Scene, file: SourceFile, owner: ast.ClassDef, name: str) -> bool:
    """Whether a base class's methods set the attribute, or cannot be read."""
    bases = [ast.unparse(base).rpartition(".")[2] for base in owner.bases]
    for base in bases:
        known = _class_named(scene, base)
        for other, parent in known:
            if any(_setters(other, parent, name)) or _inherits(scene, other, parent, name):
                return True
        if not known and base not in ("object", "ABC", "Protocol", "Enum", "Exception"):
            return True
    return False
