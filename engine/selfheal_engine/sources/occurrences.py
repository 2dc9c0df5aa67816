"""Records of the probe as occurrences of the model, deduplicated over all processes."""

from __future__ import annotations

import ast
import functools
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

from selfheal_engine.codec import from_plain
from selfheal_engine.diagnosis.fingerprint import fingerprint
from selfheal_engine.model import Frame, GoodCall, Occurrence, RequestRecord
from selfheal_engine.sources.handlers import judged

MAX_GOOD_CALLS = 60
"""Good calls attached to one occurrence."""
MAX_GOOD_PER_FUNCTION = 40


class OccurrenceStore:
    """Latest occurrence of each fingerprint, and the good calls of the crash paths."""

    def __init__(self) -> None:
        self._latest: dict[str, Occurrence] = {}
        self._by_key: dict[tuple[int, int], str] = {}
        self._good: dict[tuple[str, str], deque[GoodCall]] = {}
        self._updated: dict[str, None] = {}
        self.counts: dict[str, int] = {}
        """Occurrences of each fingerprint since the source was opened."""

    def record(self, pid: int, message: dict[str, Any]) -> Occurrence | None:
        """The occurrence in a probe's message; None when the message makes no sense."""
        plain = dict(message["record"])
        key = int(plain.pop("key", -1))
        plain["id"] = f"{pid}-{int(float(plain['time_s']) * 1000):x}-{message.get('seq', 0)}"
        try:
            occurrence = judged(_named(from_plain(Occurrence, plain)))
        except (KeyError, TypeError, ValueError, AttributeError):
            return None
        occurrence = self.put(occurrence)
        self._by_key[(pid, key)] = occurrence.fingerprint
        return occurrence

    def put(self, occurrence: Occurrence) -> Occurrence:
        """Fill in the fingerprint and what is known about it, and remember it."""
        print_ = fingerprint(occurrence.kind, occurrence.exception, occurrence.frames)
        occurrence = replace(occurrence, fingerprint=print_, good_calls=self._good_for(occurrence))
        self._latest[print_] = occurrence
        self.counts[print_] = self.counts.get(print_, 0) + occurrence.count
        return occurrence

    def counted(self, pid: int, message: dict[str, Any]) -> list[Occurrence]:
        """Known crashes that happened again, without a record of their own."""
        found = []
        for key, count in message.get("counts", ()):
            print_ = self._by_key.get((pid, int(key)))
            latest = self._latest.get(print_) if print_ is not None else None
            if latest is None or print_ is None:
                continue
            self.counts[print_] = self.counts.get(print_, 0) + int(count)
            found.append(
                replace(
                    latest,
                    id=f"{latest.id}+{self.counts[print_]}",
                    time_s=float(message.get("time_s", latest.time_s)),
                    began_s=0.0,
                    pid=pid,
                    count=int(count),
                    good_calls=self._good_for(latest),
                )
            )
        return found

    def good_call(self, message: dict[str, Any]) -> None:
        """Remember a call that went well."""
        try:
            call = from_plain(GoodCall, message)
            request = (
                from_plain(RequestRecord, message["request"]) if message.get("request") else None
            )
        except (KeyError, TypeError, ValueError):
            return
        calls = self._good.setdefault(
            (call.file, call.function), deque(maxlen=MAX_GOOD_PER_FUNCTION)
        )
        if any(_same_input(known, call) for known in calls):
            return
        calls.append(call)
        for print_, latest in self._latest.items():
            if any(
                file == call.file and (not call.function or function in ("", call.function))
                for file, function in _places(latest)
            ):
                self._updated[print_] = None
                if latest.request is None and latest.kind == "leak":
                    self._latest[print_] = replace(latest, request=request)

    def updated(self) -> list[Occurrence]:
        """Occurrences (count 0) whose good calls grew since the last call."""
        found = []
        for print_ in self._updated:
            latest = self._latest[print_]
            latest = replace(latest, good_calls=self._good_for(latest), count=0)
            self._latest[print_] = latest
            found.append(latest)
        self._updated.clear()
        return found

    def _good_for(self, occurrence: Occurrence) -> tuple[GoodCall, ...]:
        found: list[GoodCall] = []
        for place in _places(occurrence):
            for known, calls in self._good.items():
                if known == place or (not place[1] and known[0] == place[0]):
                    found.extend(calls)
        return tuple(found[:MAX_GOOD_CALLS])


def _places(occurrence: Occurrence) -> list[tuple[str, str]]:
    """(file, function) whose good calls belong to it; without a function: all of the file."""
    places = [(f.file, f.function) for f in reversed(occurrence.frames) if f.own]
    places += [(g.file, "") for g in occurrence.growth]
    if occurrence.kind == "leak":  # whoever keeps what grows may lie beside the way to it
        places += [(f.file, "") for f in occurrence.frames if f.own]
    return list(dict.fromkeys(places))


def _same_input(one: GoodCall, other: GoodCall) -> bool:
    """The same arguments; of exchanges that were kept without any, the same request."""
    return one.arguments == other.arguments and bool(one.arguments or one.request == other.request)


def _named(occurrence: Occurrence) -> Occurrence:
    """With qualified names: before Python 3.11 the probe knows only the last part."""
    frames = tuple(_qualified(frame) for frame in occurrence.frames)
    chain = tuple(_named(link) for link in occurrence.chain)
    return replace(occurrence, frames=frames, chain=chain)


def _qualified(frame: Frame) -> Frame:
    if not frame.own or "." in frame.function or frame.function == "<module>":
        return frame
    name = _names(frame.file, _mtime(frame.file)).get((frame.function, frame.first_line))
    return replace(frame, function=name) if name else frame


def _mtime(file: str) -> float:
    try:
        return Path(file).stat().st_mtime
    except OSError:
        return 0.0


@functools.lru_cache(maxsize=64)
def _names(file: str, _changed: float) -> dict[tuple[str, int], str]:
    """(name, first line) -> qualified name of every function of a file."""
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return {}
    found: dict[tuple[str, int], str] = {}

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = min([child.lineno, *(d.lineno for d in child.decorator_list)])
                found[(child.name, first)] = prefix + child.name
                visit(child, f"{prefix}{child.name}.<locals>.")
            elif isinstance(child, ast.ClassDef):
                visit(child, f"{prefix}{child.name}.")
            else:
                visit(child, prefix)

    visit(tree, "")
    return found
