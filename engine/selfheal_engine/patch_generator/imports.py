"""Where a file would put an import: into its blocks, in its order.

A name is added to a `from` import of the same module; otherwise the line goes to the block of
its kind (standard library, installed, the project's own), in alphabetical order if the block
keeps it. A file without imports gets it below docstring and `__future__`.
"""

from __future__ import annotations

import ast
import io
import re
import sys

Import = ast.Import | ast.ImportFrom


def place_import(text: str, code: str) -> str:
    """`text` (line ends `\\n`) with the import; unchanged where it has it."""
    wanted = ast.parse(code).body[0]
    if not isinstance(wanted, Import):
        raise ValueError(f"{code!r} is no import")
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return text
    top = [node for node in tree.body if isinstance(node, Import)]
    if any(_covers(node, wanted) for node in top):
        return text
    if isinstance(wanted, ast.ImportFrom):
        for node in top:
            if not isinstance(node, ast.ImportFrom) or node.module == "__future__":
                continue
            if _source(node) == _source(wanted):
                return _extended(text, node, wanted)
    return _inserted(text, tree, top, code.strip(), wanted)


def _covers(node: Import, wanted: Import) -> bool:
    if type(node) is not type(wanted):
        return False
    if isinstance(node, ast.ImportFrom) and _source(node) != _source(wanted):
        return False
    have = {(alias.name, alias.asname) for alias in node.names}
    return all((alias.name, alias.asname) in have for alias in wanted.names)


def _source(node: Import) -> tuple[str | None, int]:
    return (node.module, node.level) if isinstance(node, ast.ImportFrom) else (None, 0)


def _extended(text: str, node: ast.ImportFrom, wanted: ast.ImportFrom) -> str:
    lines = io.StringIO(text).readlines()
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    old = "".join(lines[first : last + 1])
    new = wanted.names[0]
    name = new.name + (f" as {new.asname}" if new.asname else "")
    names = [alias.name for alias in node.names]
    if names == ["*"]:
        return text
    # before the first greater name where the names are sorted, else at the end
    order = _by_type if names == sorted(names, key=_by_type) else _by_letter
    later = [a for a in node.names if order(a.name) > order(new.name)]
    in_order = names == sorted(names, key=order)
    anchor = later[0] if in_order and later else None
    pattern = re.escape(anchor.name if anchor else node.names[-1].name)
    alias = (anchor or node.names[-1]).asname
    if alias:
        pattern += rf"\s+as\s+{re.escape(alias)}"
    matches = list(re.finditer(rf"(?<![\w.]){pattern}(?!\w)", old[old.index("import") :]))
    if not matches:
        return text
    offset = old.index("import")
    match = matches[-1]
    multi_line = last > first
    glue = ", "
    if multi_line:
        column = old[: offset + match.start()].rpartition("\n")[2]
        glue = ",\n" + column if not column.strip() else ", "
    if anchor:
        at = offset + match.start()
        grown = old[:at] + name + glue + old[at:]
    else:
        at = offset + match.end()
        grown = old[:at] + glue + name + old[at:]
    return "".join([*lines[:first], grown, *lines[last + 1 :]])


def _by_type(name: str) -> tuple[int, str]:
    """isort's order of names: CONSTANTS, Classes, functions."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2), name.lower()


def _by_letter(name: str) -> tuple[int, str]:
    return 0, name.lower()


def _inserted(text: str, tree: ast.Module, top: list[Import], line: str, wanted: Import) -> str:
    lines = io.StringIO(text).readlines()
    kind = _kind(wanted, top)
    leading = _leading_block(tree)
    same = [node for node in leading if _kind(node, top) == kind]
    if same:
        in_order = [_key(n) for n in same] == sorted(_key(n) for n in same)
        before = [n for n in same if _key(n) < _key(wanted)] if in_order else same
        at = (before[-1].end_lineno or 0) if before else same[0].lineno - 1
        return _put(lines, at, [line + "\n"])
    earlier = [n for n in leading if _kind(n, top) < kind]
    later = [n for n in leading if _kind(n, top) > kind]
    if earlier:
        return _put(lines, earlier[-1].end_lineno or 0, ["\n", line + "\n"])
    if later:
        return _put(lines, later[0].lineno - 1, [line + "\n", "\n"])
    at = _after_docstring(tree, lines)
    before_gap = (
        ["\n"] if at and lines[at - 1].strip() and not lines[at - 1].startswith("#") else []
    )
    rest = "".join(lines[at:])
    after_gap = ["\n"] if rest.strip() and not rest.startswith("\n") else []
    if re.match(r"(@|def |class |async def )", rest):
        after_gap = ["\n", "\n"]
    return _put(lines, at, [*before_gap, line + "\n", *after_gap])


def _put(lines: list[str], at: int, new: list[str]) -> str:
    if at and at <= len(lines) and lines[at - 1] and not lines[at - 1].endswith("\n"):
        lines[at - 1] += "\n"
    return "".join([*lines[:at], *new, *lines[at:]])


def _leading_block(tree: ast.Module) -> list[Import]:
    """The imports at the top of the file: those before any other code."""
    found: list[Import] = []
    for node in tree.body:
        if isinstance(node, Import):
            found.append(node)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and not found:
            continue
        elif found:
            # a constant or a guarded import between the imports does not end them
            if not isinstance(node, ast.Assign | ast.If | ast.Try | ast.Expr):
                break
        elif not isinstance(node, ast.Assign | ast.If | ast.Try):
            break
    return found


def _kind(node: Import, top: list[Import]) -> int:
    """0 __future__, 1 standard library, 2 installed, 3 own (relative or beside relative ones)."""
    if isinstance(node, ast.ImportFrom) and node.level:
        return 3
    module = (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name) or ""
    root = module.split(".")[0]
    if root == "__future__":
        return 0
    return 1 if root in sys.stdlib_module_names else 2


def _key(node: Import) -> tuple[bool, str]:
    """isort's default order: plain imports first, then by module."""
    if isinstance(node, ast.ImportFrom):
        return True, (node.module or "").lower()
    return False, node.names[0].name.lower()


def _after_docstring(tree: ast.Module, lines: list[str]) -> int:
    at = 0
    for number, line in enumerate(lines):
        if not line.startswith("#"):
            break
        at = number + 1
    first = tree.body[0] if tree.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        at = max(at, first.end_lineno or 0)
    return at
