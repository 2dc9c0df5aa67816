"""Threads meet where they should not: copies, atomic operations, one lock, one lock order.

A lock that exists is used before one is made, and every function that touches the same shared
state gets it: a lock that only one side takes guards nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.diagnosis.source_file import Function, SourceFile
from selfheal_engine.patch_generator.edits import (
    BODY,
    Edit,
    add_import,
    indented,
    insert_before,
    replace_expression,
    replace_statements,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import names_in

STRATEGY = "race_condition_fix"
KINDS = frozenset({"exception", "thread_death", "log", "deadlock", "stall"})
MUTATES = frozenset(
    {
        "append",
        "add",
        "remove",
        "discard",
        "pop",
        "popitem",
        "popleft",
        "clear",
        "update",
        "insert",
        "extend",
        "setdefault",
        "appendleft",
        "sort",
    }
)


def _changed_size(scene: Scene) -> bool:
    return (
        "changed size during iteration" in scene.message
        or "mutated during iteration" in scene.message
    )


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
        fit = 0.4 if _locked_elsewhere(scene) else 1.0
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
            if node.func.attr == "pop" and len(arguments) == 1:
                yield scene.draft(
                    replace_expression(node, f"{owner}.pop({arguments[0]}, None)"),
                    title=f"pop `{arguments[0]}` only if it is still there",
                    weight=1.2 * fit,
                )


def _locked_elsewhere(scene: Scene) -> bool:
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
        if scene.occurrence.kind in ("deadlock", "stall") or scene.exception not in (
            "RuntimeError",
            "KeyError",
            "IndexError",
            "ValueError",
            "AssertionError",
            "AttributeError",
            "TypeError",
        ):
            return
        if scene.exception != "RuntimeError" and not _threads_used(scene):
            return
        for shared in _shared_of(scene):
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
            weight=(1.6 if _locked_elsewhere(scene) else 1.3) if known else 1.05,
            explanation=f"`{shared}` is used by several threads; {len(users)} places touch it.",
            risk="medium",
        )


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
    for node in ast.walk(scene.statement):
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
            first_statement = function.body[0]
            return [insert_before(first_statement, f"{lock} = threading.Lock()")]
    return [insert_before(owner.body[0], f"def __init__(self):\n    {lock} = threading.Lock()\n")]


class OneLockOrder(Rule):
    """Takes two locks everywhere in the same order, that of the other function."""

    name = "one_lock_order"
    strategy = STRATEGY
    kinds = frozenset({"deadlock", "stall"})
    examples = (
        Example(
            before="""
                import threading

                A = threading.Lock()
                B = threading.Lock()


                def f():
                    with A:
                        with B:  # <- here
                            return 1


                def g():
                    with B:
                        with A:  # <- here
                            return 2
                """,
            after="""
                import threading

                A = threading.Lock()
                B = threading.Lock()


                def f():
                    with A:
                        with B:  # <- here
                            return 1


                def g():
                    with A:
                        with B:  # <- here
                            return 2
                """,
            kind="deadlock",
        ),
        Example(
            before="""
                import threading

                A = threading.Lock()
                B = threading.Lock()


                def f():
                    with A:
                        with B:  # <- here
                            return 1
                """,
            kind="deadlock",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        nested = [pair for file in _lock_files(scene) for pair in _nested_locks(file)]
        for index, (file, outer, inner) in enumerate(nested):
            for other_file, other_outer, other_inner in nested[:index] + nested[index + 1 :]:
                first, second = _lock_text(file, outer), _lock_text(file, inner)
                same = (_bare(first), _bare(second)) == (
                    _bare(_lock_text(other_file, other_inner)),
                    _bare(_lock_text(other_file, other_outer)),
                )
                if not same:
                    continue
                uses = _counts(nested, _bare(second), _bare(first))
                yield scene.draft(
                    replace_expression(outer, second),
                    replace_expression(inner, first),
                    title=f"take `{second}` before `{first}` here too",
                    weight=1.4 + 0.1 * uses,
                    file=file,
                    explanation="Two threads with opposite orders wait for each other for ever.",
                )
                break


def _lock_files(scene: Scene) -> list[SourceFile]:
    others = [f for f in scene.sources.all() if f is not scene.file and "ock" in f.text]
    return [scene.file, *others]


def _counts(nested: list[tuple[SourceFile, ast.expr, ast.expr]], first: str, second: str) -> int:
    """How many places take the two in this order: the majority stays."""
    return sum(
        (_bare(_lock_text(f, a)), _bare(_lock_text(f, b))) == (first, second) for f, a, b in nested
    )


def _bare(text: str) -> str:
    """Without the instance, so that `a.lock, b.lock` and `self.lock` compare by attribute."""
    return text.removeprefix("self.")


def _lock_text(file: SourceFile, node: ast.expr) -> str:
    return file.segment(node)


def _is_lock(file: SourceFile, node: ast.expr) -> bool:
    text = file.segment(node)
    if isinstance(node, ast.Name | ast.Attribute):
        last = text.rpartition(".")[2]
        made = f"{last} = " in file.text and any(
            f"{last} = {module}{kind}(" in file.text
            for module in ("threading.", "", "asyncio.", "multiprocessing.")
            for kind in ("Lock", "RLock", "Condition", "Semaphore")
        )
        return made or "lock" in last.lower() or "mutex" in last.lower()
    return False


def _nested_locks(file: SourceFile) -> list[tuple[SourceFile, ast.expr, ast.expr]]:
    """(file, outer lock, inner lock) of every nesting of two `with` on locks."""
    found: list[tuple[SourceFile, ast.expr, ast.expr]] = []
    for node in ast.walk(file.tree):
        if not isinstance(node, ast.With | ast.AsyncWith):
            continue
        items = [i.context_expr for i in node.items if _is_lock(file, i.context_expr)]
        found += [(file, a, b) for a, b in pairwise(items)]
        if not items:
            continue
        for inner in ast.walk(node):
            if inner is node or not isinstance(inner, ast.With | ast.AsyncWith):
                continue
            if file.function_of(inner) is file.function_of(node):
                inside = [i.context_expr for i in inner.items if _is_lock(file, i.context_expr)]
                found += [(file, items[-1], lock) for lock in inside]
    return found


class SortLocks(Rule):
    """Takes the locks of two objects in an order that does not depend on who is named first."""

    name = "sort_locks"
    strategy = STRATEGY
    kinds = frozenset({"deadlock", "stall"})
    examples = (
        Example(
            before="""
                def f(payer, payee):
                    with payer.lock:
                        with payee.lock:  # <- here
                            payer.cents -= 1
                            payee.cents += 1
                """,
            after="""
                def f(payer, payee):
                    first, second = sorted((payer, payee), key=id)
                    with first.lock:
                        with second.lock:  # <- here
                            payer.cents -= 1
                            payee.cents += 1
                """,
            kind="deadlock",
        ),
        Example(
            before="""
                def f(payer, audit):
                    with payer.lock:
                        with audit.seal:  # <- here
                            payer.cents -= 1
                """,
            kind="deadlock",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        for file, outer, inner in (p for f in _lock_files(scene) for p in _nested_locks(f)):
            if not isinstance(outer, ast.Attribute) or not isinstance(inner, ast.Attribute):
                continue
            one, two = outer.value, inner.value
            if outer.attr != inner.attr or file.segment(one) == file.segment(two):
                continue
            statement, function = file.statement_of(outer), file.function_of(outer)
            owners = (file.segment(one), file.segment(two))
            if statement is None or function is None or "self" in owners:
                continue
            taken = names_in(file, function)
            first, second = ("first", "second") if "first" not in taken else ("lower", "upper")
            order = f"{first}, {second} = sorted(({', '.join(owners)}), key=id)"
            yield scene.draft(
                insert_before(statement, order),
                replace_expression(one, first),
                replace_expression(two, second),
                title=f"take the two locks of `{function.name}` in one order",
                weight=1.6 if function is scene.function else 1.3,
                file=file,
                explanation="Which object is locked first no longer depends on the call.",
            )


class ReentrantLock(Rule):
    """Makes a lock re-entrant that a function takes again through what it calls."""

    name = "reentrant_lock"
    strategy = STRATEGY
    kinds = frozenset({"deadlock", "stall"})
    examples = (
        Example(
            before="""
                import threading


                class Account:
                    def __init__(self):
                        self._lock = threading.Lock()

                    def total(self):
                        with self._lock:  # <- here
                            return 1

                    def report(self):
                        with self._lock:
                            return self.total()
                """,
            after="""
                import threading


                class Account:
                    def __init__(self):
                        self._lock = threading.RLock()

                    def total(self):
                        with self._lock:  # <- here
                            return 1

                    def report(self):
                        with self._lock:
                            return self.total()
                """,
            kind="deadlock",
        ),
        Example(
            before="""
                import threading

                LOCK = threading.Lock()


                def f():
                    with LOCK:  # <- here
                        return 1
                """,
            kind="deadlock",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        file = scene.file
        for node in ast.walk(file.tree):
            if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
                continue
            if called_name(node.value) != "Lock" or "asyncio" in scene.text(node.value):
                continue
            lock = scene.text(node.targets[0])
            if not _taken_again(file, lock):
                continue
            made = scene.text(node.value.func)
            yield scene.draft(
                replace_expression(node.value.func, made[: -len("Lock")] + "RLock"),
                title=f"let the thread that holds `{lock}` take it again",
                weight=1.3,
            )


def _taken_again(file: SourceFile, lock: str) -> bool:
    takers = {
        f.name: [
            w
            for w in ast.walk(f)
            if isinstance(w, ast.With)
            and any(file.segment(i.context_expr) == lock for i in w.items)
        ]
        for f in file.functions.values()
    }
    names = {name for name, withs in takers.items() if withs}
    return any(
        isinstance(call, ast.Call) and called_name(call) in names
        for withs in takers.values()
        for w in withs
        for call in ast.walk(w)
    )


class HoldWith(Rule):
    """Holds a lock in a `with`, so that an error on the way cannot leave it taken."""

    name = "hold_with"
    strategy = STRATEGY
    kinds = frozenset({"deadlock", "stall", "exception", "resource"})
    examples = (
        Example(
            before="""
                import threading

                LOCK = threading.Lock()


                def f(work):
                    LOCK.acquire()  # <- here
                    done = work()
                    LOCK.release()
                    return done
                """,
            after="""
                import threading

                LOCK = threading.Lock()


                def f(work):
                    with LOCK:  # <- here
                        done = work()
                    return done
                """,
            kind="stall",
        ),
        Example(
            before="""
                import threading

                LOCK = threading.Lock()


                def f(work):
                    LOCK.acquire()  # <- here
                    return work()
                """,
            kind="stall",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if scene.depth:
            return
        file = scene.file
        for function in file.functions.values():
            for node in ast.walk(function):
                block = getattr(node, "body", None)
                for statements in (block, getattr(node, "orelse", None)):
                    if isinstance(statements, list):
                        yield from self._held(scene, file, function, statements)

    def _held(
        self, scene: Scene, file: SourceFile, function: Function, block: list[ast.stmt]
    ) -> Iterator[Draft]:
        for index, statement in enumerate(block):
            lock = _calls(file, statement, "acquire")
            if not lock or file.function_of(statement) is not function:
                continue
            releases = [
                i for i in range(index + 1, len(block)) if _calls(file, block[i], "release") == lock
            ]
            early = any(
                isinstance(n, ast.Expr) and _calls(file, n, "release") == lock
                for s in block[index + 1 :]
                for n in ast.walk(s)
                if n not in block
            )
            if not releases or releases[0] == index + 1:
                continue
            run = block[index : releases[0] + 1]
            lines = file.lines[run[1].lineno - 1 : run[-2].end_lineno]
            body = "".join(line[run[1].col_offset :] if line.strip() else "\n" for line in lines)
            if early:
                body = _without_release(body, lock)
            rest = file.lines[statement.lineno - 1][statement.end_col_offset or 0 :].rstrip()
            near = 1.0 if function is scene.function else 0.8
            yield scene.draft(
                replace_statements(run, f"with {lock}:{rest}\n{indented(body)}"),
                title=f"release `{lock}` on every way out of `{function.name}`",
                weight=1.5 * near,
            )


def _calls(file: SourceFile, statement: ast.AST, method: str) -> str:
    """The owner's text of a statement `owner.method()`, "" for other statements."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call) or call.args or call.keywords:
        return ""
    owner = call.func
    named = isinstance(owner, ast.Attribute) and owner.attr == method
    return file.segment(owner.value) if named and isinstance(owner, ast.Attribute) else ""


def _without_release(body: str, lock: str) -> str:
    kept = [line for line in body.splitlines(True) if line.strip() != f"{lock}.release()"]
    return "".join(kept)


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


RULES: tuple[Rule, ...] = (
    IterateCopy(),
    AtomicRemoval(),
    GuardShared(),
    OneLockOrder(),
    SortLocks(),
    ReentrantLock(),
    HoldWith(),
    JoinCheckAndAct(),
)
