"""Something that is made when it is first asked for, asked for past who makes it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from selfheal_engine.diagnosis.origin import parameters
from selfheal_engine.diagnosis.source_file import Function
from selfheal_engine.patch_generator.edits import insert_before, replace_expression
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import anchor_of, declares_global, in_comprehension
from selfheal_engine.patch_generator.strategies.null_check.guarded_value import STRATEGY, guarded


@dataclass(frozen=True)
class _Maker:
    """A function without arguments that makes what is missing."""

    call: str
    asks: bool
    """It makes it only where it is None."""
    gives: bool
    """It returns it."""


class MakeOnDemand(Rule):
    """Asks the function that makes the missing thing when it is first wanted."""

    name = "make_on_demand"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                class Index:
                    def __init__(self):
                        self.rows = None

                    def load(self):
                        if self.rows is None:
                            self.rows = [1, 2]
                        return self.rows

                    def first(self):
                        return self.rows[0]


                def f():
                    return Index().first()
                """,
            after="""
                class Index:
                    def __init__(self):
                        self.rows = None

                    def load(self):
                        if self.rows is None:
                            self.rows = [1, 2]
                        return self.rows

                    def first(self):
                        return self.load()[0]


                def f():
                    return Index().first()
                """,
        ),
        Example(
            before="""
                class Index:
                    rows = None

                    def load(self):
                        self.rows = [1, 2]

                    def first(self):
                        return self.rows[0]


                def f():
                    return Index().first()
                """,
            after="""
                class Index:
                    rows = None

                    def load(self):
                        self.rows = [1, 2]

                    def first(self):
                        if self.rows is None:
                            self.load()
                        return self.rows[0]


                def f():
                    return Index().first()
                """,
        ),
        Example(
            before="""
                _rows = None


                def rows():
                    global _rows
                    if not _rows:
                        _rows = [1, 2]
                    return _rows


                def f():
                    return _rows[0]
                """,
            after="""
                _rows = None


                def rows():
                    global _rows
                    if not _rows:
                        _rows = [1, 2]
                    return _rows


                def f():
                    return rows()[0]
                """,
        ),
        Example(
            before="""
                class Index:
                    rows = None

                    def load(self, path):
                        self.rows = [path]

                    def first(self):
                        return self.rows[0]


                def f():
                    return Index().first()
                """,
        ),
        Example(
            before="""
                _rows = None


                def others():
                    _rows = [1, 2]
                    return _rows


                def f():
                    return _rows[0]
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        culprit = guarded(scene)
        if culprit is None or scene.depth:
            return
        anchor = anchor_of(scene.file, scene.statement)
        for maker in _makers(scene, culprit):
            name = scene.text(culprit)
            if maker.asks and maker.gives:
                yield scene.draft(
                    replace_expression(culprit, maker.call),
                    title=f"`{maker.call}` makes what `{name}` has not got yet",
                    weight=2.0,
                )
            elif anchor is not None and not in_comprehension(scene.file, culprit, scene.statement):
                call = maker.call if maker.asks else f"if {name} is None:\n    {maker.call}"
                yield scene.draft(
                    insert_before(anchor, call),
                    title=f"`{maker.call}` first, where `{name}` is None",
                    weight=1.8,
                )


def _makers(scene: Scene, culprit: ast.expr) -> Iterator[_Maker]:
    """The class's methods, or the module's functions, that give the missing thing a value."""
    if isinstance(culprit, ast.Attribute) and isinstance(culprit.value, ast.Name):
        owner = scene.file.class_of(culprit)
        if owner is None or culprit.value.id != "self":
            return
        body, start, arguments = owner.body, "self.", 1
    elif isinstance(culprit, ast.Name) and not _binds(scene.function, culprit.id):
        body, start, arguments = scene.file.tree.body, "", 0
    else:
        return
    for function in body:
        if not isinstance(function, Function) or function is scene.function:
            continue
        if function.name == "__init__" or _takes(function) != arguments:
            continue
        waits = isinstance(function, ast.AsyncFunctionDef)
        if waits and not isinstance(scene.function, ast.AsyncFunctionDef):
            continue
        if isinstance(culprit, ast.Name) and not declares_global(function, culprit.id):
            continue
        maker = _maker(function, ast.unparse(culprit), start)
        if maker is not None:
            yield maker


def _maker(function: Function, wanted: str, start: str) -> _Maker | None:
    asks = makes = gives = False
    for node in ast.walk(function):
        if isinstance(node, ast.If):
            asks |= any(ast.unparse(part) == wanted for part in ast.walk(node.test))
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(ast.unparse(target) == wanted for target in targets):
                if isinstance(node.value, ast.Constant) and node.value.value is None:
                    return None  # it is made and ended by this function alone
                makes = True
        elif isinstance(node, ast.Return) and node.value is not None:
            gives |= ast.unparse(node.value) == wanted
    decorators = {ast.unparse(decorator) for decorator in function.decorator_list}
    if not makes or decorators - {"property"}:
        return None
    call = f"{start}{function.name}" + ("" if decorators else "()")
    if isinstance(function, ast.AsyncFunctionDef):
        call = f"(await {call})"
    return _Maker(call, asks, gives)


def _takes(function: Function) -> int:
    """How many arguments must be given; -1 where that cannot be told."""
    arguments = function.args
    if arguments.vararg or any(default is None for default in arguments.kw_defaults):
        return -1
    return len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)


def _binds(function: Function | None, name: str) -> bool:
    """Whether the name is the function's own: a parameter, or assigned there."""
    if function is None:
        return False
    return name in parameters(function) or any(
        isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == name
        for node in ast.walk(function)
    )
