"""What is opened where, and whether it leaves its function."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from selfheal_agent.recent import OUT_OF_ROOM
from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.diagnosis.source_file import Function, SourceFile
from selfheal_engine.patch_generator.conventions import is_test
from selfheal_engine.patch_generator.rules import Scene

STRATEGY = "resource_cleanup"


KINDS = frozenset({"resource", "exception", "thread_death", "log"})


@dataclass(frozen=True)
class Opening:
    """An assignment that opens something, with the statements of its block that follow."""

    file: SourceFile
    function: Function
    statement: ast.Assign
    call: ast.Call
    name: str
    rest: tuple[ast.stmt, ...]

    @property
    def opener(self) -> str:
        return called_name(self.call)


def openings(file: SourceFile) -> Iterator[Opening]:
    """Every `name = opener(...)` of a file's functions whose value does not leave the function."""
    for node in ast.walk(file.tree):
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            continue
        value = node.value.value if isinstance(node.value, ast.Await) else node.value
        function = file.function_of(node)
        if not isinstance(value, ast.Call) or function is None:
            continue
        block = file.block_of(node)
        rest = tuple(block[block.index(node) + 1 :])
        yield Opening(file, function, node, value, node.targets[0].id, rest)


def leaves(opening: Opening) -> bool:
    """Returned, stored or handed over: somebody else closes it."""
    for node in ast.walk(opening.function):
        if isinstance(node, ast.Return | ast.Yield) and is_name(node.value, opening.name):
            return True
        stored = isinstance(node, ast.Assign) and not isinstance(node.targets[0], ast.Name)
        if stored and isinstance(node, ast.Assign) and is_name(node.value, opening.name):
            return True
        value = node.value if isinstance(node, ast.Return) else None
        if isinstance(value, ast.Tuple) and any(is_name(e, opening.name) for e in value.elts):
            return True
    return False


def is_name(node: ast.AST | None, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def used_in(statements: tuple[ast.stmt, ...], name: str) -> int:
    """How many of the statements, from the first, reach to the last that uses the name."""
    last = 0
    for number, statement in enumerate(statements, 1):
        if any(is_name(n, name) for n in ast.walk(statement)):
            last = number
    return last


def leak_like(scene: Scene) -> bool:
    """Whether the occurrence is of a resource that ran out or was never closed."""
    if scene.occurrence.kind == "resource":
        return True
    text = f"{scene.exception} {scene.message}".lower()
    words = (
        "too many open",
        "unclosed",
        "pool",
        "locked",
        "can't start new thread",
        "too many",
        "exhausted",
        "resourcewarning",
        "no free",
        "no space left",
        "quota",
        "queue.empty",
        "empty",
    )
    return scene.exception in OUT_OF_ROOM or any(word in text for word in words)


def project_files(scene: Scene) -> list[SourceFile]:
    """The scene's file, then those on the traceback, then the rest of the project."""
    found = [scene.file]
    found += [f for f in map(scene.sources.get, (x.file for x in scene.findings.own_frames)) if f]
    found += [f for f in scene.sources.all() if not is_test(f.path)]
    return list({file.path: file for file in found}.values())


def nearness(scene: Scene, opening: Opening) -> float:
    """1 on the failing line, less in the function, the traceback, the file, elsewhere."""
    if opening.function is scene.function:
        return 1.0
    names = {f.function for f in scene.findings.own_frames}
    if opening.file.qualified_name(opening.function) in names:
        return 0.9
    return 0.75 if opening.file is scene.file else 0.6


def dedented(
    file: SourceFile, statements: tuple[ast.stmt, ...], without: set[int] | None = None
) -> str:
    """The statements' own lines moved to the left margin, comments between them included."""
    first, last = statements[0], statements[-1]
    numbers = range(first.lineno, (last.end_lineno or first.lineno) + 1)
    lines = [file.lines[n - 1] for n in numbers if n not in (without or ())]
    margin = first.col_offset
    return "".join(line[margin:] if line.strip() else "\n" for line in lines)
