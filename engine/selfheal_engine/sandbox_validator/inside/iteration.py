"""Replays a call or request while the collection that it iterates over changes under it.

The other thread of the real failure is not there, and waiting for a rare moment proves little:
here an item comes in at every opcode of the loop, which is the worst that threads can do. A
copy stands that. So does a lock that every change of the collection is made under: by the
lockset rule (Savage et al., "Eraser", 1997) nothing can come in then, and nothing does.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfheal_engine.sandbox_validator.inside import replay as replaying
    from selfheal_engine.sandbox_validator.inside import statement as statements
else:
    import replay as replaying
    import statement as statements

ITEMS_AT_MOST = 200
_VIEWS = ("items", "keys", "values", "copy")
_CHANGES = frozenset(
    {
        "add",
        "append",
        "appendleft",
        "clear",
        "discard",
        "extend",
        "insert",
        "pop",
        "popitem",
        "popleft",
        "remove",
        "setdefault",
        "update",
    }
)
_LOOPS = (ast.For, ast.AsyncFor, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def replay(step: replaying.Step, job: replaying.Job) -> replaying.Outcome:
    """Run the recorded call or request with items coming in; see `Intruder`."""
    importlib.import_module(step["module"])
    with open(os.path.join(job["root"], step["crash_file"]), encoding="utf-8") as file:
        patched = ast.parse(file.read())
    original = ast.parse(step["original"])
    before = statements.function_at(original, step["crash_line"])
    loop = loop_at(before, step["crash_line"]) if before is not None else None
    after = statements.same_function(patched, original, before) if before is not None else None
    base = collection(loop) if loop is not None else None
    if base is None or after is None:
        raise replaying.UnusableError("the loop is not in the patched file")
    if is_guarded(patched, after, base):
        intruder = None
    else:
        items = json.loads(step.get("items") or "{}")
        intruder = Intruder(os.path.join(job["root"], step["crash_file"]), after, base, loop, items)
    if intruder is not None:
        intruder.start()
    try:
        if step.get("app"):
            return dict(replaying.import_here("request").replay(step, job))
        return replaying.call(step, job)
    finally:
        if intruder is not None:
            intruder.stop()


def loop_at(function: ast.AST, line: int) -> Any:
    """The innermost loop or comprehension that stands on the line."""
    found = [
        node
        for node in ast.walk(function)
        if isinstance(node, _LOOPS) and node.lineno <= line <= (node.end_lineno or node.lineno)
    ]
    return max(found, key=lambda node: (node.lineno, node.col_offset), default=None)


def collection(loop: Any) -> ast.expr | None:
    """What the loop goes through, without `.items()` and the like: a name or an attribute."""
    node: Any = loop.iter if isinstance(loop, (ast.For, ast.AsyncFor)) else loop.generators[0].iter
    while isinstance(node, ast.Call):
        inner = node.func
        if isinstance(inner, ast.Attribute) and inner.attr in _VIEWS:
            node = inner.value
        elif node.args:  # enumerate(...), sorted(...), list(...)
            node = node.args[0]
        else:
            return None
    return node if isinstance(node, (ast.Name, ast.Attribute)) else None


def is_guarded(tree: ast.AST, function: ast.AST, base: ast.expr) -> bool:
    """Whether the loops and every change of the collection are made under one lock."""
    inside = set(map(id, ast.walk(function)))
    locks: set[str] | None = None
    looped = False
    for node, held in with_locks(tree, frozenset()):
        loops = isinstance(node, _LOOPS) and id(node) in inside and mentions(node, base)
        if not loops and not changes(node, base):
            continue
        looped = looped or loops
        locks = set(held) if locks is None else locks & held
    return looped and bool(locks)


def with_locks(node: ast.AST, held: frozenset[str]) -> Iterator[tuple[ast.AST, frozenset[str]]]:
    """Every node with the texts of the `with` items around it in its function."""
    yield node, held
    for child in ast.iter_child_nodes(node):
        inner = held
        if isinstance(node, (ast.With, ast.AsyncWith)) and child in node.body:
            inner = held | {ast.unparse(item.context_expr) for item in node.items}
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            inner = frozenset()  # it is called later
        yield from with_locks(child, inner)


def mentions(loop: Any, base: ast.expr) -> bool:
    wanted = ast.unparse(base)
    heads = [loop.iter] if hasattr(loop, "iter") else [g.iter for g in loop.generators]
    return any(
        isinstance(n, (ast.Name, ast.Attribute)) and ast.unparse(n) == wanted
        for head in heads
        for n in ast.walk(head)
    )


def changes(node: ast.AST, base: ast.expr) -> bool:
    """An assignment to an item, a deletion of one, or a call that changes the collection."""
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, (ast.Store, ast.Del)):
        return ast.unparse(node.value) == ast.unparse(base)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in _CHANGES and ast.unparse(node.func.value) == ast.unparse(base)
    return False


class Intruder:
    """Puts an item into the collection at each opcode of the function's loops over it.

    A collection that is empty at the start gets a few items first, made from the values that
    the loop's variables had: nothing would be iterated over otherwise.
    """

    def __init__(
        self, file: str, function: Any, base: ast.expr, loop: Any, items: dict[str, Any]
    ) -> None:
        self.file, self.name = os.path.realpath(file), function.name
        self.first = min([function.lineno, *(d.lineno for d in function.decorator_list)])
        self.last = function.end_lineno or function.lineno
        self.lines = {
            line
            for node in ast.walk(function)
            if isinstance(node, (*_LOOPS, ast.stmt)) and node is not function
            for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
            if any(ast.unparse(n) == ast.unparse(base) for n in ast.walk(node) if _is_place(n))
        }
        self.path = ast.unparse(base).split(".")
        target = loop.target if hasattr(loop, "target") else loop.generators[0].target
        values = {name: statements.rebuilt(value, {}) for name, value in items.items()}
        self.sample = [values.get(n.id) for n in ast.walk(target) if isinstance(n, ast.Name)] or [
            None
        ]
        self.held: Any = None
        self.count = 0
        self.before: Any = None
        """The trace function that was there: what it wants to see, it sees."""

    def start(self) -> None:
        self.before = sys.gettrace()
        threading.settrace(self._call)
        sys.settrace(self._call)

    def stop(self) -> None:
        sys.settrace(self.before)
        threading.settrace(self.before)

    def _call(self, frame: FrameType, event: str, argument: Any) -> Any:
        others = self.before(frame, event, argument) if self.before is not None else None
        code = frame.f_code
        inside = self.first <= code.co_firstlineno <= self.last
        if not inside or os.path.realpath(code.co_filename) != self.file:
            return others
        frame.f_trace_opcodes = True

        def local(frame: FrameType, event: str, argument: Any) -> Any:
            if event != "opcode" and others is not None:
                others(frame, event, argument)
            if event == "opcode" and frame.f_lineno in self.lines:
                self._come_in(frame)
            return local

        return local

    def _come_in(self, frame: FrameType) -> None:
        if self.count >= ITEMS_AT_MOST:
            return
        if frame.f_code.co_name == self.name:
            self.held = self._look_up(frame)
            if self.held is not None and not self.held:
                for _ in range(3):
                    self._put()
        if self.held is not None:
            self._put()

    def _look_up(self, frame: FrameType) -> Any:
        scope = frame.f_locals if self.path[0] in frame.f_locals else frame.f_globals
        value: Any = scope.get(self.path[0])
        for name in self.path[1:]:
            value = getattr(value, name, None)
        return value if isinstance(value, (dict, set)) or hasattr(value, "appendleft") else None

    def _put(self) -> None:
        self.count += 1
        if isinstance(self.held, dict):
            key, value = next(iter(self.held.items()), (self.sample[0], self.sample[-1]))
            self.held[self._another(key)] = value
        elif isinstance(self.held, set):
            self.held.add(self._another(next(iter(self.held), self.sample[0])))
        else:
            self.held.append(self.held[0] if self.held else self.sample[0])

    def _another(self, key: Any) -> Any:
        """A key of the same kind that is not there yet."""
        if isinstance(key, tuple) and key:
            return (*key[:-1], self._another(key[-1]))
        if isinstance(key, bool) or not isinstance(key, (int, float, str, bytes)):
            return object() if not isinstance(key, bool) and key is not None else self.count
        if isinstance(key, (int, float)):
            return type(key)(key + 1000003 + self.count)
        mark = f"-{self.count}"
        return key + mark if isinstance(key, str) else key + mark.encode()


def _is_place(node: ast.AST) -> bool:
    return isinstance(node, (ast.Name, ast.Attribute))
