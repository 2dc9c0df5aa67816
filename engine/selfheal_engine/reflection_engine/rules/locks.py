"""Locks: held while waiting for something slow, or made anew so that they guard nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.reflection_engine.change import Change, called_name
from selfheal_engine.reflection_engine.rule import Finding

_SLOW = frozenset(
    {"urlopen", "sleep", "recv", "send", "sendall", "connect", "request", "execute", "commit",
     "post", "put", "fetch", "getaddrinfo", "run", "check_output", "communicate", "join"}
)  # fmt: skip
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
    )

    def findings(self, change: Change) -> Iterator[Finding]:
        for node in change.new_nodes():
            if not isinstance(node, ast.With) or not any(map(_is_lock, node.items)):
                continue
            for part in ast.walk(node):
                if isinstance(part, ast.Call) and called_name(part) in _SLOW:
                    name = called_name(part)
                    yield node.lineno, f"the lock is held over `{name}`, which may take long"
                    break


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
