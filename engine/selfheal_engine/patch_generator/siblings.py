"""The same slip elsewhere: where a patch's old statements recur, the patch is made there too.

Systematic editing from one example (Meng, Kim and McKinley, "Sydit", PLDI 2011), kept strict:
a place is a sibling only when its statements are the patched ones up to the names of local
variables and the values of constants, so that the edit carries over without a guess. Names of
attributes, functions and modules must be equal, and whatever the new code uses must be known
in the sibling's file.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from selfheal_engine.healer.rebase import take_out, unified
from selfheal_engine.model import Candidate
from selfheal_engine.project import Project, sha256

MOST_PLACES = 20
"""A shape that recurs more often is a way of writing, not a slip."""
MOST_STATEMENTS = 8
CONTEXT = 3
"""Statements before the changed ones that are taken along, until the shape says enough."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
Block = list[ast.stmt]


@dataclass(frozen=True, slots=True)
class Edit:
    """What the patch does to one block: `old` gives way to `new`."""

    old: Block
    new: Block
    old_locals: frozenset[str]
    new_text: str
    """The whole new file."""
    ambiguous: frozenset[str] = frozenset()
    """Constants that the new code uses more often than the old: which use is which is a guess."""


@dataclass(frozen=True, slots=True)
class Place:
    """A sibling: lines `first` to `last` of a file, 1-based, and what each hole holds there."""

    first: int
    last: int
    indent: str
    function: str
    holes: dict[str, str]


def siblings(candidate: Candidate, project: Project) -> Candidate | None:
    """The candidate with the same edit at every sibling; None where there is none."""
    found = _edit_of(candidate)
    if found is None:
        return None
    patched = dict(candidate.files)
    files, hashes = dict(patched), dict(candidate.original_hashes)
    functions: list[str] = list(candidate.functions)
    diffs, count = [candidate.diff.rstrip("\n") + "\n"], 0
    for path in project.python_files():
        if _is_test(path):
            continue
        try:
            original = project.read(path)
            before = patched.get(path, original)
            text = before.decode("utf-8")
            tree = ast.parse(text)
        except (OSError, ValueError, SyntaxError):
            continue
        done = range(found.new[0].lineno, (found.new[-1].end_lineno or 0) + 1)
        places = [
            place
            for place in _places(tree, text, found)
            if path not in patched or place.first not in done
        ]
        if not places:
            continue
        after = _rewritten(text, places, found)
        if after is None:
            continue
        count += len(places)
        functions += [place.function for place in places]
        files[path] = after.encode("utf-8")
        hashes[path] = sha256(original)
        if path in patched:
            diffs[0] = "".join(unified(name, *_pair(project, name, files)) for name in patched)
        else:
            diffs.append(unified(path, original, files[path]))
    if not 0 < count <= MOST_PLACES:
        return None
    more = "1 more place" if count == 1 else f"{count} more places"
    diff = "".join(diffs)
    return replace(
        candidate,
        id=hashlib.sha256(diff.encode("utf-8", "surrogateescape")).hexdigest()[:12],
        title=f"{candidate.title}; the same slip is in {more}",
        diff=diff,
        files=tuple(files.items()),
        original_hashes=tuple(hashes.items()),
        functions=tuple(dict.fromkeys(functions)),
        explanation=f"{candidate.explanation} The same statements stand in {more}: "
        "the same edit is made there, with the names used there.".strip(),
        origin="siblings",
    )


# ---------------------------------------------------------------- the edit
def _edit_of(candidate: Candidate) -> Edit | None:
    """The one block that the patch changes; None when it changes more, or something else."""
    if len(candidate.files) != 1:
        return None
    path, new = candidate.files[0]
    base = take_out(candidate.diff, path, new)
    if base is None:
        return None
    try:
        old_tree, new_text = ast.parse(base), new.decode("utf-8")
        new_tree = ast.parse(new_text)
    except (ValueError, SyntaxError):
        return None
    pairs = [
        (old, new_function)
        for old, new_function in zip(_functions(old_tree), _functions(new_tree), strict=False)
        if old[0] == new_function[0] and ast.dump(old[1]) != ast.dump(new_function[1])
    ]
    if len(pairs) != 1:
        return None
    (_, old_function), (_, changed) = pairs[0]
    locals_ = _locals(old_function)
    blocks = _narrow(old_function.body, changed.body, locals_)
    if blocks is None or len(blocks[0]) > MOST_STATEMENTS:
        return None
    if any(isinstance(node, ast.JoinedStr) for node in _nodes(blocks[1])):
        return None  # before 3.12 the parser does not say where its names stand
    counts = [Counter(filter(None, map(_constant, _nodes(block)))) for block in blocks]
    ambiguous = frozenset(name for name, count in counts[1].items() if count > counts[0][name])
    return Edit(blocks[0], blocks[1], locals_, new_text, ambiguous)


def _narrow(old: Block, new: Block, locals_: frozenset[str]) -> tuple[Block, Block] | None:
    """The innermost blocks that differ, with as many statements around as make them special."""
    head = 0
    while head < min(len(old), len(new)) and _same(old[head], new[head]):
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and _same(old[-1 - tail], new[-1 - tail]):
        tail += 1
    mine, theirs = old[head : len(old) - tail], new[head : len(new) - tail]
    if len(mine) == len(theirs) == 1 and type(mine[0]) is type(theirs[0]):
        inner = _inner(mine[0], theirs[0], locals_)
        if inner is not None:
            return inner
    if not mine:
        if not tail:
            return None
        mine, theirs = old[head : head + 1], new[head : len(new) - tail + 1]
    if not theirs:
        return None
    for taken in range(min(head, CONTEXT) + 1):
        around = old[head - taken : head] + mine
        if _special(around, locals_):
            return around, new[head - taken : head] + theirs
    return None


def _special(statements: Block, locals_: frozenset[str]) -> bool:
    """Whether the statements name something of the project, or at least two builtins."""
    own, builtin = 0, 0
    for node in _nodes(statements):
        if isinstance(node, ast.Attribute):
            own += 1
        elif isinstance(node, ast.Name) and node.id not in locals_:
            builtin += hasattr(builtins, node.id)
            own += not hasattr(builtins, node.id)
    return own > 0 or builtin > 1


def _inner(old: ast.stmt, new: ast.stmt, locals_: frozenset[str]) -> tuple[Block, Block] | None:
    """The one nested block in which two compound statements differ, None when more differs."""
    differing = []
    for name, value in ast.iter_fields(old):
        other = getattr(new, name)
        block = isinstance(value, list) and bool(value) and isinstance(value[0], ast.stmt)
        if block and [*map(ast.dump, value)] != [*map(ast.dump, other)]:
            differing.append((value, other))
        elif not block and _dumped(value) != _dumped(other):
            return None
    return _narrow(*differing[0], locals_) if len(differing) == 1 else None


def _dumped(value: object) -> object:
    if isinstance(value, ast.AST):
        return ast.dump(value)
    if isinstance(value, list):
        return [_dumped(item) for item in value]
    return value


def _same(one: ast.AST, other: ast.AST) -> bool:
    return ast.dump(one) == ast.dump(other)


# ---------------------------------------------------------------- where it recurs
def _places(tree: ast.Module, text: str, edit: Edit) -> Iterator[Place]:
    """Siblings in one file. What is patched already no longer looks like the old statements,
    unless the edit leaves them standing: then the new ones before them tell.
    """
    known = _module_names(tree)
    wanted = _shape(edit.old, edit.old_locals)
    needed = _globals_of(edit.new, edit.old_locals) - _bound(edit.new)
    if not needed <= known:
        return
    lines = text.splitlines()
    length = len(edit.old)
    for name, function in _functions(tree):
        locals_ = _locals(function)
        patched = _shape(edit.new, edit.old_locals)[0]
        for block in _blocks(function):
            for start in range(len(block) - length + 1):
                window = block[start : start + length]
                shape, holes = _shape(window, locals_)
                if shape != wanted[0] or not _whole_lines(window, lines):
                    continue
                if _stands_already(block, start, edit, patched, locals_):
                    continue
                written = _written(window, lines)
                mapping = {
                    held: written.get(here, here)
                    for held, here in zip(wanted[1], holes, strict=True)
                }
                fresh = _bound(edit.new) - set(edit.old_locals)
                if any(here != held and held in edit.ambiguous for held, here in mapping.items()):
                    continue
                if fresh & (locals_ | known) or len(mapping) != len(set(wanted[1])):
                    continue
                first, last = window[0].lineno, window[-1].end_lineno or window[-1].lineno
                line = lines[first - 1]
                indent = line[: len(line) - len(line.lstrip())]
                yield Place(first, last, indent, name, mapping)


def _stands_already(
    block: Block, start: int, edit: Edit, patched: list[str], locals_: frozenset[str]
) -> bool:
    """Whether the new statements are here: then this is the patch itself, or an old fix."""
    grown = len(edit.new) - len(edit.old)
    for begin in range(max(0, start - max(grown, 0)), start + 1):
        window = block[begin : begin + len(edit.new)]
        if len(window) == len(edit.new) and _shape(window, locals_)[0] == patched:
            return True
    return False


def _shape(statements: Block, locals_: frozenset[str]) -> tuple[list[str], list[str]]:
    """The statements with holes for local names and constants, and what fills each hole.

    A hole's first use is named by its number, so that `a + a` and `a + b` differ.
    """
    parts: list[str] = []
    holes: list[str] = []

    def hole(content: str) -> str:
        if content not in holes:
            holes.append(content)
        return f"?{holes.index(content)}"

    def visit(node: object) -> None:
        if isinstance(node, ast.Name) and node.id in locals_:
            parts.append(hole(node.id))
        elif isinstance(node, ast.Constant) and type(node.value) in (str, int, float):
            parts.append(type(node.value).__name__ + hole(repr(node.value)))
        elif isinstance(node, ast.AST):
            parts.append(type(node).__name__)
            for _, value in ast.iter_fields(node):
                visit(value)
        elif isinstance(node, list):
            parts.append(f"[{len(node)}")
            for item in node:
                visit(item)
        else:
            parts.append(repr(node))

    for statement in statements:
        visit(statement)
    return parts, holes


# ---------------------------------------------------------------- writing
def _rewritten(text: str, places: list[Place], edit: Edit) -> str | None:
    """The file with the edit at every place; None when it would not compile."""
    lines = text.splitlines(keepends=True)
    ending = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    for place in sorted(places, key=lambda place: place.first, reverse=True):
        new = _filled(edit, place)
        if new is None:
            return None
        lines[place.first - 1 : place.last] = [new.replace("\n", ending) + ending]
    after = "".join(lines)
    try:
        ast.parse(after)
    except (SyntaxError, ValueError):
        return None
    return after


def _filled(edit: Edit, place: Place) -> str | None:
    """The new statements in the names of the place, at its indentation."""
    lines = edit.new_text.splitlines()
    first = edit.new[0].lineno
    last = edit.new[-1].end_lineno or edit.new[-1].lineno
    block = lines[first - 1 : last]
    replaced: list[tuple[int, int, int, str]] = []
    for node in _nodes(edit.new):
        held = _held(node)
        if held is None or held not in place.holes or not isinstance(node, ast.expr):
            continue
        if node.end_lineno != node.lineno or node.end_col_offset is None:
            return None
        replaced.append(
            (node.lineno - first, node.col_offset, node.end_col_offset, place.holes[held])
        )
    for row, start, end, content in sorted(set(replaced), reverse=True):
        raw = block[row].encode("utf-8")
        block[row] = (raw[:start] + content.encode("utf-8") + raw[end:]).decode("utf-8")
    return textwrap.indent(textwrap.dedent("\n".join(block)), place.indent)


def _written(window: Block, lines: list[str]) -> dict[str, str]:
    """How each constant of the window is written there: with which quotes, in which base."""
    found: dict[str, str] = {}
    for node in _nodes(window):
        if isinstance(node, ast.Constant) and node.lineno == node.end_lineno:
            raw = lines[node.lineno - 1].encode("utf-8")[node.col_offset : node.end_col_offset]
            found.setdefault(repr(node.value), raw.decode("utf-8"))
    return found


def _held(node: ast.AST) -> str | None:
    return node.id if isinstance(node, ast.Name) else _constant(node)


def _nodes(statements: Block) -> Iterator[ast.AST]:
    for statement in statements:
        yield from ast.walk(statement)


def _constant(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant) and type(node.value) in (str, int, float):
        return repr(node.value)
    return None


# ---------------------------------------------------------------- names
def _functions(tree: ast.Module) -> list[tuple[str, Function]]:
    """(qualified name, function) of every function, in the order of the file."""
    found: list[tuple[str, Function]] = []

    def visit(node: ast.AST, outer: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function):
                found.append((outer + child.name, child))
                visit(child, f"{outer}{child.name}.<locals>.")
            elif isinstance(child, ast.ClassDef):
                visit(child, f"{outer}{child.name}.")
            else:
                visit(child, outer)

    visit(tree, "")
    return found


def _blocks(function: Function) -> Iterator[Block]:
    """Every list of statements of the function, without those of functions inside it."""
    pending: list[ast.AST] = [function]
    while pending:
        node = pending.pop()
        for _, value in ast.iter_fields(node):
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                yield value
            for child in value if isinstance(value, list) else [value]:
                nested = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
                if isinstance(child, ast.AST) and not nested:
                    pending.append(child)


def _locals(function: Function) -> frozenset[str]:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [argument for argument in (arguments.vararg, arguments.kwarg) if argument]
    return frozenset({argument.arg for argument in every} | _bound(function.body))


def _bound(statements: Block) -> frozenset[str]:
    names = set()
    for node in _nodes(statements):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
    return frozenset(names)


def _globals_of(statements: Block, locals_: frozenset[str]) -> set[str]:
    used = {
        node.id
        for statement in statements
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    return {name for name in used if name not in locals_}


def _module_names(tree: ast.Module) -> frozenset[str]:
    """Names that the module's own code binds, and the builtins."""
    names = set(dir(builtins)) | {"__name__", "__file__"}
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
            continue
        for inner in ast.walk(node):
            if isinstance(inner, (ast.Import, ast.ImportFrom)):
                names |= {(a.asname or a.name).partition(".")[0] for a in inner.names}
            elif isinstance(inner, ast.Name) and not isinstance(inner.ctx, ast.Load):
                names.add(inner.id)
    return frozenset(names)


def _whole_lines(window: Block, lines: list[str]) -> bool:
    """No other statement shares the window's lines."""
    first, last = window[0], window[-1]
    before = lines[first.lineno - 1].encode("utf-8")[: first.col_offset]
    after = lines[(last.end_lineno or 1) - 1].encode("utf-8")[last.end_col_offset :]
    return not before.strip() and not after.split(b"#")[0].strip()


def _pair(project: Project, path: str, files: dict[str, bytes]) -> tuple[bytes, bytes]:
    return project.read(path), files[path]


def _is_test(path: str) -> bool:
    parts = path.split("/")
    return "tests" in parts or "test" in parts or parts[-1].startswith(("test_", "conftest"))
