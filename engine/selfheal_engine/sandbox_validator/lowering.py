"""A patch with its bounds lowered, so that a leak's replay meets them in seconds.

A cache that holds 1024 entries grows for 1024 calls, and a request takes milliseconds: whether
it stops then shows at 48 as well. Only numbers that the patch itself brings are lowered, and
only for the replays that measure growth; everything else judges the patch as it is.
"""

from __future__ import annotations

import io
import tokenize

from selfheal_engine.model import Candidate
from selfheal_engine.project import Project
from selfheal_engine.reflection_engine.change import new_lines
from selfheal_engine.sandbox_validator.static_checks import original, python_files

BOUND = 48
LEAST = 2 * BOUND
"""Numbers below are soon reached as they are."""


def lowered(candidate: Candidate, project: Project) -> dict[str, bytes]:
    """The candidate's files with each bound that it adds at BOUND at most."""
    files = dict(candidate.files)
    for path in python_files(candidate):
        files[path] = lower(original(project, path), files[path])
    return files


def lower(before: bytes, after: bytes) -> bytes:
    """`after` with the larger whole numbers of the lines that are new in it lowered."""
    try:
        text = after.decode()
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (UnicodeDecodeError, tokenize.TokenError, SyntaxError):
        return after
    lines = text.splitlines(keepends=True)
    new = new_lines(before, after)
    for token in reversed(tokens):
        row, column = token.start
        if token.type != tokenize.NUMBER or row not in new:
            continue
        digits = token.string.replace("_", "")
        if digits.isdecimal() and int(digits) >= LEAST:
            line = lines[row - 1]
            lines[row - 1] = f"{line[:column]}{BOUND}{line[token.end[1] :]}"
    return "".join(lines).encode()
