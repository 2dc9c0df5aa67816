"""Locks taken in both orders by different threads: reported before they ever deadlock.

Whoever stands inside `with a:` and enters `with b:` has shown the order a, b. The order b, a of
the same two locks, shown by another thread, is an inversion, unless both were shown under a
third lock that keeps them apart (the rule of lock-order checkers such as Linux's lockdep).

Orders are seen where functions of the project enter a `with` of a lock: from Python 3.12 on by
`sys.monitoring`, whose events cost nothing in all other code, and by the look that the probe
takes at all threads once a second.
"""

from __future__ import annotations

import ast
import sys
import weakref
from _thread import get_ident
from types import CodeType, FrameType

from selfheal_agent import frames, locks

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from typing import Any

    Thread = tuple[int, str]
    """Ident and name: idents are given again to later threads."""

TOOL = 4
NAME = "selfheal"
MAX_ORDERS = 2_000
MAX_LOOKS = 300
"""So many entries of one `with` are looked at; one that showed nothing new by then will not."""
RISK = 0.5


class Order:
    """One lock held while another was taken."""

    __slots__ = ("code", "frames", "gates", "inner", "line", "names", "outer", "thread")

    def __init__(self, outer: _Held, inner: _Held, gates: list[_Held], thread: Thread) -> None:
        self.outer = weakref.ref(outer.lock)
        self.inner = weakref.ref(inner.lock)
        self.names = (outer.name, inner.name)
        self.code = inner.frame.f_code
        self.line = inner.line
        self.gates = {id(gate.lock) for gate in gates}
        self.thread = thread
        self.frames: list[dict[str, Any]] = []
        """Plain: to keep a frame would keep the values of its variables."""

    def text(self) -> str:
        file = self.code.co_filename.rsplit("/", 1)[-1]
        return (
            f"{frames.qualified_name(self.code)} ({file}:{self.line}) takes {self.names[1]} "
            f"while it holds {self.names[0]}"
        )

    def copied_frames(self) -> list[dict[str, Any]]:
        return [dict(frame) for frame in self.frames]


class _Held:
    __slots__ = ("frame", "line", "lock", "name")

    def __init__(self, lock: Any, name: str, frame: FrameType, line: int) -> None:
        self.lock = lock
        self.name = name
        self.frame = frame
        self.line = line


class LockOrders:
    """The orders that were seen, by the ids of both locks."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, int], Order] = {}
        self._looks: dict[tuple[int, int], int] = {}
        self._withs: dict[CodeType, list[ast.With]] = {}
        self._samples: dict[tuple[CodeType, int], list[dict[str, Any]]] = {}
        self._found: list[tuple[Order, Order]] = []
        self._told: set[tuple[Any, ...]] = set()
        self.risk = 0.0
        self.watching = False

    # ------------------------------------------------------------ what is seen
    def look(self, live: dict[int, FrameType]) -> None:
        """Where all threads stand now; called by the probe's thread."""
        for ident, frame in live.items():
            if ident != get_ident():
                self.note(frame, ident)

    def note(self, frame: FrameType | None, ident: int) -> None:
        """The locks that a thread holds by where it stands, innermost first."""
        held: list[_Held] = []
        while frame is not None and len(held) < 6:
            if frames.is_own(frame.f_code.co_filename):
                held += _held_in(frame, self._entered(frame.f_code))
            frame = frame.f_back
        for position, inner in enumerate(held):
            for place, outer in enumerate(held[position + 1 :], position + 1):
                if outer.lock is not inner.lock:
                    gates = held[place + 1 :]
                    self._put(outer, inner, gates, (ident, locks.thread_name_of(ident)))

    def _put(self, outer: _Held, inner: _Held, gates: list[_Held], thread: Thread) -> None:
        key = (id(outer.lock), id(inner.lock))
        known = self._seen.get(key)
        if known is None or known.outer() is not outer.lock or known.inner() is not inner.lock:
            if len(self._seen) >= MAX_ORDERS:
                return
            self._seen[key] = known = Order(outer, inner, gates, thread)
            known.frames = self._sample(inner)
        reverse = self._seen.get((key[1], key[0]))
        if reverse is None or reverse.outer() is not inner.lock or reverse.thread == thread:
            return
        if reverse.gates & {id(gate.lock) for gate in gates}:
            return
        places = tuple(sorted((id(o.code), o.line) for o in (known, reverse)))
        if places not in self._told:
            self._told.add(places)
            now = Order(outer, inner, gates, thread)
            now.frames = frames.take(frames.stack_entries(inner.frame))
            self._found.append((reverse, now))

    def _sample(self, inner: _Held) -> list[dict[str, Any]]:
        """How a place is come by, taken the first time."""
        place = (inner.frame.f_code, inner.line)
        known = self._samples.get(place)
        if known is None:
            known = frames.take(frames.stack_entries(inner.frame))
            self._samples[place] = known
        return known

    def inversions(self) -> list[tuple[Order, Order]]:
        """Pairs of orders that contradict each other, each told once."""
        found, self._found = self._found, []
        if found:
            self.risk = RISK
        return found

    def _entered(self, code: CodeType) -> list[ast.With]:
        """The `with` statements of the code that may take locks, looked up once."""
        known = self._withs.get(code)
        if known is None:
            known = _withs(code)
            if len(self._withs) < 5_000:
                self._withs[code] = known
        return known

    # ------------------------------------------------------------ from Python 3.12 on
    def watch(self) -> None:
        """Be told when project code enters a `with`; nothing where another tool is in the way."""
        monitoring: Any = getattr(sys, "monitoring", None)
        if monitoring is None or self.watching:
            return
        self.watching = True
        try:
            monitoring.use_tool_id(TOOL, NAME)
        except ValueError:
            return
        events = monitoring.events
        disable = monitoring.DISABLE

        def started(code: CodeType, _offset: int) -> Any:
            try:
                if frames.is_own(code.co_filename) and self._entered(code):
                    monitoring.set_local_events(TOOL, code, events.LINE)
            except Exception:
                return disable  # blind to this code, and no harm to the service
            return disable

        def at_line(code: CodeType, line: int) -> Any:
            try:
                if all(node.body[0].lineno != line for node in self._entered(code)):
                    return disable
                place = (id(code), line)
                looks = self._looks[place] = self._looks.get(place, 0) + 1
                self.note(sys._getframe(1), get_ident())
                return disable if looks >= MAX_LOOKS else None
            except Exception:
                return disable

        monitoring.register_callback(TOOL, events.PY_START, started)
        monitoring.register_callback(TOOL, events.LINE, at_line)
        monitoring.set_events(TOOL, events.PY_START)


def stop() -> None:
    """No event calls us any more; the instructions stay as they are, which is the safest."""
    monitoring: Any = getattr(sys, "monitoring", None)
    if monitoring is not None and monitoring.get_tool(TOOL) == NAME:
        for event in (monitoring.events.PY_START, monitoring.events.LINE):
            monitoring.register_callback(TOOL, event, None)


def _withs(code: CodeType) -> list[ast.With]:
    last = max((line for _, _, line in code.co_lines() if line), default=0) if _LINES else 1 << 30
    return [
        node
        for node in locks.statements(frames.absolute(code.co_filename))
        if isinstance(node, ast.With)
        and code.co_firstlineno <= node.lineno <= last
        and any(locks.may_be_lock(item.context_expr) for item in node.items)
    ]


_LINES = sys.version_info >= (3, 10)


def _held_in(frame: FrameType, withs: list[ast.With]) -> list[_Held]:
    """Locks of those of a frame's blocks that its current line is in, innermost first."""
    line = frame.f_lineno or 0
    found: list[_Held] = []
    for node in withs:
        if not node.body[0].lineno <= line <= (node.body[-1].end_lineno or 0):
            continue
        for item in node.items:
            lock = locks.lock_of(item.context_expr, frame)
            if lock is not None:
                found.append(_Held(lock, ast.unparse(item.context_expr), frame, node.lineno))
    # outer statements begin before inner ones; several items of one statement go left to right
    found.sort(key=lambda held: held.line)
    found.reverse()
    return found
