"""Exceptions that were told as text or JSON become occurrences, as the probe would tell them.

A traceback names files, lines and the last part of a function's name. The source on disk adds
what fingerprints and fixes need: the qualified name, where the function begins, the columns in
the real line, the module; where the file is not the one that ran, it adds nothing.
"""

from __future__ import annotations

import ast
import builtins
import functools
import itertools
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from selfheal_agent.scrub import scrub_text
from selfheal_engine.model import Frame, Occurrence
from selfheal_engine.project import Project
from selfheal_engine.sources.traceback_format import ParsedFrame, ParsedTraceback

MAX_FRAMES = 120
MAX_CHAIN = 5
MAX_MESSAGE = 1_000
MAX_SOURCE_BYTES = 4_000_000
_IGNORED = frozenset({"KeyboardInterrupt", "SystemExit", "GeneratorExit"})
_FOREIGN = ("-packages", "python3.")
_numbers = itertools.count(1)


def occurrence_of(
    parsed: ParsedTraceback, project: Project, pid: int, caught_by: str, time_s: float | None = None
) -> Occurrence | None:
    """The occurrence of a printed traceback; None for exceptions that end a program on purpose.

    Of a group the members that are no groups go with the chain, as the probe has it.
    """
    if parsed.exception in _IGNORED:
        return None
    time_s = time.time() if time_s is None else time_s
    links = [*parsed.chain, *parsed.members][:MAX_CHAIN]
    chain = tuple(_bare(link, project, pid, 0.0) for link in links)
    whole = _bare(parsed, project, parsed.pid or pid, time_s)
    return replace(
        whole,
        id=f"{caught_by}-{int(time_s * 1000):x}-{next(_numbers)}",
        caught_by=caught_by,
        chain=chain,
        thread=parsed.thread,
        kind="thread_death" if parsed.thread and whole.kind == "exception" else whole.kind,
    )


def frame_of(printed: ParsedFrame, project: Project, module: str = "") -> Frame:
    """A frame with what the file on disk adds."""
    file = printed.file
    if not file.startswith(("/", "<")):
        file = str(project.root / file)
    own = is_own(file, project)
    frame = Frame(
        file=file,
        line=printed.line,
        function=printed.function,
        module=module or ((project.module_of(file) or Path(file).stem) if own else ""),
        source_line=printed.source_line[:400],
        own=own,
    )
    if not own:
        return frame
    source = _source(file, _mtime(file))
    text = source.lines[printed.line - 1] if 0 < printed.line <= len(source.lines) else ""
    if not frame.source_line:
        frame = replace(frame, source_line=text.strip()[:400])
    elif text.strip() != printed.source_line:
        return frame  # the file has changed since: nothing in it is to be trusted
    name, first = source.enclosing(printed.line, printed.function)
    frame = replace(frame, function=name, first_line=first)
    if printed.column is None:
        return frame
    indent = len(text) - len(text.lstrip())
    end = None if printed.end_column is None else printed.end_column + indent
    return replace(
        frame,
        column=printed.column + indent,
        end_column=end,
        end_line=None if end is None else printed.line,
    )


def is_own(file: str, project: Project) -> bool:
    """Whether the file belongs to the project: not the standard library, not installed."""
    if file.startswith("<"):
        return False
    relative = project.relative(file)
    if relative is None:
        return False
    folders = relative.split("/")[:-1]
    return not any(folder.endswith(_FOREIGN[0]) or folder[:8] == _FOREIGN[1] for folder in folders)


def _bare(parsed: ParsedTraceback, project: Project, pid: int, time_s: float) -> Occurrence:
    frames = _bounded([frame_of(frame, project) for frame in parsed.frames])
    return Occurrence(
        id="",
        kind="syntax" if _is_syntax(parsed, frames) else "exception",
        time_s=time_s,
        pid=pid,
        exception=_class_name(parsed.exception),
        message=scrub_text(parsed.message[:MAX_MESSAGE]),
        frames=frames,
    )


def _class_name(printed: str) -> str:
    """As the probe has it: since Python 3.11 classes of the main program print without module."""
    plain = "." not in printed and not hasattr(builtins, printed)
    return f"__main__.{printed}" if plain else printed


def _is_syntax(parsed: ParsedTraceback, frames: Sequence[Frame]) -> bool:
    if parsed.is_syntax:
        return True
    own = [frame for frame in frames if frame.own]
    importing = parsed.exception in ("ImportError", "ModuleNotFoundError")
    return importing and bool(own) and own[-1].function == "<module>"


def _bounded(frames: list[Frame]) -> tuple[Frame, ...]:
    if len(frames) <= MAX_FRAMES:
        return tuple(frames)
    return (*frames[: MAX_FRAMES // 2], *frames[-MAX_FRAMES // 2 :])


class _Source:
    """A file's lines and functions."""

    def __init__(self, lines: tuple[str, ...], functions: list[tuple[int, int, str]]) -> None:
        self.lines = lines
        self._functions = functions

    def enclosing(self, line: int, name: str) -> tuple[str, int]:
        """(qualified name, first line) of the function `name` around a line."""
        around = [f for f in self._functions if f[0] <= line <= f[1]]
        around.sort(key=lambda f: f[0] - f[1])  # the outer ones first
        for first, _, qualified in reversed(around):
            if qualified.rpartition(".")[2] == name:
                return qualified, first
        if name.startswith("<") and name != "<module>" and around:
            return f"{around[-1][2]}.<locals>.{name}", 0
        return name, 1 if name == "<module>" else 0


def _mtime(file: str) -> float:
    try:
        return Path(file).stat().st_mtime
    except OSError:
        return 0.0


@functools.lru_cache(maxsize=64)
def _source(file: str, _changed: float) -> _Source:
    try:
        with Path(file).open("rb") as stream:
            content = stream.read(MAX_SOURCE_BYTES)
    except OSError:
        return _Source((), [])
    lines = tuple(content.decode("utf-8", "replace").splitlines())
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return _Source(lines, [])
    functions: list[tuple[int, int, str]] = []

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = min([child.lineno, *(d.lineno for d in child.decorator_list)])
                functions.append((first, child.end_lineno or first, prefix + child.name))
                visit(child, f"{prefix}{child.name}.<locals>.")
            elif isinstance(child, ast.ClassDef):
                visit(child, f"{prefix}{child.name}.")
            else:
                visit(child, prefix)

    visit(tree, "")
    return _Source(lines, functions)
