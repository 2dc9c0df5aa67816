"""What the templates of this family share: when to catch, and the `try` around the code."""

from __future__ import annotations

import ast

from selfheal_engine.diagnosis.bug_types import UPSTREAM
from selfheal_engine.patch_generator.edits import (
    BODY,
    indented,
)
from selfheal_engine.patch_generator.rules import Scene

STRATEGY = "error_handling"


_PROGRAMMING = frozenset(
    {
        "NameError",
        "UnboundLocalError",
        "AttributeError",
        "AssertionError",
        "SyntaxError",
        "ImportError",
        "ModuleNotFoundError",
        "IndentationError",
        "RecursionError",
        "NotImplementedError",
        "MemoryError",
        "SystemError",
        "RuntimeError",
        "StopIteration",
        "ZeroDivisionError",
        "IndexError",
    }
)
"""Exceptions that say the code is wrong: catching them hides the bug."""


def is_foreign(scene: Scene) -> bool:
    """Whether the exception speaks of input or of the world rather than of a slip in the code."""
    if scene.exception in _PROGRAMMING or scene.failure.is_none:
        return False
    return not (scene.exception == "TypeError" and scene.occurrence.kind != "thread_death")


def is_upstream(scene: Scene) -> bool:
    return scene.exception in UPSTREAM and scene.exception not in ("Error",)


def wrapped(handler: str, error: str, name: str = "", rest: str = "") -> str:
    clause = f"except {error} as {name}:" if name else f"except {error}:"
    return f"try:\n    {BODY}\n{clause}\n{indented(handler.rstrip())}\n{rest}"


def too_wide(scene: Scene, anchor: ast.stmt) -> bool:
    """A loop or a whole `with` around the failing line is more than one may catch for."""
    return isinstance(anchor, ast.For | ast.AsyncFor | ast.While | ast.With | ast.If) and (
        (anchor.end_lineno or 0) - anchor.lineno > 6
    )
