"""Which container grows, where it is made and by which limit it may be bound."""

from __future__ import annotations

import ast

from selfheal_engine.diagnosis.growing import closure_made, growing, shrinks, storing
from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.diagnosis.source_file import Function
from selfheal_engine.patch_generator.rules import Scene

STRATEGY = "memory_leak_fix"


KINDS = frozenset({"leak", "exception"})


def container_of(scene: Scene) -> ast.expr | None:
    """The container that the growing line stores into, else the one that the report names."""
    statement = scene.statement
    for node in storing(statement):
        return node
    function = scene.function
    named_by_report = [g.holder for g in scene.occurrence.growth if g.holder]
    holders = {holder.rpartition(".")[2].strip("[]'\"") for holder in named_by_report}
    root: ast.AST = function or scene.file.tree
    stored = [
        container
        for node in ast.walk(root)
        if isinstance(node, ast.stmt) and not isinstance(node, Function | ast.ClassDef)
        for container in storing(node)
    ]
    named = [c for c in stored if scene.text(c).rpartition(".")[2] in holders]
    if named:
        return named[0]
    lasting = [c for c in stored if is_lasting(scene, c)]
    return lasting[0] if lasting else None


def containers_of(scene: Scene) -> list[ast.expr]:
    """The container above, then the others of the file that only grow."""
    first = container_of(scene)
    found = [first] if first is not None and is_lasting(scene, first) else []
    known = {scene.text(c) for c in found}
    others = [c for c in growing(scene.file) if scene.text(c) not in known]
    if found and not shrinks(scene.file, scene.text(found[0])):
        return [*found, *others]
    return [*others, *found]


def is_lasting(scene: Scene, container: ast.expr) -> bool:
    """Whether it outlives the call: of a module, a closure, an object, or a mutable default."""
    if isinstance(container, ast.Attribute):
        return True
    if not isinstance(container, ast.Name):
        return False
    if made_at(scene, container) is not None:
        return True
    function = scene.function
    return function is not None and mutable_default(function, container.id) is not None


def made_at(scene: Scene, container: ast.expr) -> ast.Assign | ast.AnnAssign | None:
    """The statement that makes the container: in the module, a function around, the class."""
    if isinstance(container, ast.Name):
        for statement in scene.file.tree.body:
            targets = targets_of(statement)
            if any(isinstance(t, ast.Name) and t.id == container.id for t in targets):
                assert isinstance(statement, ast.Assign | ast.AnnAssign)
                return statement
        return closure_made(scene.file, container)
    if isinstance(container, ast.Attribute):
        for node in ast.walk(scene.file.tree):
            for target in targets_of(node):
                same = isinstance(target, ast.Attribute) and target.attr == container.attr
                in_class = (
                    isinstance(target, ast.Name)
                    and target.id == container.attr
                    and isinstance(scene.file.parent(node), ast.ClassDef)
                )
                if same or in_class:
                    assert isinstance(node, ast.Assign | ast.AnnAssign)
                    return node
    return None


def is_served(scene: Scene, container: ast.expr) -> bool:
    """Whether the project goes through the items and calls them: listeners, clients, handlers.

    Of those none may be dropped while it is there, however many there are.
    """
    last = getattr(container, "attr", getattr(container, "id", ""))
    for file in scene.sources.all():
        for loop in ast.walk(file.tree) if last in file.text else ():
            if not isinstance(loop, ast.For | ast.AsyncFor | ast.comprehension):
                continue
            over = {getattr(n, "attr", getattr(n, "id", "")) for n in ast.walk(loop.iter)}
            items = {n.id for n in ast.walk(loop.target) if isinstance(n, ast.Name)}
            around = file.parent(loop) if isinstance(loop, ast.comprehension) else loop
            for call in ast.walk(around or loop) if last in over else ():
                called = call.func if isinstance(call, ast.Call) else None
                owner = called.value if isinstance(called, ast.Attribute) else called
                if isinstance(owner, ast.Name) and owner.id in items:
                    return True
    return False


def targets_of(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign) and node.value is not None else []


def mutable_default(function: Function, name: str) -> ast.expr | None:
    a = function.args
    positional = [*a.posonlyargs, *a.args]
    pairs = list(zip(reversed(positional), reversed(a.defaults), strict=False))
    pairs += [(k, d) for k, d in zip(a.kwonlyargs, a.kw_defaults, strict=True) if d is not None]
    for argument, default in pairs:
        if argument.arg == name and isinstance(default, ast.List | ast.Dict | ast.Set | ast.Call):
            return default
    return None


def kind_of(value: ast.expr | None) -> str:
    """dict, list, set, deque, OrderedDict or "" for the expression that makes a container."""
    if isinstance(value, ast.Dict):
        return "dict"
    if isinstance(value, ast.List):
        return "list"
    if isinstance(value, ast.Set):
        return "set"
    name = called_name(value) if isinstance(value, ast.Call) else ""
    return name if name in ("dict", "list", "set", "deque", "OrderedDict", "defaultdict") else ""
