"""What the templates of this family share: when to catch, and the `try` around the code."""

from __future__ import annotations

import ast
import re

from selfheal_engine.model.vocabulary import UPSTREAM_ERRORS
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
    if scene.exception in _PROGRAMMING or scene.failure.is_none or loses_output(scene):
        return False
    return not (scene.exception == "TypeError" and scene.occurrence.kind != "thread_death")


def loses_output(scene: Scene) -> bool:
    """Whether the failing statement writes: to go on without it would lose what was to be kept."""
    if scene.exception == "UnicodeEncodeError":
        return True
    if scene.exception != "FileNotFoundError":
        return False
    for node in ast.walk(scene.statement):
        if isinstance(node, ast.Call):
            named = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            if named in ("write_text", "write_bytes"):
                return True
            mode = [*node.args, *(k.value for k in node.keywords if k.arg == "mode")]
            opens = named == "open" or getattr(node.func, "id", "") == "open"
            texts = [m.value for m in mode if isinstance(m, ast.Constant)]
            if opens and any(re.fullmatch(r"[wax][bt+]*", str(text)) for text in texts):
                return True
    return False


def is_slip(exception: str) -> bool:
    """Whether an exception can only mean that the code is wrong: no promise covers it."""
    edge = ("IndexError", "ZeroDivisionError", "StopIteration", "ModuleNotFoundError")
    return exception == "TypeError" or (exception in _PROGRAMMING and exception not in edge)


def is_upstream(scene: Scene) -> bool:
    """A peer failed, or sent what cannot be read: the crash lies in code that asks a peer."""
    if scene.exception in UPSTREAM_ERRORS or _of_a_client(scene.occurrence.exception):
        return True
    return scene.exception in UNREADABLE and asks_peer(scene)


def _of_a_client(qualified: str) -> bool:
    """An error class of a client library, which is not about how it was called."""
    module, _, name = qualified.rpartition(".")
    ours = name.startswith(("Invalid", "Missing")) or name.endswith(("URL", "Schema"))
    return module.partition(".")[0] in _CLIENT_ERRORS and ".web" not in module and not ours


def asks_peer(scene: Scene) -> bool:
    """Whether the innermost own code of the failure is a client of something on the network."""
    frames = scene.findings.own_frames
    file = scene.sources.get(frames[-1].file) if frames else None
    if file is None:
        return False
    imported = {
        name
        for node in file.tree.body
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    return any(name == c or name.startswith(f"{c}.") for name in imported for c in _CLIENTS)


UNREADABLE = frozenset({"JSONDecodeError", "ParseError", "UnicodeDecodeError", "BadZipFile"})
_CLIENT_ERRORS = ("requests", "httpx", "urllib3", "aiohttp", "redis")
_CLIENTS = ("requests", "httpx", "urllib.request", "urllib3", "aiohttp", "http.client")


def speaks_of_input(scene: Scene) -> bool:
    """Not of a resource that ran out, and not what the project raises and answers itself."""
    if scene.exception == "KeyError":
        return False
    if scene.exception in ("OSError", "IOError", "BlockingIOError"):
        return False
    own = {error.name for error in scene.conventions.error_classes}
    if scene.exception in own:
        handled = any(
            isinstance(node, ast.ExceptHandler)
            and node.type is not None
            and re.search(rf"\b{scene.exception}\b", file.segment(node.type))
            for file in scene.sources.all()
            for node in ast.walk(file.tree)
        )
        return not handled and not isinstance(scene.statement, ast.Raise)
    return True


def wrapped(handler: str, error: str, name: str = "", rest: str = "") -> str:
    clause = f"except {error} as {name}:" if name else f"except {error}:"
    return f"try:\n    {BODY}\n{clause}\n{indented(handler.rstrip())}\n{rest}"


def too_wide(scene: Scene, anchor: ast.stmt) -> bool:
    """A loop or a whole `with` around the failing line is more than one may catch for."""
    return isinstance(anchor, ast.For | ast.AsyncFor | ast.While | ast.With | ast.If) and (
        (anchor.end_lineno or 0) - anchor.lineno > 6
    )
