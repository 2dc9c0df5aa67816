"""State that several threads change: copies, atomic steps, one lock."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.asked_before import asked_before, leaves
from selfheal_engine.diagnosis.failure import changed_while_iterated
from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.diagnosis.source_file import Function, SourceFile
from selfheal_engine.patch_generator.edits import (
    BODY,
    Edit,
    add_import,
    insert_before,
    replace_expression,
    replace_statements,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import first_statement
from selfheal_engine.patch_generator.strategies.race_condition_fix.locking import MUTATES, STRATEGY

KINDS = frozenset({"exception", "thread_death", "log", "deadlock", "stall"})


def _changed_size(scene: Scene) -> bool:
    return changed_while_iterated(scene.message)


class IterateCopy(Rule):
    """Iterates over a copy of a collection that changes meanwhile."""

    name = "iterate_copy"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="""
                def f():
                    seen = {1: 2, 3: 4}
                    for key in seen:
                        seen.pop(key)
                """,
            after="""
                def f():
                    seen = {1: 2, 3: 4}
                    for key in list(seen):
                        seen.pop(key)
                """,
        ),
        Example(
            before="""
                def f():
                    for key in range(3):
                        {}[key]
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if not _changed_size(scene):
            return
        iterated: list[ast.expr] = []
        if isinstance(scene.statement, ast.For):
            iterated.append(scene.statement.iter)
        for node in ast.walk(scene.statement):
            if isinstance(node, ast.comprehension):
                iterated.append(node.iter)
            elif isinstance(node, ast.Call) and called_name(node) in (
                "sum",
                "max",
                "min",
                "any",
                "all",
                "sorted",
                "join",
            ):
                iterated += node.args[:1]
        for node in iterated:
            if isinstance(node, ast.Call) and called_name(node) in (
                "list",
                "tuple",
                "sorted",
                "copy",
            ):
                continue
            if isinstance(node, ast.GeneratorExp):
                continue
            yield scene.draft(
                replace_expression(node, "list(__expr__)"),
                title=f"iterate over a copy of `{scene.text(node)}`",
                weight=1.5,
                explanation="The copy is made in one step; what changes later does not matter.",
            )


class AtomicRemoval(Rule):
    """Removes a key in one step that may be gone already: `pop(key, None)`, `discard`."""

    name = "atomic_removal"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="""
                def f():
                    jobs = {}
                    del jobs['a']
                """,
            after="""
                def f():
                    jobs = {}
                    jobs.pop('a', None)
                """,
        ),
        Example(
            before="""
                def f():
                    jobs = set()
                    jobs.remove('a')
                """,
            after="""
                def f():
                    jobs = set()
                    jobs.discard('a')
                """,
        ),
        Example(
            before="""
                def f():
                    jobs = {}
                    return jobs['a']
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if scene.exception != "KeyError":
            return
        statement, node = scene.statement, scene.node
        # with a lock at hand, tolerating the loss would only hide that two got the same item
        fit = 0.4 if locked_elsewhere(scene) else 1.0
        if isinstance(statement, ast.Delete) and isinstance(statement.targets[0], ast.Subscript):
            target = statement.targets[0]
            code = f"{scene.text(target.value)}.pop({scene.text(target.slice)}, None)"
            yield scene.draft(
                replace_statements([statement], code),
                title=f"remove `{scene.text(target)}` only if it is still there",
                weight=1.3 * fit,
            )
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner, arguments = scene.text(node.func.value), [scene.text(a) for a in node.args]
            if node.func.attr == "remove" and len(arguments) == 1:
                yield scene.draft(
                    replace_expression(node, f"{owner}.discard({arguments[0]})"),
                    title=f"discard `{arguments[0]}`, whether it is there or not",
                    weight=1.3 * fit,
                )
            unpacked = isinstance(statement, ast.Assign) and isinstance(
                statement.targets[0], ast.Tuple | ast.List
            )
            if node.func.attr == "pop" and len(arguments) == 1 and not unpacked:
                # what is asked for, and answered where it is missing, is a value that counts
                checked = asked_before(scene.file, node, statement)
                fit *= 0.5 if checked is not None and leaves(checked) else 1.0
                yield scene.draft(
                    replace_expression(node, f"{owner}.pop({arguments[0]}, None)"),
                    title=f"pop `{arguments[0]}` only if it is still there",
                    weight=1.2 * fit,
                )


def locked_elsewhere(scene: Scene) -> bool:
    """Other methods of the class (or functions of the module) use the same state under a lock."""
    owner = scene.file.class_of(scene.statement)
    locks = scene.conventions.locks(scene.file)
    known = locks.get(owner.name if owner is not None else "", [])
    return any(
        _under(scene.file, statement, lock)
        for shared in _shared_of(scene)
        for lock in known
        for _, run in _users(scene.file, shared, owner)
        for part in run
        for statement in ast.walk(part)
        if isinstance(statement, ast.stmt) and _mentions(scene.file, statement, shared)
    )


class GuardShared(Rule):
    """Takes one lock around every use of the shared state: the lock there is, else a new one."""

    name = "guard_shared"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="""
                import threading


                class Jobs:
                    def __init__(self):
                        self._lock = threading.Lock()
                        self._jobs = {'a': 1, 'b': 2}

                    def add(self, name):
                        with self._lock:
                            self._jobs[name] = 1

                    def names(self):
                        found = []
                        for name in self._jobs:
                            found.append(name)
                            self._jobs.pop(name)
                        return found


                def f():
                    Jobs().names()
                """,
            after="""
                import threading


                class Jobs:
                    def __init__(self):
                        self._lock = threading.Lock()
                        self._jobs = {'a': 1, 'b': 2}

                    def add(self, name):
                        with self._lock:
                            self._jobs[name] = 1

                    def names(self):
                        found = []
                        with self._lock:
                            for name in self._jobs:
                                found.append(name)
                                self._jobs.pop(name)
                        return found


                def f():
                    Jobs().names()
                """,
        ),
        Example(
            before="""
                def f():
                    jobs = {}
                    return jobs['a']
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        known = scene.exception in (
            "RuntimeError",
            "KeyError",
            "IndexError",
            "ValueError",
            "AssertionError",
            "AttributeError",
            "TypeError",
        )
        # a state that the code itself calls impossible
        known = known or (isinstance(scene.statement, ast.Raise) and scene.depth == 0)
        if scene.occurrence.kind in ("deadlock", "stall") or not known:
            return
        # of another thread's making is a value that is gone, not one of another kind
        if scene.exception in ("AttributeError", "TypeError") and "None" not in scene.message:
            return
        if scene.exception != "RuntimeError" and not _threads_used(scene):
            return
        for shared in _shared_of(scene):
            if _changes_later(scene, shared):
                yield from self._guarded(scene, shared)

    def _guarded(self, scene: Scene, shared: str) -> Iterator[Draft]:
        file = scene.file
        owner = file.class_of(scene.statement) if shared.startswith("self.") else None
        locks = scene.conventions.locks(file)
        known = locks.get(owner.name if owner is not None else "", [])
        users = _users(file, shared, owner)
        edits: list[Edit] = []
        lock = (
            known[0]
            if known
            else ("self._lock" if owner is not None else f"_{shared.strip('_').lower()}_lock")
        )
        for function, run in users:
            if not _under(file, run[0], lock) and function.name != "__init__":
                edits.append(replace_statements(run, f"with {lock}:\n    {BODY}\n"))
        if not edits:
            return
        if not known:
            edits += _make_lock(scene, shared, owner, lock)
        yield scene.draft(
            *edits,
            *([add_import("import threading")] if not known else []),
            title=f"take `{lock}` around every use of `{shared}`",
            weight=(1.6 if locked_elsewhere(scene) else 1.3) if known else 1.05,
            explanation=f"`{shared}` is used by several threads; {len(users)} places touch it.",
            risk="medium",
        )


def _changes_later(scene: Scene, shared: str) -> bool:
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


def _threads_used(scene: Scene) -> bool:
    """The project runs threads itself, or is served by a threaded server."""
    if scene.occurrence.thread not in ("", "MainThread"):
        return True
    return any("threading" in f.text or "concurrent.futures" in f.text for f in scene.sources.all())


def _shared_of(scene: Scene) -> list[str]:
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


def _users(
    file: SourceFile, shared: str, owner: ast.ClassDef | None
) -> list[tuple[Function, list[ast.stmt]]]:
    """(function, its run of top statements from first to last use) for every user."""
    found: list[tuple[Function, list[ast.stmt]]] = []
    for function in file.functions.values():
        if owner is not None and file.class_of(function) is not owner:
            continue
        body = function.body
        uses = [i for i, s in enumerate(body) if _mentions(file, s, shared)]
        if uses and file.function_of(function) is None:
            run = body[uses[0] : uses[-1] + 1]
            if not any(isinstance(s, Function | ast.ClassDef) for s in run):
                found.append((function, run))
    return found


def _mentions(file: SourceFile, statement: ast.stmt, shared: str) -> bool:
    return any(
        isinstance(n, ast.Name | ast.Attribute) and file.segment(n) == shared
        for n in ast.walk(statement)
    )


def _under(file: SourceFile, statement: ast.stmt, lock: str) -> bool:
    """Whether the statement is a `with lock` or stands in one."""
    for outer in [statement, *file.ancestors(statement)]:
        items = outer.items if isinstance(outer, ast.With) else []
        if any(file.segment(item.context_expr) == lock for item in items):
            return True
    return False


def _make_lock(scene: Scene, shared: str, owner: ast.ClassDef | None, lock: str) -> list[Edit]:
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


class JoinCheckAndAct(Rule):
    """Joins a check and the act on it into one step: `setdefault`, or one lookup."""

    name = "join_check_and_act"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="""
                CACHE = {}


                def f(key='a'):
                    if key in CACHE or True:
                        pass
                    if key not in CACHE:
                        CACHE[key] = []
                    del CACHE[key]
                    return CACHE[key].append(1)
                """,
            after="""
                CACHE = {}


                def f(key='a'):
                    if key in CACHE or True:
                        pass
                    CACHE.setdefault(key, [])
                    del CACHE[key]
                    return CACHE[key].append(1)
                """,
        ),
        Example(
            before="""
                def f(key='a'):
                    return {}[key]
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if (
            scene.exception not in ("KeyError", "RuntimeError", "ValueError")
            or scene.function is None
        ):
            return
        for node in ast.walk(scene.function):
            if not isinstance(node, ast.If) or node.orelse or len(node.body) != 1:
                continue
            act = node.body[0]
            test = node.test
            if not isinstance(test, ast.Compare) or not isinstance(test.ops[0], ast.NotIn):
                continue
            container, key = scene.text(test.comparators[0]), scene.text(test.left)
            if not isinstance(act, ast.Assign) or not isinstance(act.targets[0], ast.Subscript):
                continue
            if scene.text(act.targets[0]) == f"{container}[{key}]":
                yield scene.draft(
                    replace_statements(
                        [node], f"{container}.setdefault({key}, {scene.text(act.value)})"
                    ),
                    title=f"set `{container}[{key}]` in one step",
                    weight=0.9,
                )
