"""What several threads share: which state, who uses it, and under which lock."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from selfheal_engine.diagnosis.source_file import Function, SourceFile
from selfheal_engine.patch_generator.edits import (
    BODY,
    Edit,
    add_import,
    insert_before,
    replace_statements,
)
from selfheal_engine.patch_generator.rules import Scene
from selfheal_engine.patch_generator.sites import first_statement
from selfheal_engine.patch_generator.strategies.race_condition_fix.locking import MUTATES

_MADE_BY_OTHERS = frozenset(
    {"RuntimeError", "KeyError", "IndexError", "ValueError", "AssertionError"}
    | {"AttributeError", "TypeError"}
)


@dataclass(frozen=True)
class Guard:
    """One lock around every use of a shared state."""

    lock: str
    is_new: bool
    edits: tuple[Edit, ...]
    places: int
    runs: tuple[list[ast.stmt], ...]
    """What the lock is held for, one run of statements for each function that gets it."""


def guard(
    scene: Scene, shared: str, instead: Mapping[Function, Edit] | None = None
) -> Guard | None:
    """The lock there is, else a new one, in every function; `instead` edits some otherwise.

    `{lock}` in the code of such an edit stands for the lock. None where all is guarded.
    """
    file = scene.file
    owner = file.class_of(scene.statement) if shared.startswith("self.") else None
    known = scene.conventions.locks(file).get(owner.name if owner is not None else "", [])
    users = users_of(file, shared, owner)
    name = "self._lock" if owner is not None else f"_{shared.strip('_').lower()}_lock"
    lock = known[0] if known else name
    edits: list[Edit] = []
    runs = []
    for function, run in users:
        if is_under(file, run[0], lock) or function.name == "__init__":
            continue
        other = (instead or {}).get(function)
        if other is None:
            edits.append(replace_statements(run, f"with {lock}:\n    {BODY}\n"))
            runs.append(run)
        else:
            edits.append(Edit(other.kind, other.span, other.code.replace("{lock}", lock)))
    if not edits:
        return None
    if not known:
        edits += [*make_lock(scene, shared, owner, lock), add_import("import threading")]
    return Guard(lock, not known, tuple(edits), len(users), tuple(runs))


def may_race(scene: Scene) -> bool:
    """Whether the failure is one that another thread can have made."""
    known = scene.exception in _MADE_BY_OTHERS
    # a state that the code itself calls impossible
    known = known or (isinstance(scene.statement, ast.Raise) and scene.depth == 0)
    if scene.occurrence.kind in ("deadlock", "stall") or not known:
        return False
    # of another thread's making is a value that is gone, not one of another kind
    if scene.exception in ("AttributeError", "TypeError") and "None" not in scene.message:
        return False
    return scene.exception == "RuntimeError" or threads_used(scene)


def locked_elsewhere(scene: Scene) -> bool:
    """Other methods of the class (or functions of the module) use the same state under a lock."""
    owner = scene.file.class_of(scene.statement)
    locks = scene.conventions.locks(scene.file)
    known = locks.get(owner.name if owner is not None else "", [])
    return any(
        is_under(scene.file, statement, lock)
        for shared in shared_of(scene)
        for lock in known
        for _, run in users_of(scene.file, shared, owner)
        for part in run
        for statement in ast.walk(part)
        if isinstance(statement, ast.stmt) and mentions(scene.file, statement, shared)
    )


def changes_later(scene: Scene, shared: str) -> bool:
    """Whether anything but the constructor changes the state: what never changes races nowhere."""
    file = scene.file
    owner = file.class_of(scene.statement) if shared.startswith("self.") else None
    for function in file.functions.values():
        if function.name == "__init__" or (owner and file.class_of(function) is not owner):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Name | ast.Attribute | ast.Subscript):
                changed = node.value if isinstance(node, ast.Subscript) else node
                if not isinstance(node.ctx, ast.Load) and file.segment(changed) == shared:
                    return True
            called = node.func if isinstance(node, ast.Call) else None
            changes = isinstance(called, ast.Attribute) and called.attr in MUTATES
            if changes and isinstance(called, ast.Attribute):
                found = file.segment(called.value) == shared
                if found:
                    return True
    return False


def threads_used(scene: Scene) -> bool:
    """The project runs threads itself, or is served by a threaded server."""
    if scene.occurrence.thread not in ("", "MainThread"):
        return True
    return any("threading" in f.text or "concurrent.futures" in f.text for f in scene.sources.all())


def shared_of(scene: Scene) -> list[str]:
    """Expressions of the failing statement that outlive the call: `self.x`, module variables."""
    found: list[str] = []
    globals_ = {
        t.id
        for n in scene.file.tree.body
        if isinstance(n, ast.Assign)
        for t in n.targets
        if isinstance(t, ast.Name)
    }
    for node in _nodes_of(scene):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "self"
        ):
            parent = scene.file.parent(node)
            if not (isinstance(parent, ast.Call) and parent.func is node):
                found.append(scene.text(node))
        elif isinstance(node, ast.Name) and node.id in globals_:
            found.append(node.id)
    return [s for s in dict.fromkeys(found) if "lock" not in s.lower()][:3]


def _nodes_of(scene: Scene) -> Iterator[ast.AST]:
    """Of the failing statement, and of the condition under which it raises on purpose."""
    yield from ast.walk(scene.statement)
    around = scene.file.parent(scene.statement)
    if isinstance(scene.statement, ast.Raise) and isinstance(around, ast.If):
        yield from ast.walk(around.test)


def users_of(
    file: SourceFile, shared: str, owner: ast.ClassDef | None
) -> list[tuple[Function, list[ast.stmt]]]:
    """(function, its run of top statements from first to last use) for every user."""
    found: list[tuple[Function, list[ast.stmt]]] = []
    for function in file.functions.values():
        if owner is not None and file.class_of(function) is not owner:
            continue
        body = function.body
        uses = [i for i, s in enumerate(body) if mentions(file, s, shared)]
        if uses and file.function_of(function) is None:
            run = body[uses[0] : uses[-1] + 1]
            if not any(isinstance(s, Function | ast.ClassDef) for s in run):
                found.append((function, run))
    return found


def mentions(file: SourceFile, statement: ast.stmt, shared: str) -> bool:
    return any(
        isinstance(n, ast.Name | ast.Attribute) and file.segment(n) == shared
        for n in ast.walk(statement)
    )


def is_under(file: SourceFile, statement: ast.stmt, lock: str) -> bool:
    """Whether the statement is a `with lock` or stands in one."""
    for outer in [statement, *file.ancestors(statement)]:
        items = outer.items if isinstance(outer, ast.With) else []
        if any(file.segment(item.context_expr) == lock for item in items):
            return True
    return False


def make_lock(scene: Scene, shared: str, owner: ast.ClassDef | None, lock: str) -> list[Edit]:
    file = scene.file
    if owner is None:
        first = next(
            (
                n
                for n in file.tree.body
                if isinstance(n, ast.Assign) and any(file.segment(t) == shared for t in n.targets)
            ),
            None,
        )
        return [insert_before(first, f"{lock} = threading.Lock()")] if first is not None else []
    for function in owner.body:
        if isinstance(function, Function) and function.name == "__init__":
            start = first_statement(function.body)
            return [insert_before(start, f"{lock} = threading.Lock()")]
    start = first_statement(owner.body)
    return [insert_before(start, f"def __init__(self):\n    {lock} = threading.Lock()\n")]
