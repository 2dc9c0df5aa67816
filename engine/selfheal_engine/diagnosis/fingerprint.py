"""What makes two occurrences the same bug.

A fingerprint holds the kind, the exception's class, the innermost own frame with the text of
its line, and the names of the own functions that called it. Line numbers and folders are left
out, so it survives edits elsewhere in the file, a deploy to another folder and a reordering of
functions; messages are left out because they carry the customer's data.
"""

from __future__ import annotations

import hashlib
import io
import tokenize
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from selfheal_engine.model import Frame

CALLERS = 1
"""Own callers that count: enough to tell bugs behind a shared helper apart, few enough that
middleware and the way into the process do not split one bug in two."""


def fingerprint(kind: str, exception: str, frames: Sequence[Frame]) -> str:
    """16 hex digits, equal for occurrences of the same bug."""
    own = [frame for frame in frames if frame.own] or list(frames[-1:])
    parts = [kind, exception]
    if own:
        crash = own[-1]
        parts += [_place(crash), _line(crash)]
        parts += [_place(frame) for frame in _callers(own)]
        if crash is not frames[-1]:
            # the same line may fail in two ways: in its own call or deep in a library
            parts.append(frames[-1].function)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _callers(own: Sequence[Frame]) -> list[Frame]:
    """The nearest distinct own callers of the crash: recursion depth must not matter."""
    found: list[Frame] = []
    seen = {_place(own[-1])}
    for frame in reversed(own[:-1]):
        if _place(frame) not in seen:
            seen.add(_place(frame))
            found.append(frame)
        if len(found) == CALLERS:
            break
    return found


def _place(frame: Frame) -> str:
    module = frame.module
    if module in ("", "__main__", "__mp_main__"):
        module = PurePath(frame.file).stem
    return f"{module}:{frame.function}"


def _line(frame: Frame) -> str:
    """The line's tokens without layout and comments; its offset in the function without text."""
    if not frame.source_line.strip():
        return f"+{frame.line - frame.first_line}" if frame.first_line else ""
    text = frame.source_line.strip()
    return " ".join(_tokens(text)) or text


def _tokens(text: str) -> Iterable[str]:
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type not in layout and token.string:
                yield token.string
    except (tokenize.TokenError, SyntaxError):
        # a statement that goes on in the next line: what was read so far is enough
        return
