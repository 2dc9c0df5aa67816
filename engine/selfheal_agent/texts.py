"""The source text that running code was made from, even when the file has changed since.

A patch, a canary or an owner's edit writes the file while old code still runs. So the text of
a file is kept from the first look at it, or from `hold`, which the app asks for before it
writes; swapped code remembers the text it was swapped from. A file that changed before anyone
looked is only trusted where its function still compiles to the very code that runs.
"""

from __future__ import annotations

import os
import time
from types import CodeType

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from typing import Any

MAX_FILES = 60
MAX_BYTES = 4_000_000

_first: dict[str, tuple[str, ...]] = {}
_late: dict[str, bytes] = {}
"""Files that had changed since the process started when we first read them."""
_of_code: dict[CodeType, tuple[str, ...]] = {}
_paths: dict[str, str] = {}
_started_s = time.time()


def hold(path: str) -> bool:
    """Keep the file's text as it is now for the code that runs now."""
    return bool(_lines(path))


def swapped(codes: list[CodeType], source: bytes) -> None:
    """These codes were just made from `source`."""
    lines = _split(source)
    for code in codes:
        _of_code[code] = lines
        swapped([c for c in code.co_consts if isinstance(c, CodeType)], source)


def forget(codes: list[CodeType]) -> None:
    """These codes run no more."""
    for code in codes:
        _of_code.pop(code, None)


def line_of(file: str, line: int, code: CodeType | None = None) -> str:
    """The text of one line as `code` was made from it, "" where it cannot be told."""
    if file.startswith("<") or line < 1:
        return ""
    lines = _of_code.get(code) if code is not None else None
    if lines is None:
        lines = _lines(file)
        if _real(file) in _late and code is not None:
            line = _shifted(_real(file), line, code)
    return lines[line - 1] if 0 < line <= len(lines) else ""


def _lines(file: str) -> tuple[str, ...]:
    file = _real(file)
    known = _first.get(file)
    if known is not None:
        return known
    try:
        with open(file, "rb") as stream:
            source = stream.read(MAX_BYTES)
            changed = os.fstat(stream.fileno()).st_mtime
    except (OSError, ValueError):
        return ()
    if len(_first) >= MAX_FILES:
        oldest = next(iter(_first))
        _first.pop(oldest)
        _late.pop(oldest, None)
    # a file written just before the start may be the one that was imported
    if changed > _started_s + 1.0:
        _late[file] = source
    _first[file] = lines = _split(source)
    return lines


def _real(file: str) -> str:
    known = _paths.get(file)
    if known is None:
        known = _paths[file] = os.path.realpath(file)
    return known


def _split(source: bytes) -> tuple[str, ...]:
    return tuple(source.decode("utf-8", "replace").splitlines())


def _shifted(file: str, line: int, code: CodeType) -> int:
    """The line of the changed file that stands for `line` of the code; 0 when there is none."""
    from selfheal_agent.swapping import same_code

    try:
        module: Any = compile(_late[file], file, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return 0
    pending = [module]
    while pending:
        candidate = pending.pop()
        if candidate.co_name == code.co_name and same_code(code, candidate):
            return int(candidate.co_firstlineno + line - code.co_firstlineno)
        pending.extend(c for c in candidate.co_consts if isinstance(c, CodeType))
    return 0
