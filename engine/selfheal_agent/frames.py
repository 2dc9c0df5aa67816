"""Tracebacks and live stacks as plain frames.

Two halves: `take` runs in the service's thread and keeps what may change a moment later
(lines, pictures of locals, arguments); `finish` runs in the probe's own thread and adds what
needs files or bytecode (source text, character columns, rebound parameters).
"""

from __future__ import annotations

import os
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from itertools import islice
from types import (
    BuiltinFunctionType,
    CodeType,
    FrameType,
    FunctionType,
    ModuleType,
    TracebackType,
)

from selfheal_agent import recording, texts
from selfheal_agent.values import ids, locals_of, picture_all, type_module_of

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from typing import Any

MAX_FRAMES = 60
LOCALS_FRAMES = 8
"""Own frames, counted from the innermost, whose locals are pictured."""
ARGUMENT_FRAMES = 2
"""Own frames, counted from the innermost, whose arguments are recorded for replay."""
MAX_GLOBAL_ITEMS = 200
"""A longer container of the module is no part of a call's record."""
_CONTAINERS = ids(dict, list, set, deque, OrderedDict, defaultdict, Counter)
_NO_STATE = ids(FunctionType, BuiltinFunctionType, ModuleType, type, str, int, float, tuple)
_FOREIGN = ("site-packages", "dist-packages", ".venv", "venv", ".tox", "__pypackages__")
_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep

_own: dict[str, bool] = {}
_paths: dict[str, str] = {}
_project = os.getcwd()


def set_project(folder: str) -> None:
    """The folder whose code counts as the service's own."""
    global _project
    _project = os.path.realpath(folder)
    _own.clear()


def project() -> str:
    return _project


def absolute(file: str) -> str:
    """The code's file name as an absolute path; pseudo names such as <string> stay."""
    path = _paths.get(file)
    if path is None:
        path = file if file.startswith("<") else os.path.abspath(file)
        if len(_paths) < 8192:
            _paths[file] = path
    return path


def is_own(file: str) -> bool:
    """Whether the file belongs to the project: not the standard library, not installed."""
    answer = _own.get(file)
    if answer is None:
        answer = _find_own(file)
        if len(_own) < 8192:
            _own[file] = answer
    return answer


def is_ours(file: str) -> bool:
    """Whether the file belongs to the probe itself."""
    return file.startswith(_HERE)


def _find_own(file: str) -> bool:
    if file.startswith("<") or absolute(file).startswith(_HERE):
        return False
    path = os.path.realpath(absolute(file))
    if not path.startswith(_project.rstrip(os.sep) + os.sep):
        return False
    inside = path[len(_project) :].split(os.sep)[:-1]
    return not any(
        part in _FOREIGN or part.startswith("python3.") or part.endswith("-packages")
        for part in inside
    )


def qualified_name(code: CodeType) -> str:
    """`Cart.total`; before 3.11 only `total`, which the engine completes from the source."""
    name: str = getattr(code, "co_qualname", code.co_name)
    return name


def traceback_entries(tb: TracebackType | None) -> list[tuple[FrameType, int, int]]:
    """(frame, last instruction, line) of a traceback, outermost first, our own frames left out."""
    entries: list[tuple[FrameType, int, int]] = []
    while tb is not None:
        if not tb.tb_frame.f_code.co_filename.startswith(_HERE):
            entries.append((tb.tb_frame, tb.tb_lasti, tb.tb_lineno))
        tb = tb.tb_next
    return _bounded(entries)


def stack_entries(frame: FrameType | None) -> list[tuple[FrameType, int, int]]:
    """The same of a thread's live stack."""
    entries: list[tuple[FrameType, int, int]] = []
    while frame is not None and len(entries) < 2000:
        if not frame.f_code.co_filename.startswith(_HERE):
            entries.append((frame, frame.f_lasti, frame.f_lineno or 0))
        frame = frame.f_back
    entries.reverse()
    return _bounded(entries)


def _bounded(entries: list[Any]) -> list[Any]:
    # deep recursion: the way in and the way out tell the story
    if len(entries) > MAX_FRAMES:
        return entries[: MAX_FRAMES // 3] + entries[-(MAX_FRAMES - MAX_FRAMES // 3) :]
    return entries


def take(
    entries: list[tuple[FrameType, int, int]],
    entry_arguments: dict[int, str] | None = None,
) -> list[dict[str, Any]]:
    """Plain frames with a private `code` and `lasti` that `finish` uses up.

    `entry_arguments` maps id(frame) to arguments recorded at the call; where there are none,
    the arguments are recorded now, as far as no parameter was bound anew.
    """
    made: list[dict[str, Any]] = []
    with_locals, with_arguments = LOCALS_FRAMES, ARGUMENT_FRAMES
    for position, (frame, lasti, line) in enumerate(reversed(entries)):
        code = frame.f_code
        own = is_own(code.co_filename)
        module = frame.f_globals.get("__name__")
        item: dict[str, Any] = {
            "file": absolute(code.co_filename),
            "line": line,
            "function": qualified_name(code),
            "module": module if type(module) is str else "",
            "own": own,
            "first_line": code.co_firstlineno,
            "code": code,
            "lasti": lasti,
        }
        if (own and with_locals > 0) or position == 0:
            with_locals -= 1
            variables = locals_of(frame)
            item["locals"] = picture_all(variables)
            if own and with_arguments > 0 and code.co_name[0] != "<":
                with_arguments -= 1
                known = entry_arguments.get(id(frame)) if entry_arguments else None
                item["arguments"] = (
                    recording.add_globals(known, read_globals(frame))
                    if known
                    else _arguments(frame, variables)
                )
        made.append(item)
    made.reverse()
    return made


def _arguments(frame: FrameType, variables: Any) -> str:
    code = frame.f_code
    if rebound(code):
        return ""
    call = call_arguments(code, variables)
    if call is None:
        return ""
    return recording.call_with_globals(call, read_globals(frame))


def read_globals(frame: FrameType) -> dict[str, Any]:
    """What the function's module keeps and its code names: containers and own objects."""
    scope = frame.f_globals
    codes = [frame.f_code, *(c for c in frame.f_code.co_consts if type(c) is CodeType)]
    found: dict[str, Any] = {}
    for name in dict.fromkeys(name for code in codes for name in code.co_names):
        value = scope.get(name)
        cls = type(value)
        if value is None or name[:2] == "__" or id(cls) in _NO_STATE:
            continue
        if len(value) <= MAX_GLOBAL_ITEMS if id(cls) in _CONTAINERS else _is_own_class(cls):
            found[name] = value
    return found


def _is_own_class(cls: type) -> bool:
    return is_own_module(sys.modules.get(type_module_of(cls)))


def is_own_module(module: Any) -> bool:
    """Whether a module is the project's; a script that ended has lost its `__file__`."""
    if type(module) is not ModuleType:
        return False
    scope = module.__dict__
    file = scope.get("__file__")
    if file is None and scope.get("__name__") == "__main__":
        file = getattr(scope.get("__loader__"), "path", None)
    return type(file) is str and is_own(file)


def call_arguments(code: CodeType, variables: Any) -> dict[str, Any] | None:
    """{"args": [...], "kwargs": {...}} to call the code again; None when a parameter is gone."""
    names = code.co_varnames
    positional = code.co_argcount
    keyword_only = code.co_kwonlyargcount
    try:
        args = [variables[name] for name in names[:positional]]
        kwargs = {name: variables[name] for name in names[positional : positional + keyword_only]}
        rest = positional + keyword_only
        if code.co_flags & 0x04:  # *args
            args.extend(variables[names[rest]])
            rest += 1
        if code.co_flags & 0x08:  # **kwargs
            kwargs.update(variables[names[rest]])
    except KeyError:
        return None
    return {"args": args, "kwargs": kwargs}


_rebound: dict[CodeType, tuple[str, ...]] = {}


def rebound(code: CodeType) -> tuple[str, ...]:
    """Parameters that the code itself assigns or deletes, read from its bytecode."""
    known = _rebound.get(code)
    if known is None:
        known = _find_rebound(code)
        if len(_rebound) < 2048:
            _rebound[code] = known
    return known


def _find_rebound(code: CodeType) -> tuple[str, ...]:
    import dis

    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & 0x04) + bool(code.co_flags & 0x08)
    parameters = code.co_varnames[:count]
    stored: set[str] = set()
    for step in dis.get_instructions(code):
        if step.opname.startswith(("STORE_FAST", "DELETE_FAST", "STORE_DEREF", "DELETE_DEREF")):
            names = step.argval if isinstance(step.argval, tuple) else (step.argval,)
            if "STORE_FAST_LOAD_FAST" in step.opname:
                names = names[:1]
            stored.update(names)
    return tuple(name for name in parameters if name in stored)


# ---------------------------------------------------------------- in the probe's own thread
def finish(frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Adds source lines, columns and rebound names, and drops what is not plain."""
    for item in frames:
        code = item.pop("code", None)
        lasti = item.pop("lasti", -1)
        text = texts.line_of(item["file"], item["line"], code)
        item["source_line"] = text.strip()[:400]
        if code is None:
            continue
        item["rebound"] = list(rebound(code)) if item["own"] else []
        if sys.version_info >= (3, 11):
            _add_columns(item, code, lasti, text)
    return frames


def _add_columns(item: dict[str, Any], code: CodeType, lasti: int, text: str) -> None:
    found = next(islice(code.co_positions(), lasti // 2, None), None) if lasti >= 0 else None
    if found is None or found[0] != item["line"]:
        return
    _, end_line, column, end_column = found
    if end_line is None or column is None or end_column is None:
        return
    end_text = text if end_line == item["line"] else texts.line_of(item["file"], end_line, code)
    item["end_line"] = end_line
    item["column"] = _characters(text, column)
    item["end_column"] = _characters(end_text, end_column)


def _characters(text: str, byte_offset: int) -> int:
    # co_positions counts UTF-8 bytes, people and LibCST count characters
    if text.isascii():
        return byte_offset
    return len(text.encode("utf-8", "replace")[:byte_offset].decode("utf-8", "replace"))
