"""Calls recorded at their entry, for functions on a crash path only.

After a first crash the innermost project functions are watched: arguments are encoded when the
call begins (by the time it raises they may have been mutated), results when it ends well. The
failing call's arguments then stand in its traceback, a bounded number of good calls become the
regression oracle, and the function goes back to exactly what it was.

The way in is the function object's `__code__`: a shim that calls a twin of the original. It
holds for all threads, costs nothing elsewhere and is undone by one assignment.
"""

from __future__ import annotations

import gc
import os
import time
from types import CodeType, FrameType, FunctionType, TracebackType

from selfheal_agent import recording, requests

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from collections.abc import Callable
    from typing import Any

MAX_GOOD = 20
"""Good calls kept of each function."""
SPACING_S = 0.15
"""Calls beyond the first ten that are to be kept begin at least this far apart: by their ends, a
call that waits for long would seldom be one of them."""
AT_ONCE = 10
WATCH_S = 120.0
"""A function is watched at most this long for its next crash."""
WATCH_AFTER_CRASH_S = 30.0
"""... and this long once that crash has been recorded."""
HOPELESS_CALLS = 100
"""Calls of which none ended well: there are no good ones to wait for."""
MAX_FUNCTIONS = 12
MAX_COST = 0.02
"""Share of wall time that encoding may take before entries are sampled more thinly."""
_COROUTINE = 0x80
_SPECIAL = 0x20 | 0x100 | 0x200  # what yields keeps its own code


class Watched:
    """One function under watch."""

    __slots__ = (
        "calls",
        "code",
        "crashed",
        "cut",
        "file",
        "function",
        "good",
        "last_taken_s",
        "lenient",
        "name",
        "shim",
        "since",
        "skip",
        "spent_s",
        "taken",
        "twin",
    )

    def __init__(self, function: FunctionType, name: str, lenient: bool) -> None:
        self.function = function
        self.name = name
        self.lenient = lenient
        self.cut = int(lenient)
        """How much the arguments had to be cut so far: it will not be tried whole again."""
        self.code = function.__code__
        self.file = function.__code__.co_filename
        self.twin = FunctionType(
            function.__code__,
            function.__globals__,
            function.__name__,
            function.__defaults__,
            function.__closure__,
        )
        self.twin.__kwdefaults__ = function.__kwdefaults__
        self.since = time.monotonic()
        self.good = 0
        self.calls = 0
        self.taken = 0
        self.last_taken_s = 0.0
        self.spent_s = 0.0
        self.skip = 0
        self.crashed = False
        self.shim: CodeType | None = None

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Called by the shim at entry: the ticket that `end` or a traceback reads."""
        now = time.monotonic()
        self.calls += 1
        want_crash = not self.crashed
        want_good = self.good < MAX_GOOD and (
            self.taken < AT_ONCE or now - self.last_taken_s > SPACING_S
        )
        if not (want_crash or want_good):
            return None
        if self.spent_s > MAX_COST * (now - self.since + 0.5):
            return None  # costly arguments: let time pass first
        text, self.cut = recording.encode_call({"args": list(args), "kwargs": kwargs}, self.cut)
        self.spent_s += time.monotonic() - now
        if not text:
            return None
        if want_good:
            self.taken += 1
            self.last_taken_s = now
        return text, now, want_good

    def end(self, ticket: Any, result: Any) -> None:
        """Called by the shim when the call ended well."""
        if ticket is None or not ticket[2] or self.good >= MAX_GOOD:
            return
        if not (self.lenient or recording.is_exact(ticket[0])):
            return
        now = time.monotonic()
        text = recording.try_encode(result)
        self.spent_s += time.monotonic() - now
        if result is None:
            text = "null"
        if not text or not recording.is_exact(text):
            if not self.lenient:
                return
            text = ""
        self.good += 1
        request = requests.current_record() if self.good <= 2 else None
        _keep(
            {
                "request": request,
                "t": "good_call",
                "function": self.name,
                "file": self.file,
                "arguments": ticket[0],
                "result": text,
                "time_s": time.time(),
                "duration_s": now - ticket[1],
            }
        )


_by_function: dict[int, Watched] = {}
_seen: dict[int, CodeType] = {}
"""Codes that were watched enough: a crash does not start it again."""
shim_codes: dict[int, Watched] = {}
"""By id of the shim's code, which `Watched` keeps alive; hashing a code is slow."""
_put: Callable[[Any], None] | None = None


def install(put: Callable[[Any], None]) -> None:
    """`put` takes a finished good call to the ring."""
    global _put
    _put = put


def _keep(call: dict[str, Any]) -> None:
    if _put is not None:
        _put(call)


_SHIM = """\
def make():
    {cells}
    {kind} _shim(*args, **kwargs):
        begin = "selfheal begin"
        twin = "selfheal twin"
        end = "selfheal end"
        ticket = begin(args, kwargs)
        result = {call}twin(*args, **kwargs)
        end(ticket, result)
        return result
        {uses}
    return _shim
"""
"""The three texts are constants of the code, replaced by the real callables for each function."""
SHIM_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "<recorded call>")
"""What tracebacks of the service name: among our files, which are left out of records, and none,
for there is no line to show."""
_SHIM_NAMES = frozenset(("args", "kwargs", "begin", "twin", "end", "ticket", "result"))


def _shim_code(free: tuple[str, ...], coroutine: bool) -> CodeType | None:
    """A shim with these free variables; None where their names do not allow one.

    It has to be compiled with them: a code object that is only told of free variables never
    copies their cells into the frame (COPY_FREE_VARS), and whoever then reads `f_locals`, a
    debugger or our own stall report, crashes the interpreter.
    """
    if not all(name.isidentifier() for name in free) or _SHIM_NAMES.intersection(free):
        return None
    cells = "; ".join(f"{name} = None" for name in free) or "pass"
    space: dict[str, Any] = {}
    kind, call = ("async def", "await ") if coroutine else ("def", "")
    source = _SHIM.format(cells=cells, uses="; ".join(free) or "pass", kind=kind, call=call)
    exec(compile(source, SHIM_FILE, "exec"), space)
    code: CodeType = space["make"]().__code__
    return code if code.co_freevars == free else None


def watch(function: FunctionType, lenient: bool = False) -> bool:
    """Put the shim in front of a function; False where that is not possible.

    `lenient`: for what grows, a call counts though parts of it cannot be recorded, or its result:
    what is left behind shows all the same.
    """
    code = function.__code__
    if id(function) in _by_function or len(_by_function) >= MAX_FUNCTIONS:
        return False
    if code.co_flags & _SPECIAL or id(code) in shim_codes or code.co_name.startswith("<"):
        return False
    plain = _shim_code(code.co_freevars, bool(code.co_flags & _COROUTINE))
    if plain is None:
        return False
    watched = Watched(function, getattr(code, "co_qualname", function.__qualname__), lenient)
    real: dict[Any, Any] = {
        "selfheal begin": watched.begin,
        "selfheal twin": watched.twin,
        "selfheal end": watched.end,
    }
    consts = tuple(
        real.get(const, const) if type(const) is str else const for const in plain.co_consts
    )
    shim = plain.replace(co_consts=consts)
    watched.shim = shim
    shim_codes[id(shim)] = watched
    _by_function[id(function)] = watched
    function.__dict__.setdefault("__wrapped__", watched.twin)  # what signature() looks at
    function.__code__ = shim
    return True


def restore(function: FunctionType) -> None:
    """Give a watched function its own code back."""
    watched = _by_function.pop(id(function), None)
    if watched is None:
        return
    function.__code__ = watched.code
    if function.__dict__.get("__wrapped__") is watched.twin:
        del function.__dict__["__wrapped__"]


def restore_all() -> None:
    for watched in list(_by_function.values()):
        restore(watched.function)


def original_code(function: FunctionType) -> CodeType:
    """The function's code as it was defined."""
    watched = shim_codes.get(id(function.__code__))
    return function.__code__ if watched is None else watched.code


def is_twin(function: FunctionType) -> bool:
    """Whether the function is the stand-in that a shim calls."""
    return any(watched.twin is function for watched in _by_function.values())


def entry_arguments(tb: TracebackType | None) -> dict[int, str] | None:
    """Arguments recorded at entry, by id of the frame they were passed to."""
    if not shim_codes:
        return None
    found: dict[int, str] = {}
    while tb is not None and tb.tb_next is not None:
        watched = shim_codes.get(id(tb.tb_frame.f_code))
        if watched is not None:
            ticket = tb.tb_frame.f_locals.get("ticket")
            if type(ticket) is tuple:
                found[id(tb.tb_next.tb_frame)] = ticket[0]
                watched.crashed = True
        tb = tb.tb_next
    return found or None


def entry_of_stack(frame: FrameType) -> str:
    """Arguments recorded at the entry of a live frame."""
    caller = frame.f_back
    if caller is None or id(caller.f_code) not in shim_codes:
        return ""
    ticket = caller.f_locals.get("ticket")
    return ticket[0] if type(ticket) is tuple else ""


def find_functions(code: CodeType, scope: dict[str, Any]) -> list[FunctionType]:
    """Live function objects that run `code`."""
    return [
        referrer
        for referrer in gc.get_referrers(code)
        if type(referrer) is FunctionType
        and referrer.__code__ is code
        and referrer.__globals__ is scope
    ]


def watch_codes(codes: list[tuple[CodeType, dict[str, Any]]]) -> int:
    """Watch the functions of a crash path; how many are watched now that were not."""
    count = 0
    for code, scope in codes:
        if id(code) in shim_codes or id(code) in _seen or code.co_name.startswith("<"):
            continue
        functions = [f for f in find_functions(code, scope) if not is_twin(f)]
        for function in functions[:2]:
            count += watch(function)
    return count


def expire() -> None:
    """Called by the probe's thread each second: functions that were watched enough go back."""
    now = time.monotonic()
    for watched in list(_by_function.values()):
        seconds = now - watched.since
        enough = watched.good >= MAX_GOOD or seconds > WATCH_AFTER_CRASH_S
        hopeless = watched.good == 0 and watched.calls >= HOPELESS_CALLS
        if (watched.crashed and (enough or hopeless)) or seconds > WATCH_S:
            _seen[id(watched.code)] = watched.code
            restore(watched.function)
