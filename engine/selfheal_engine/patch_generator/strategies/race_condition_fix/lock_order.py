"""Locks that are taken in several orders, or twice."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.diagnosis.source_file import SourceFile
from selfheal_engine.patch_generator.edits import (
    insert_before,
    replace_expression,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import names_in
from selfheal_engine.patch_generator.strategies.race_condition_fix.locking import STRATEGY


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
        nested = [pair for file in lock_files(scene) for pair in _nested_locks(file)]
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


def lock_files(scene: Scene) -> list[SourceFile]:
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


def is_lock(file: SourceFile, node: ast.expr) -> bool:
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
        items = [i.context_expr for i in node.items if is_lock(file, i.context_expr)]
        found += [(file, a, b) for a, b in pairwise(items)]
        if not items:
            continue
        for inner in ast.walk(node):
            if inner is node or not isinstance(inner, ast.With | ast.AsyncWith):
                continue
            if file.function_of(inner) is file.function_of(node):
                inside = [i.context_expr for i in inner.items if is_lock(file, i.context_expr)]
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
        for file, outer, inner in (p for f in lock_files(scene) for p in _nested_locks(f)):
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
