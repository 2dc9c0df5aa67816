"""Whether a value is the service's own, kept from before, or came in with the request.

Who sends a request is at fault only for what he sent: an empty list in the service's own table,
a row of its database and a file that it reads are not refused with a 4xx.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from selfheal_engine.diagnosis.origin import (
    argument_for,
    called_name,
    calls_on_line,
    definitions,
    last_assignment,
    parameters,
)
from selfheal_engine.diagnosis.source_file import Function, SourceFile
from selfheal_engine.model import Frame
from selfheal_engine.patch_generator.rules import Scene

MOST_STEPS = 10
_FETCHES = frozenset(
    {"fetchone", "fetchall", "fetchmany", "scalar", "scalars", "one_or_none", "getenv"}
)
_READS_FILES = frozenset({"open", "read_text", "read_bytes"})


def is_kept(scene: Scene, node: ast.expr) -> bool:
    """Whether the expression of the innermost frame reads what the service itself keeps."""
    failure = scene.findings.failure
    if failure is None:
        return False
    return _kept(scene, failure.file, node, scene.findings.own_frames, MOST_STEPS)


def fails_on_kept(scene: Scene) -> bool:
    """Whether what the failing call was given, or called on, is the service's own."""
    node = scene.findings.failure.node if scene.findings.failure is not None else None
    node = node.value if isinstance(node, ast.Await) else node
    if isinstance(node, ast.Call):
        if node.args:
            return is_kept(scene, node.args[0])
        return isinstance(node.func, ast.Attribute) and is_kept(scene, node.func.value)
    return isinstance(node, ast.Subscript) and is_kept(scene, node.value)


def _kept(
    scene: Scene, file: SourceFile, node: ast.expr, frames: Sequence[Frame], left: int
) -> bool:
    if left <= 0:
        return False
    if isinstance(node, ast.Name):
        return _kept_name(scene, file, node, frames, left)
    if isinstance(node, ast.Attribute):
        if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
            return False  # of whom it was made is not known here
        return file.segment(node) == "os.environ" or _kept(
            scene, file, node.value, frames, left - 1
        )
    if isinstance(node, ast.Subscript):
        return _is_table(file, node.value, node.slice) or _kept(
            scene, file, node.value, frames, left - 1
        )
    if isinstance(node, ast.Call):
        return _kept_call(scene, file, node, frames, left)
    if isinstance(node, ast.GeneratorExp | ast.ListComp | ast.SetComp):
        return _kept(scene, file, node.generators[0].iter, frames, left - 1)
    if isinstance(node, ast.Await | ast.Starred | ast.NamedExpr):
        return _kept(scene, file, node.value, frames, left - 1)
    return False


def _is_table(file: SourceFile, owner: ast.expr, key: ast.expr) -> bool:
    """`self.rooms[name]`: an object that is asked by a variable key keeps many things."""
    own = isinstance(owner, ast.Attribute) and file.segment(owner.value) in ("self", "cls")
    return own and not isinstance(key, ast.Constant)


def _kept_name(
    scene: Scene, file: SourceFile, node: ast.Name, frames: Sequence[Frame], left: int
) -> bool:
    for outer in file.ancestors(node):
        for made in getattr(outer, "generators", ()):
            if any(isinstance(n, ast.Name) and n.id == node.id for n in ast.walk(made.target)):
                return _kept(scene, file, made.iter, frames, left - 1)
        if isinstance(outer, ast.stmt):
            break
    function = file.function_of(node)
    if function is not None:
        found = last_assignment(file, function, node.id, node.lineno)
        if found is not None:
            return _kept(scene, file, found[1], frames, left - 1)
        if node.id in parameters(function):
            return _kept_argument(scene, function, node.id, frames, left)
    return any(
        isinstance(target, ast.Name) and target.id == node.id
        for statement in file.tree.body
        if isinstance(statement, ast.Assign | ast.AnnAssign)
        for target in (
            statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        )
    )


def _kept_argument(
    scene: Scene, function: Function, name: str, frames: Sequence[Frame], left: int
) -> bool:
    """A parameter is what the caller's captured frame hands in."""
    if len(frames) < 2:
        return False
    file = scene.sources.get(frames[-2].file)
    for call in calls_on_line(file, frames[-2], function.name) if file is not None else ():
        given = argument_for(call, function, name)
        if file is not None and given is not None:
            return _kept(scene, file, given, frames[:-1], left - 1)
    return False


def _kept_call(
    scene: Scene, file: SourceFile, node: ast.Call, frames: Sequence[Frame], left: int
) -> bool:
    name = called_name(node)
    if name in _FETCHES or name in _READS_FILES:
        return True
    if isinstance(node.func, ast.Attribute):
        owner = node.func.value
        if name == "get" and node.args and _is_table(file, owner, node.args[0]):
            return True
        if _kept(scene, file, owner, frames, left - 1):
            return not _is_maker(scene, file, owner)
    if name in ("list", "sorted", "tuple", "set", "reversed", "enumerate") and node.args:
        return _kept(scene, file, node.args[0], frames, left - 1)
    for other, function in definitions(scene.sources, file, node)[:1]:
        returned = [
            n.value for n in ast.walk(function) if isinstance(n, ast.Return) and n.value is not None
        ]
        return bool(returned) and all(
            _kept(scene, other, value, (), left - 2) or isinstance(value, ast.Constant)
            for value in returned
        )
    return False


def _is_maker(scene: Scene, file: SourceFile, owner: ast.expr) -> bool:
    """Whether a module's variable is an object that works on what it is given: a parser, a codec.

    A display and what is filled at run time are tables; what a class makes may be anything.
    """
    if not isinstance(owner, ast.Name):
        return False
    for statement in file.tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call):
            named = any(
                isinstance(target, ast.Name) and target.id == owner.id
                for target in statement.targets
            )
            if named and called_name(statement.value) not in _CONTAINERS:
                return True
    return False


_CONTAINERS = frozenset(
    {"dict", "list", "set", "deque", "defaultdict", "OrderedDict", "Counter", "ChainMap"}
)
