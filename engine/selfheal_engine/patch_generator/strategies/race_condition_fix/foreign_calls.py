"""Two objects that ask each other while each holds its own lock."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.diagnosis.source_file import Function, SourceFile
from selfheal_engine.patch_generator.conventions import is_test
from selfheal_engine.patch_generator.edits import indented, replace_statements
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.race_condition_fix.lock_order import (
    is_lock,
    lock_files,
)
from selfheal_engine.patch_generator.strategies.race_condition_fix.locking import STRATEGY
from selfheal_engine.patch_generator.strategies.resource_cleanup.openings import dedented


@dataclass(frozen=True)
class ForeignCall:
    """A call under a lock of one class to a method of another that takes a lock itself."""

    file: SourceFile
    function: Function
    held: ast.With
    statement: ast.stmt
    """The statement of the `with` that makes the call."""
    call: ast.Call
    owner: str
    other: str


class AskOutsideLock(Rule):
    """Asks the other object before or after the own lock is held, where nothing there needs it.

    Only one of the two has to: then no thread holds both locks in the opposite order.
    """

    name = "ask_outside_lock"
    strategy = STRATEGY
    kinds = frozenset({"deadlock", "stall"})
    examples = (
        Example(
            before="""
                import threading


                class Stock:
                    def __init__(self):
                        self._lock = threading.Lock()
                        self._counts = {}
                        self.book = None

                    def take(self, sku):
                        with self._lock:
                            self._counts[sku] -= 1

                    def free(self, sku):
                        with self._lock:
                            counted = self._counts[sku]
                            return counted - self.book.reserved(sku)  # <- here


                class Book:
                    def __init__(self, stock):
                        self._lock = threading.Lock()
                        self._open = []
                        self._stock = stock

                    def place(self, sku):
                        with self._lock:
                            self._open.append(sku)
                            self._stock.take(sku)  # <- here
                            self._open.sort()

                    def reserved(self, sku):
                        with self._lock:
                            return self._open.count(sku)
                """,
            after="""
                import threading


                class Stock:
                    def __init__(self):
                        self._lock = threading.Lock()
                        self._counts = {}
                        self.book = None

                    def take(self, sku):
                        with self._lock:
                            self._counts[sku] -= 1

                    def free(self, sku):
                        with self._lock:
                            counted = self._counts[sku]
                        return counted - self.book.reserved(sku)  # <- here


                class Book:
                    def __init__(self, stock):
                        self._lock = threading.Lock()
                        self._open = []
                        self._stock = stock

                    def place(self, sku):
                        with self._lock:
                            self._open.append(sku)
                            self._stock.take(sku)  # <- here
                            self._open.sort()

                    def reserved(self, sku):
                        with self._lock:
                            return self._open.count(sku)
                """,
            kind="deadlock",
        ),
        Example(
            before="""
                import threading


                class Stock:
                    def __init__(self, book):
                        self._lock = threading.Lock()
                        self._counts = {}
                        self.book = book

                    def free(self, sku):
                        with self._lock:
                            counted = self._counts[sku]
                            return counted - self.book.reserved(sku)  # <- here


                class Book:
                    def __init__(self):
                        self._lock = threading.Lock()
                        self._open = []

                    def reserved(self, sku):
                        with self._lock:
                            return self._open.count(sku)
                """,
            kind="deadlock",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        calls = list(_foreign_calls([f for f in lock_files(scene) if not is_test(f.path)]))
        crossed = {(call.owner, call.other) for call in calls}
        for call in calls:
            if (call.other, call.owner) in crossed:
                yield from _drafts(scene, call)


def _foreign_calls(files: list[SourceFile]) -> Iterator[ForeignCall]:
    takers: dict[str, set[str]] = {}
    withs: list[tuple[SourceFile, Function, ast.ClassDef, ast.With]] = []
    for file in files:
        for function in file.functions.values():
            owner = file.class_of(function)
            if owner is None:
                continue
            for node in _locks_held(file, function):
                takers.setdefault(function.name, set()).add(owner.name)
                withs.append((file, function, owner, node))
    for file, function, owner, held in withs:
        for statement in held.body:
            for call in ast.walk(statement):
                if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
                    continue
                others = takers.get(called_name(call), set()) - {owner.name}
                if len(others) == 1 and _names_object(file, call):
                    (other,) = others
                    yield ForeignCall(file, function, held, statement, call, owner.name, other)


def _locks_held(file: SourceFile, function: Function) -> list[ast.With]:
    """The function's own `with` statements on one lock each."""
    return [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.With)
        and file.function_of(node) is function
        and len(node.items) == 1
        and is_lock(file, node.items[0].context_expr)
    ]


def _names_object(file: SourceFile, call: ast.Call) -> bool:
    """Called on a thing that has a name, `self.book.reserved()`, not on a method's result."""
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    parts = file.segment(owner).split(".") if owner is not None else []
    return bool(parts) and parts != ["self"] and all(part.isidentifier() for part in parts)


def _drafts(scene: Scene, found: ForeignCall) -> Iterator[Draft]:
    file, body = found.file, found.held.body
    at = body.index(found.statement)
    head, tail = body[: at + 1], body[at:]
    lock = file.segment(found.held.items[0].context_expr)
    other = file.segment(found.call.func)
    if at > 0 and not any(_needs_lock(file, s, found.call) for s in tail):
        kept, moved, first = body[:at], tail, True
    elif at + 1 < len(body) and not any(_needs_lock(file, s, found.call) for s in head):
        kept, moved, first = body[at + 1 :], head, False
    else:
        return
    inside = f"with {lock}:\n{indented(dedented(file, tuple(kept)))}"
    outside = dedented(file, tuple(moved))
    code = f"{inside.rstrip()}\n{outside}" if first else f"{outside.rstrip()}\n{inside}"
    # what only reads under its lock loses nothing when it lets go of it sooner
    reads = first and not any(_changes(s) for s in body)
    yield scene.draft(
        replace_statements([found.held], code),
        title=f"call `{other}` {'after' if first else 'before'} `{lock}` is held",
        weight=1.6 if reads else 1.3 if first else 1.1,
        file=file,
        explanation=f"`{found.other}` takes a lock of its own there, and asks back under it.",
        risk="medium",
    )


def _needs_lock(file: SourceFile, statement: ast.stmt, call: ast.Call) -> bool:
    """Whether a statement touches state of the object beyond the thing that is asked."""
    asked = call.func.value if isinstance(call.func, ast.Attribute) else call
    allowed = set(ast.walk(asked))
    return any(
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
        and node not in allowed
        for node in ast.walk(statement)
    ) or any(isinstance(node, ast.Global | ast.Nonlocal) for node in ast.walk(statement))


def _changes(statement: ast.stmt) -> bool:
    """Whether something other than a name of its own is set or called for its effect."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            return True
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            called = node.value.func
            if isinstance(called, ast.Attribute) and "self." in ast.unparse(called):
                return True
    return False
