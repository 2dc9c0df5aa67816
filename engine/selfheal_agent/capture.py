"""Exceptions, wherever they surface, become records; each exception object only once.

A crash that is already known costs a look-up and a count. Full records are taken for the
first two of a kind, then at most one in five seconds, and at most twenty a second in all.
"""

from __future__ import annotations

import os
import sys
import time
from _thread import get_ident
from types import CodeType, FrameType, TracebackType

from selfheal_agent import frames, good_calls, requests, texts
from selfheal_agent.scarcity import hidden_cause
from selfheal_agent.scrub import scrub_text
from selfheal_agent.values import ids, qualified_type

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from collections.abc import Callable
    from typing import Any

MAX_KINDS = 2_000
FULL_FIRST = 2
FULL_EVERY_S = 5.0
FULL_PER_S = 20
MAX_CHAIN = 5
MAX_LEAVES = 20
"""Members of an exception group that are recorded."""
KEY_FRAMES = 12
"""Innermost frames that tell one kind of crash from another."""
_MARK = "__selfheal_seen__"
_REMOTE = ("_RemoteTraceback", "RemoteTraceback")
_NO_FAILURE = (KeyboardInterrupt, SystemExit, GeneratorExit)
_GROUPS = (BaseExceptionGroup,) if sys.version_info >= (3, 11) else ()

_get_cause = BaseException.__dict__["__cause__"].__get__
_get_context = BaseException.__dict__["__context__"].__get__
_get_suppress = BaseException.__dict__["__suppress_context__"].__get__
traceback_of = BaseException.__dict__["__traceback__"].__get__
_get_args = BaseException.__dict__["args"].__get__
_get_dict = BaseException.__dict__["__dict__"].__get__
_read = dict.get  # a service may give an exception a dictionary of its own making
_write = dict.__setitem__


class _Kind:
    __slots__ = ("codes", "count", "due", "number", "reported")

    def __init__(self, number: int) -> None:
        self.number = number
        self.count = 0
        self.reported = 0
        self.due = 0.0
        """When the next full record may be made; 0 before the first."""
        self.codes: list[CodeType] = []
        """Kept alive, so that no other code takes over an id of the key."""


class Capture:
    """Counts by kind of crash, and the budget of full records."""

    def __init__(self, put: Callable[[Any], None], entry_tickets: Callable[[Any], Any]) -> None:
        self._put = put
        self._entry_tickets = entry_tickets
        self.reset()

    def reset(self) -> None:
        """Start counting anew, as a forked child does."""
        self._pid = os.getpid()
        self._kinds: dict[Any, _Kind] = {}
        self._second = 0
        self._in_second = 0
        self.total = 0
        self.outside = 0
        """Exceptions that no request was served by."""
        self.handled = 0
        self.threads_died = 0
        self.log_records = 0
        self.beyond = 0
        """Exceptions of new kinds that were only counted, because the budget was spent."""

    def exception(
        self,
        exc: BaseException | None,
        caught_by: str,
        handled: bool = False,
        kind: str = "exception",
        tb: TracebackType | None = None,
    ) -> None:
        """Record one exception. Never raises."""
        # One function for what is known already: a failing request finds our code cold, and
        # each further function costs it more than what the function does.
        try:
            if exc is None:
                return
            state = _get_dict(exc)
            mark = _read(state, _MARK)
            # one that came from a child with its traceback as text was recorded there, at its place
            if mark is not None and (mark == self._pid or _is_remote(exc)):
                return
            tb = tb or traceback_of(exc)
            key = _key(type(exc), tb)
            known = self._kinds.get(key)
            if known is None and issubclass(type(exc), _NO_FAILURE):
                return
            _write(state, _MARK, self._pid)
            if known is None and issubclass(type(exc), _GROUPS):
                leaves = _leaves(exc)
                for leaf in leaves:  # each is a bug of its own, at its own place
                    self.exception(leaf, caught_by, handled, kind)
                if leaves:
                    return
            self.total += 1
            self.handled += handled
            self.threads_died += kind == "thread_death"
            # nearly all are of the thread that serves; `serving` knows tasks and their children
            if not handled and get_ident() not in requests.in_flight and not requests.serving():
                self.outside += 1
            known = known or self._new_kind(key, tb)
            if known is None:
                return
            known.count += 1
            if known.count > FULL_FIRST and time.monotonic() < known.due:
                return
            count = self._claim(known)
            if count is not None:
                self._record(known, count, exc, kind, caught_by, handled, tb)
        except Exception:
            self.beyond += 1

    def _new_kind(self, key: Any, tb: TracebackType | None = None) -> _Kind | None:
        """A kind that was not met before; None, and only counted, where there are too many."""
        if len(self._kinds) >= MAX_KINDS:
            self.beyond += 1
            return None
        known = self._kinds.setdefault(key, _Kind(len(self._kinds)))
        while tb is not None:
            known.codes.append(tb.tb_frame.f_code)
            tb = tb.tb_next
        del known.codes[: -2 * KEY_FRAMES]  # shims are among them
        return known

    def _record(
        self,
        known: _Kind,
        count: int,
        exc: BaseException,
        kind: str,
        caught_by: str,
        handled: bool,
        tb: TracebackType | None,
    ) -> None:
        """A full record, made now, which stands for `count` occurrences."""
        try:
            entries = frames.traceback_entries(tb)
            record = describe(exc, kind, caught_by, entries, self._entry_tickets(tb))
        except BaseException:
            known.reported -= count  # no memory left: a later record tells of them
            raise
        record["handled"] = handled
        record["key"] = known.number
        record["count"] = count
        record["codes"] = [
            (frame.f_code, frame.f_globals)
            for frame, _, _ in entries[-12:]
            if frames.is_own(frame.f_code.co_filename)
        ][-3:]
        self._put(record)

    def event(self, record: dict[str, Any], key: Any) -> None:
        """A record that is no exception (an ERROR log, a stall, ...), deduplicated by `key`.

        One without frames is only counted: `is_new` said that it was not wanted whole.
        """
        known = self._kinds.get(key) or self._new_kind(key)
        if known is None:
            return
        known.count += 1
        count = self._claim(known) if "frames" in record else None
        if count is not None:
            record["key"] = known.number
            record["count"] = count
            self._put(record)

    def is_new(self, key: Any) -> bool:
        """Whether a record under this key would be taken whole now."""
        known = self._kinds.get(key)
        if known is None or known.count < FULL_FIRST:
            return True
        return time.monotonic() >= known.due

    def _claim(self, known: _Kind) -> int | None:
        """How many occurrences a full record made now stands for; None: none is to be made.

        They count as reported at once: the probe's thread must not tell of them meanwhile.
        """
        now = time.monotonic()
        if known.count > FULL_FIRST and now < known.due:
            return None
        if int(now) != self._second:
            self._second, self._in_second = int(now), 0
        self._in_second += 1
        if self._in_second > FULL_PER_S:
            return None
        more = known.count - known.reported
        known.reported += more
        known.due = now + FULL_EVERY_S
        return more

    def counts(self) -> dict[int, int]:
        """Occurrences by record key, over the life of the process."""
        return {known.number: known.count for known in list(self._kinds.values())}

    def unreported(self) -> list[tuple[int, int]]:
        """(key, occurrences since the last record), and they count as reported from now on.

        A kind without a record is left to its first one: nobody knows its key yet.
        """
        found = []
        for known in list(self._kinds.values()):
            if not known.due:
                continue
            more = known.count - known.reported
            if more > 0:
                known.reported += more
                found.append((known.number, more))
        return found


def describe(
    exc: BaseException,
    kind: str,
    caught_by: str,
    entries: list[tuple[FrameType, int, int]],
    tickets: Any = None,
) -> dict[str, Any]:
    """The record of one exception; `frames.finish` and `capture.finish` complete it."""
    record: dict[str, Any] = {
        "kind": kind,
        "time_s": time.time(),
        "pid": os.getpid(),
        "exception": qualified_type(type(exc)),
        "message": message_of(exc),
        "frames": frames.take(entries, tickets),
        "thread": thread_name(),
        "caught_by": caught_by,
        "request": requests.current_record(),
        "chain": [
            {
                "id": "",
                "kind": kind,
                "time_s": 0.0,
                "pid": os.getpid(),
                "exception": qualified_type(type(link)),
                "message": message_of(link),
                "frames": frames.take(frames.traceback_entries(traceback_of(link))),
            }
            for link in _chain(exc)
        ],
    }
    record["message"] += hidden_cause(record["message"])
    if any(frame.f_globals.get("__name__") == "__main__" for frame, _, _ in entries):
        record["argv"] = [scrub_text(arg[:200]) for arg in sys.argv[1:30] if type(arg) is str]
    if issubclass(type(exc), SyntaxError):
        record["kind"] = "syntax"
        record["syntax"] = _syntax(exc)
    elif issubclass(type(exc), ImportError) and _while_importing(entries):
        record["kind"] = "syntax"
    return record


def finish(record: dict[str, Any]) -> dict[str, Any]:
    """Completes a record in the probe's own thread."""
    record.pop("codes", None)
    frames.finish(record["frames"])
    for link in (*record.get("chain", ()), *record.get("threads", ())):
        frames.finish(link["frames"])
    place = record.pop("syntax", None)
    if place is not None:
        text = texts.line_of(place["file"], place["line"]) or place["text"]
        record["frames"].append(
            {
                "file": place["file"],
                "line": place["line"],
                "function": "<module>",
                "source_line": text.strip()[:400],
                "own": frames.is_own(place["file"]),
                "column": place["column"],
            }
        )
    return record


def _key(cls: type, tb: TracebackType | None) -> tuple[Any, ...]:
    """What a crash is looked up by: its class and the innermost places it went through.

    Codes count by identity: hashing one goes through its names and constants. `_Kind.codes`
    keeps them alive.
    """
    key: list[Any] = []
    shims = good_calls.shim_codes  # asked of every frame of every failure
    while tb is not None and len(key) < 400:  # a recursion's end differs from time to time
        code = id(tb.tb_frame.f_code)
        if code not in shims:
            key.append(code)
            key.append(tb.tb_lasti)
        tb = tb.tb_next
    return (cls, *key[-2 * KEY_FRAMES :])


def _is_remote(exc: BaseException) -> bool:
    return type(_get_cause(exc)).__name__ in _REMOTE


_PLAIN_ARGS = ids(str, int, type(None), bytes, tuple, float)
_SHOWN = ids(int, float, bool, type(None), bytes)
_KNOWN_TEXTS = (
    OSError.__str__,
    SyntaxError.__str__,
    KeyError.__str__,
    ImportError.__str__,
    UnicodeDecodeError.__str__,
    UnicodeEncodeError.__str__,
)


def message_of(exc: BaseException) -> str:
    """What str(exc) would say, as far as it can be told without running the class's code."""
    cls = type(exc)
    own_text: Any = cls.__str__ if type(cls) is type else None
    args = _get_args(exc)
    plain = all(id(type(arg)) in _PLAIN_ARGS for arg in args)
    if own_text in _KNOWN_TEXTS and plain:
        text: str = own_text(exc)
        return scrub_text(text[:1000])
    parts = [_plain_text(arg) for arg in args]
    if len(parts) == 1:
        return scrub_text(parts[0][:1000])
    return scrub_text(("(" + ", ".join(parts) + ")")[:1000]) if parts else ""


def _plain_text(arg: object) -> str:
    cls = type(arg)
    if type(arg) is str:
        return arg[:1000]
    if id(cls) in _SHOWN:
        return repr(arg)[:1000]
    if issubclass(cls, BaseException):
        return message_of(arg)  # type: ignore[arg-type]
    return f"<{qualified_type(cls)}>"


def _chain(exc: BaseException) -> list[BaseException]:
    links: list[BaseException] = []
    seen = {id(exc)}
    current = exc
    while len(links) < MAX_CHAIN:
        cause = _get_cause(current)
        if cause is None and not _get_suppress(current):
            cause = _get_context(current)
        if cause is None or id(cause) in seen:
            break
        seen.add(id(cause))
        links.append(cause)
        current = cause
    if _is_group(exc):
        links.extend(member for member in _members(exc) if id(member) not in seen)
    return links[:MAX_CHAIN]


def _leaves(group: BaseException) -> list[BaseException]:
    """The exceptions of a group and of the groups in it that were raised somewhere."""
    pending, found = [group], list[BaseException]()
    while pending and len(found) < MAX_LEAVES:
        for member in _members(pending.pop()):
            if _is_group(member):
                pending.append(member)
            elif traceback_of(member) is not None:
                found.append(member)
    return found[:MAX_LEAVES]


def _members(group: Any) -> tuple[BaseException, ...]:
    found: tuple[BaseException, ...] = ()
    if sys.version_info >= (3, 11):
        found = BaseExceptionGroup.__dict__["exceptions"].__get__(group)
    return found


def _is_group(exc: BaseException) -> bool:
    return issubclass(type(exc), _GROUPS)


def _syntax(exc: BaseException) -> dict[str, Any]:
    read = SyntaxError.__dict__
    column = read["offset"].__get__(exc)
    text = read["text"].__get__(exc)
    return {
        "file": frames.absolute(read["filename"].__get__(exc) or "<unknown>"),
        "line": read["lineno"].__get__(exc) or 0,
        "column": column - 1 if type(column) is int and column > 0 else None,
        "text": text if type(text) is str else "",
    }


def _while_importing(entries: list[tuple[FrameType, int, int]]) -> bool:
    own = [frame for frame, _, _ in entries if frames.is_own(frame.f_code.co_filename)]
    return bool(own) and own[-1].f_code.co_name == "<module>"


def thread_name() -> str:
    """Name of the running thread without making a dummy thread for it."""
    threading = sys.modules.get("threading")
    if threading is None:
        return "MainThread"
    thread = threading._active.get(get_ident())
    name = getattr(thread, "_name", "") if thread is not None else ""
    return name if type(name) is str else ""
