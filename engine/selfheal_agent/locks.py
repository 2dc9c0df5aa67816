"""Which lock a standing thread waits for, who holds it, and whether the waits form a cycle.

A thread that stands at `with lock:` or `lock.acquire()` is found by the call at its current
position; the lock object is found by following the names of that expression through plain
dictionaries, never through the service's own attribute code. An RLock knows its owner; a plain
Lock is looked for in the live frames of other threads that stand inside a `with` of it.
"""

from __future__ import annotations

import ast
import re
import sys
from types import FrameType

from selfheal_agent import frames
from selfheal_agent.values import ids, instance_dict, locals_of, type_dict_of, type_mro_of

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from typing import Any

_OWNER = re.compile(r"owner=(\d+)")
_RLOCK = type(__import__("_thread").RLock())
_LOCK = type(__import__("_thread").allocate_lock())
_LOCKS = ids(_LOCK, _RLOCK)
_INDEXED, _KEYS = ids(dict, list, tuple), ids(str, int)


class Wait:
    """One thread that waits for a lock."""

    __slots__ = (
        "code",
        "file",
        "held_by",
        "held_by_name",
        "line",
        "name",
        "stuck_s",
        "thread",
        "what",
    )

    def __init__(self, thread: int, frame: FrameType, stuck_s: float, what: str, held_by: int):
        self.thread = thread
        self.name = thread_name_of(thread)
        self.code = frame.f_code.co_name
        self.file = frames.absolute(frame.f_code.co_filename)
        self.line = frame.f_lineno or 0
        self.stuck_s = stuck_s
        self.what = what
        self.held_by = held_by
        self.held_by_name = thread_name_of(held_by) if held_by else ""

    def describe(self) -> str:
        place = f"{self.file.rsplit('/', 1)[-1]}:{self.line}"
        return f"{self.name} waits at {place} for {self.what} held by {self.held_by_name or '?'}"


def thread_name_of(ident: int) -> str:
    threading = sys.modules.get("threading")
    thread = threading._active.get(ident) if threading is not None else None
    return str(getattr(thread, "_name", "") or f"thread {ident}")


def waits(live: dict[int, FrameType], stuck: dict[int, float], min_stuck_s: float) -> list[Wait]:
    """Lock waits of threads that have stood for `min_stuck_s` or more, project locks only."""
    found = []
    for ident, seconds in stuck.items():
        if seconds < min_stuck_s:
            continue
        frame = live[ident]
        if not frames.is_own(frame.f_code.co_filename):
            continue  # waiting inside a library: for work, a socket, a condition
        expression = _lock_expression(frame)
        lock = _evaluate(expression, frame) if expression is not None else None
        if expression is None or lock is None or not _is_locked(lock):
            continue
        holder = _holder(lock, ident, live)
        found.append(Wait(ident, frame, seconds, ast.unparse(expression), holder))
    return found


def cycles(found: list[Wait]) -> list[list[Wait]]:
    """Chains of waits that lead back to their start."""
    by_thread = {wait.thread: wait for wait in found}
    result: list[list[Wait]] = []
    done: set[int] = set()
    for wait in found:
        chain: list[Wait] = []
        current: Wait | None = wait
        while current is not None and current not in chain and current.thread not in done:
            chain.append(current)
            current = by_thread.get(current.held_by)
        if current is not None and current in chain:
            result.append(chain[chain.index(current) :])
        done.update(w.thread for w in chain)
    return result


def _lock_expression(frame: FrameType) -> ast.expr | None:
    """The expression of the lock that the frame's current line enters or acquires."""
    for node in _statements_at(frame):
        if isinstance(node, (ast.With, ast.AsyncWith)):
            for item in node.items:
                if may_be_lock(item.context_expr) and _at(item.context_expr, frame.f_lineno):
                    return item.context_expr
        for part in ast.walk(node) if not isinstance(node, (ast.With, ast.AsyncWith)) else ():
            if (
                isinstance(part, ast.Call)
                and isinstance(part.func, ast.Attribute)
                and part.func.attr == "acquire"
                and _at(part, frame.f_lineno)
            ):
                return part.func.value
    return None


def _at(node: ast.expr, line: int | None) -> bool:
    return line is not None and node.lineno <= line <= (node.end_lineno or node.lineno)


_trees: dict[str, list[ast.stmt]] = {}


def _statements_at(frame: FrameType) -> list[ast.stmt]:
    line = frame.f_lineno
    found = []
    for node in statements(frames.absolute(frame.f_code.co_filename)):
        header_end = node.body[0].lineno - 1 if isinstance(node, ast.With) else node.end_lineno
        if line is not None and node.lineno <= line <= max(header_end or 0, node.lineno):
            found.append(node)
    found.sort(key=lambda node: -node.lineno)
    return found


def may_be_lock(node: ast.expr) -> bool:
    """Whether a `with` of this expression can be one of a lock that has a name."""
    return isinstance(node, (ast.Name, ast.Attribute, ast.Subscript))


def lock_of(node: ast.expr, frame: FrameType) -> Any:
    """The C lock that an expression of the frame stands for; None where it is no lock."""
    return _plain_lock(_evaluate(node, frame)) if may_be_lock(node) else None


def statements(file: str) -> list[ast.stmt]:
    """The file's statements that may take a lock, kept from the first look at it."""
    known = _trees.get(file)
    if known is None:
        try:
            with open(file, encoding="utf-8", errors="replace") as stream:
                tree = ast.parse(stream.read())
            known = [
                node
                for node in ast.walk(tree)
                if isinstance(node, (ast.With, ast.AsyncWith, ast.Expr, ast.Assign, ast.Return))
            ]
        except (OSError, SyntaxError, ValueError):
            known = []
        if len(_trees) > 20:
            _trees.clear()
        _trees[file] = known
    return known


def _evaluate(node: ast.expr, frame: FrameType) -> Any:
    """The object that a chain of names stands for, by plain dictionaries; None when unsure."""
    if isinstance(node, ast.Name):
        variables = locals_of(frame)
        if node.id in variables:
            return variables[node.id]
        return frame.f_globals.get(node.id)
    if isinstance(node, ast.Attribute):
        return _attribute(_evaluate(node.value, frame), node.attr)
    if isinstance(node, ast.Subscript):
        holder = _evaluate(node.value, frame)
        key = (
            node.slice.value
            if isinstance(node.slice, ast.Constant)
            else (_evaluate(node.slice, frame))
        )
        if id(type(holder)) in _INDEXED and id(type(key)) in _KEYS:
            try:
                return holder[key]
            except (KeyError, IndexError, TypeError):
                return None
    return None


def _attribute(holder: Any, name: str) -> Any:
    if holder is None:
        return None
    found = instance_dict(holder).get(name)
    if found is not None:
        return found
    if issubclass(type(holder), type):
        mro = type_mro_of(holder)
    elif type(holder) is type(sys):
        return holder.__dict__.get(name)
    else:
        mro = type_mro_of(type(holder))
    return next((type_dict_of(c)[name] for c in mro if name in type_dict_of(c)), None)


def _plain_lock(lock: Any) -> Any:
    """The C lock inside a Condition, Semaphore or a lock itself."""
    for _ in range(3):
        if id(type(lock)) in _LOCKS:
            return lock
        state = instance_dict(lock)
        lock = state.get("_lock") or state.get("_cond") or state.get("_block")
        if lock is None:
            return None
    return None


def _is_locked(lock: Any) -> bool:
    inner = _plain_lock(lock)
    if inner is None:
        return False
    return repr(inner).startswith("<locked")


def _holder(lock: Any, waiter: int, live: dict[int, FrameType]) -> int:
    """Thread that holds the lock; 0 when it cannot be told."""
    inner = _plain_lock(lock)
    if type(inner) is _RLOCK:
        owner = _OWNER.search(repr(inner))
        return int(owner.group(1)) if owner else 0
    for ident, frame in live.items():
        if ident == waiter:
            continue
        current: FrameType | None = frame
        while current is not None:
            if frames.is_own(current.f_code.co_filename) and _holds(current, inner):
                return ident
            current = current.f_back
    return 0


def _holds(frame: FrameType, inner: Any) -> bool:
    line = frame.f_lineno or 0
    code_first = frame.f_code.co_firstlineno
    for node in statements(frames.absolute(frame.f_code.co_filename)):
        if not isinstance(node, (ast.With, ast.AsyncWith)) or node.lineno < code_first:
            continue
        if not node.body[0].lineno <= line <= (node.end_lineno or 0):
            continue
        for item in node.items:
            if _plain_lock(_evaluate(item.context_expr, frame)) is inner:
                return True
    return False
