"""A memory report over some time, as an occurrence of kind "leak"."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from selfheal_engine.codec import from_plain
from selfheal_engine.model import Frame, Growth, Occurrence
from selfheal_engine.sources.probes import ProbeSet

MIN_BYTES = 65_536
"""Less growth than this is no leak."""
EMPTY_LOOKS = 1
"""So many looks that see nothing are repeated at once: by chance a worker serves little in one."""
PAUSE = 2.0
"""What grew is looked at again after so many times the first look's length: a cache that was
filling is full by then, or slower ..."""
GOES_ON = 0.5
"""... than this share of its first pace."""


class LeakReport:
    """Asks the probe with the most traffic to look, and to look again; never blocks.

    A leak is what grows at the same place, or in the same container, both times.
    """

    def __init__(self, probes: ProbeSet, wait_s: float) -> None:
        self.done = False
        self._wait_s = wait_s
        self._number = 0
        self._phase = "start"
        self._first: Occurrence | None = None
        self._empty_looks = 0
        chosen = sorted(probes.connections, key=lambda c: -probes.requests_of(c.pid))
        workers = [c for c in chosen if c.pid != probes.root] or chosen
        self._connection = workers[0] if workers else None
        if self._connection is None:
            self.done = True
            return
        self._number = self._connection.send({"t": "memory_start", "changes": True})
        self._due = 0.0

    def advance(self, probes: ProbeSet) -> Occurrence | None:
        """Go on as far as possible; the leak once it is found."""
        connection = self._connection
        if self.done or connection is None:
            return None
        if connection.gone:
            self.done = True
            return None
        if self._phase == "start" and connection.reply(self._number) is not None:
            # only now has the first look been taken
            self._due = time.monotonic() + self._wait_s / 2
            self._phase = "first half"
        elif self._phase == "first half" and time.monotonic() >= self._due:
            self._number = connection.send({"t": "memory_middle", "changes": True})
            self._phase = "middle"
        elif self._phase == "middle" and connection.reply(self._number) is not None:
            self._due = time.monotonic() + self._wait_s / 2
            self._phase = "second half"
        elif self._phase == "second half" and time.monotonic() >= self._due:
            self._number = connection.send({"t": "memory_report", "changes": True})
            self._phase = "report"
        elif self._phase == "report":
            answer = connection.reply(self._number)
            if answer is not None:
                return self._judge(leak_of(connection.pid, answer, self._wait_s))
        elif self._phase == "pause" and time.monotonic() >= self._due:
            self._number = connection.send({"t": "memory_start", "changes": True})
            self._phase = "start"
        return None

    def _judge(self, leak: Occurrence | None) -> Occurrence | None:
        """The leak once it was seen twice."""
        if leak is not None and self._first is None:
            self._first = leak
            self._phase = "pause"
            self._due = time.monotonic() + PAUSE * self._wait_s
            return None
        if self._first is None and self._empty_looks < EMPTY_LOOKS:
            self._empty_looks += 1
            self._phase = "pause"
            self._due = time.monotonic()
            return None
        self.done = True
        if leak is None or self._first is None or not _places(leak) & _places(self._first):
            return None
        return leak if _grown(leak) >= GOES_ON * _grown(self._first) else None


def leak_of(pid: int, answer: dict[str, Any], wait_s: float) -> Occurrence | None:
    """The occurrence of a probe's report; None when nothing of the project grew much."""
    growth = tuple(from_plain(Growth, item) for item in answer.get("growth", ()))
    placed = [item for item in growth if item.line and item.bytes_grown >= MIN_BYTES]
    held = [item for item in growth if item.holder and not item.line]
    if not placed and not held:
        return None
    top = max(placed, key=lambda item: item.bytes_grown) if placed else held[0]
    path = [(str(file), int(line)) for file, line in answer.get("path", ())]
    if not path or path[-1] != (top.file, top.line):
        path = [(top.file, top.line)]
    frames = tuple(
        Frame(
            file=file,
            line=line,
            function=_function_at(file, line),
            source_line=_line(file, line),
            own=True,
        )
        for file, line in path
    )
    holder = held[0].holder if held else top.holder
    rate = top.bytes_grown / max(wait_s, 1e-3) / 1024
    text = f"grows by {rate:.0f} KB/s" + (f", held by {holder}" if holder else "")
    now = time.time()
    return Occurrence(
        id=f"{pid}-{int(now * 1000):x}-leak",
        kind="leak",
        time_s=now,
        pid=pid,
        exception="MemoryGrowth",
        message=text,
        frames=frames,
        caught_by="memory",
        growth=(*placed, *held) if placed else tuple(held),
    )


def _grown(leak: Occurrence) -> int:
    return max((item.bytes_grown for item in leak.growth), default=0)


def _places(leak: Occurrence) -> set[tuple[str, int] | str]:
    return {(g.file, g.line) for g in leak.growth if g.line} | {
        g.holder for g in leak.growth if g.holder
    }


def _line(file: str, line: int) -> str:
    try:
        lines = Path(file).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return lines[line - 1].strip() if 0 < line <= len(lines) else ""


def _function_at(file: str, line: int) -> str:
    import ast

    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ""
    best = "<module>"

    def visit(node: ast.AST, prefix: str) -> None:
        nonlocal best
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                if child.lineno <= line <= (child.end_lineno or child.lineno):
                    if not isinstance(child, ast.ClassDef):
                        best = prefix + child.name
                    tail = "." if isinstance(child, ast.ClassDef) else ".<locals>."
                    visit(child, prefix + child.name + tail)
            else:
                visit(child, prefix)

    visit(tree, "")
    return best
