"""Whether the handler that printed an exception expected it.

A handler that names what it catches (`except ConnectionResetError`) and goes on has dealt with
it. One that catches everything keeps a loop alive: what it prints is a failure like any other,
and so is what a handler raises again.
"""

from __future__ import annotations

import ast
import builtins
import functools
from dataclasses import replace
from pathlib import Path

from selfheal_engine.model import Occurrence

PRINTED = "print"
"""What the probe calls the way by which it heard of a printed exception."""
_EVERYTHING = frozenset({"Exception", "BaseException"})


def judged(occurrence: Occurrence) -> Occurrence:
    """The occurrence; a printed exception that nobody expected counts as not handled."""
    if occurrence.caught_by != PRINTED or not occurrence.handled or not occurrence.frames:
        return occurrence
    catching = occurrence.frames[0]
    path = Path(catching.file)
    try:
        block = _block_at(path, path.stat().st_mtime_ns, catching.line)
    except OSError:
        return occurrence
    if block is None or _expects(_handler_for(occurrence.exception, block)):
        return occurrence
    return replace(occurrence, handled=False)


@functools.lru_cache(maxsize=256)
def _block_at(path: Path, changed: int, line: int) -> ast.Try | None:
    """The innermost `try` whose body runs through the line, in the file as it is."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return None
    found = None
    for node in ast.walk(tree):  # outer statements come before those inside them
        if not isinstance(node, ast.Try) or not node.handlers:
            continue
        if node.body[0].lineno <= line <= (node.body[-1].end_lineno or 0):
            found = node
    return found


def _handler_for(exception: str, block: ast.Try) -> ast.ExceptHandler:
    """The first that names the class or a built-in base of it, else the one for everything."""
    kind = getattr(builtins, exception, None)
    bases = {base.__name__ for base in getattr(kind, "__mro__", ())} - _EVERYTHING
    names = {exception.rpartition(".")[2], *bases}
    for handler in block.handlers:
        if names & _caught(handler):
            return handler
    return next((h for h in block.handlers if _EVERYTHING & _caught(h)), block.handlers[0])


def _caught(handler: ast.ExceptHandler) -> set[str]:
    """The last names of the classes that a handler catches."""
    kind = handler.type
    if kind is None:
        return {"BaseException"}
    classes = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return {ast.unparse(one).rpartition(".")[2] for one in classes}


def _expects(handler: ast.ExceptHandler) -> bool:
    raises = any(isinstance(node, ast.Raise) for node in ast.walk(handler))
    return not raises and not _EVERYTHING & _caught(handler)
