"""Locks: held while waiting for something slow, or made anew so that they guard nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.slow_calls import SLOW
from selfheal_engine.reflection_engine.change import Change, called_name
from selfheal_engine.reflection_engine.rule import Finding

_SLOW = SLOW | frozenset({"send", "request", "post", "put", "fetch", "run", "join"})
_DEPTH = 3
"""Calls from function to function of the file that are followed."""
_LOCKS = frozenset({"Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition"})


def _is_lock(item: ast.withitem) -> bool:
    node = item.context_expr
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return "lock" in name.lower() or "mutex" in name.lower()


class LockOverWaiting:
    """A new lock that is held over input, output or sleep: everyone else waits too."""

    name = "lock_over_waiting"
    weight = 0.9
    VALID = (
        ("n += 1\nsave(n)\n", "with lock:\n    n += 1\nsave(n)\n"),
        ("with lock:\n    db.execute(q)\n", "with lock:\n    db.execute(q)\n    n += 1\n"),
    )
    INVALID = (
        ("n += 1\ndb.execute(n)\n", "with lock:\n    n += 1\n    db.execute(n)\n"),
        ("f()\n", "with self._lock:\n    urlopen(url)\n"),
        (
            "def keep(x):\n    os.fsync(x)\nkeep(n)\n",
            "def keep(x):\n    os.fsync(x)\nwith lock:\n    keep(n)\n",
        ),
    )

    def findings(self, change: Change) -> Iterator[Finding]:
        for node in change.new_nodes():
            if not isinstance(node, ast.With) or not any(map(_is_lock, node.items)):
                continue
            name = _slow_within(change, node, _SLOW, _DEPTH)
            if name:
                yield node.lineno, f"the lock is held over `{name}`, which may take long"


def _slow_within(change: Change, node: ast.AST, slow: frozenset[str], depth: int) -> str:
    """A slow call that code makes, itself or in the file's functions that it calls; "" for none."""
    called = [called_name(part) for part in ast.walk(node) if isinstance(part, ast.Call)]
    found = next((name for name in called if name in slow), "")
    if found or not depth:
        return found
    for qualified, function, _ in change.functions():
        name = qualified.rpartition(".")[2]
        # names that may mean something else are believed where the lock is in sight
        if name in called and _slow_within(change, function, SLOW, depth - 1):
            return name
    return ""


class NewLockEachCall:
    """A lock made inside the function that takes it: every call has its own, none excludes."""

    name = "lock_of_ones_own"
    weight = 1.8
    VALID = (("def f():\n    g()\n", "lock = Lock()\ndef f():\n    with lock:\n        g()\n"),)
    INVALID = (
        ("def f():\n    g()\n", "def f():\n    lock = Lock()\n    with lock:\n        g()\n"),
        ("def f():\n    g()\n", "def f():\n    with threading.Lock():\n        g()\n"),
    )

    def findings(self, change: Change) -> Iterator[Finding]:
        for _, function, _ in change.changed_functions():
            made = {
                target.id
                for node in ast.walk(function)
                if isinstance(node, ast.Assign) and _makes_lock(node.value)
                for target in node.targets
                if isinstance(target, ast.Name)
            }
            for node in ast.walk(function):
                if isinstance(node, ast.With) and change.is_new(node):
                    for item in node.items:
                        used = item.context_expr
                        mine = isinstance(used, ast.Name) and used.id in made
                        if mine or _makes_lock(used):
                            yield node.lineno, "each call makes a lock of its own, so none excludes"


def _makes_lock(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and called_name(node) in _LOCKS
