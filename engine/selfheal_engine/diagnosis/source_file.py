"""One source file as diagnosis and repair read it: text, syntax tree, who encloses whom.

Positions are (line from 1, column from 0) in characters of the text with `\\n` line ends; the
tree's byte columns are converted once, so that every span can be used on the text as it is.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

from selfheal_engine.errors import SelfhealError
from selfheal_engine.project import Project, sha256

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Scope: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Span:
    """A piece of text: lines from 1, columns from 0 in characters, the end exclusive."""

    line: int
    column: int
    end_line: int
    end_column: int


def span_of(node: ast.AST) -> Span:
    """Where an expression or statement stands (a decorated function: without decorators)."""
    return Span(
        getattr(node, "lineno", 0),
        getattr(node, "col_offset", 0),
        getattr(node, "end_lineno", 0) or 0,
        getattr(node, "end_col_offset", 0) or 0,
    )


@dataclass(eq=False)
class SourceFile:
    """A file's content and everything derived from it; derived parts are made on first use."""

    path: str
    """Relative to the project."""
    content: bytes
    _parents: dict[ast.AST, ast.AST] = field(default_factory=dict, repr=False)

    @cached_property
    def encoding(self) -> str:
        """Raises SelfhealError where the file cannot be decoded as it says."""
        try:
            name, _ = tokenize.detect_encoding(io.BytesIO(self.content).readline)
        except SyntaxError as why:
            raise SelfhealError(
                f"{self.path} cannot be decoded ({why}): fix its coding line first"
            ) from None
        return "utf-8" if name == "utf-8-sig" else name

    @cached_property
    def raw_text(self) -> str:
        """The decoded text without BOM, line ends as in the file."""
        content = self.content.removeprefix(BOM)
        try:
            return content.decode(self.encoding)
        except UnicodeDecodeError as why:
            raise SelfhealError(
                f"{self.path} is not valid {self.encoding} at byte {why.start}: "
                "give it the right coding line first"
            ) from None

    @cached_property
    def text(self) -> str:
        """The text with every line end as `\\n`, as Python itself reads it."""
        return self.raw_text.replace("\r\n", "\n").replace("\r", "\n")

    @cached_property
    def lines(self) -> list[str]:
        """Lines with their `\\n`."""
        return io.StringIO(self.text).readlines()

    @cached_property
    def hash(self) -> str:
        return sha256(self.content)

    @cached_property
    def _parsed(self) -> ast.Module | SyntaxError:
        try:
            tree = ast.parse(self.text)
        except SyntaxError as why:
            return why
        except (ValueError, RecursionError) as why:  # null bytes; nested beyond reason
            return SyntaxError(str(why))
        self._use_characters(tree)
        for parent in ast.walk(tree):
            for child in ast.iter_child_nodes(parent):
                self._parents[child] = parent
        return tree

    @property
    def tree(self) -> ast.Module:
        """The syntax tree; an empty module where the file does not parse."""
        return self._parsed if isinstance(self._parsed, ast.Module) else _EMPTY

    @property
    def syntax_error(self) -> SyntaxError | None:
        return self._parsed if isinstance(self._parsed, SyntaxError) else None

    def _use_characters(self, tree: ast.Module) -> None:
        """Turn byte columns into character columns on lines that are not ASCII."""
        wide = {
            number: line.encode() for number, line in enumerate(self.lines, 1) if not line.isascii()
        }
        if not wide:
            return
        for node in ast.walk(tree):
            for line_name, column_name in (
                ("lineno", "col_offset"),
                ("end_lineno", "end_col_offset"),
            ):
                line = wide.get(getattr(node, line_name, None) or 0)
                if line is not None:
                    column = getattr(node, column_name)
                    setattr(node, column_name, len(line[:column].decode(errors="replace")))

    # ------------------------------------------------------------ text
    def segment(self, node: ast.AST) -> str:
        """The source text of a node, as written."""
        return self.slice(span_of(node))

    def slice(self, span: Span) -> str:
        if span.line == span.end_line:
            return self.lines[span.line - 1][span.column : span.end_column]
        first = self.lines[span.line - 1][span.column :]
        last = self.lines[span.end_line - 1][: span.end_column]
        return "".join([first, *self.lines[span.line : span.end_line - 1], last])

    def line(self, number: int) -> str:
        return self.lines[number - 1].strip() if 0 < number <= len(self.lines) else ""

    # ------------------------------------------------------------ structure
    def parent(self, node: ast.AST) -> ast.AST | None:
        _ = self._parsed
        return self._parents.get(node)

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """From the parent outwards."""
        current = self.parent(node)
        while current is not None:
            yield current
            current = self.parent(current)

    def function_of(self, node: ast.AST) -> Function | None:
        """The function whose body holds the node; for a function itself, the one around it."""
        for outer in self.ancestors(node):
            if isinstance(outer, Function):
                return outer
        return None

    def class_of(self, node: ast.AST) -> ast.ClassDef | None:
        """The class whose method holds the node."""
        for outer in self.ancestors(node):
            if isinstance(outer, ast.ClassDef):
                return outer
        return None

    def statement_of(self, node: ast.AST) -> ast.stmt | None:
        """The innermost statement that holds the node, or the node when it is one."""
        if isinstance(node, ast.stmt):
            return node
        return next((n for n in self.ancestors(node) if isinstance(n, ast.stmt)), None)

    def block_of(self, statement: ast.stmt) -> list[ast.stmt]:
        """The list of statements in which the statement stands."""
        parent = self.parent(statement)
        for name in ("body", "orelse", "finalbody"):
            block = getattr(parent, name, None)
            if isinstance(block, list) and statement in block:
                return block
        return [statement]

    def qualified_name(self, node: ast.AST) -> str:
        """`Cart.total`, `make.<locals>.inner`, as the interpreter's `__qualname__`."""
        names = [getattr(node, "name", "")]
        for outer in self.ancestors(node):
            if isinstance(outer, Function):
                names += ["<locals>", outer.name]
            elif isinstance(outer, ast.ClassDef):
                names.append(outer.name)
        return ".".join(reversed(names))

    @cached_property
    def functions(self) -> dict[str, Function]:
        """Every function by qualified name; of redefinitions the last."""
        return {
            self.qualified_name(node): node
            for node in ast.walk(self.tree)
            if isinstance(node, Function)
        }

    @cached_property
    def classes(self) -> dict[str, ast.ClassDef]:
        return {
            self.qualified_name(node): node
            for node in ast.walk(self.tree)
            if isinstance(node, ast.ClassDef)
        }

    def function_at(self, line: int) -> Function | None:
        """The innermost function whose text (decorators included) covers the line."""
        found: Function | None = None
        for node in self.functions.values():
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            inside = first <= line <= (node.end_lineno or 0)
            if inside and (found is None or node.lineno >= found.lineno):
                found = node
        return found

    def statement_at(self, line: int) -> ast.stmt | None:
        """The innermost statement on the line; for a compound one, its header counts."""
        found: ast.stmt | None = None
        for node in ast.walk(self.tree):
            if not isinstance(node, ast.stmt) or not node.lineno <= line <= (node.end_lineno or 0):
                continue
            if found is None or (node.lineno, -(node.end_lineno or 0)) >= (
                found.lineno,
                -(found.end_lineno or 0),
            ):
                found = node
        return found

    @cached_property
    def indent(self) -> str:
        """One level of indentation as the file has it."""
        for node in ast.walk(self.tree):
            if isinstance(node, (Function, ast.ClassDef, ast.If, ast.For, ast.With)):
                inner, outer = self.lines[node.body[0].lineno - 1], self.lines[node.lineno - 1]
                if node.body[0].lineno > node.lineno:
                    deep = inner[: len(inner) - len(inner.lstrip())]
                    shallow = outer[: len(outer) - len(outer.lstrip())]
                    if deep.startswith(shallow) and deep != shallow:
                        return deep[len(shallow) :]
        return "    "


_EMPTY = ast.Module(body=[], type_ignores=[])


class Sources:
    """The project's files, each read and parsed at most once."""

    def __init__(self, project: Project, overlay: dict[str, bytes] | None = None) -> None:
        self.project = project
        self._files: dict[str, SourceFile | None] = {
            path: SourceFile(path, content) for path, content in (overlay or {}).items()
        }
        self._paths: list[str] | None = None

    def get(self, path: str) -> SourceFile | None:
        """The file by absolute or relative path; None outside the project or unreadable."""
        relative = path if path in self._files else self.project.relative(path)
        if relative is None:
            return None
        if relative not in self._files:
            self._files[relative] = self._load(relative)
        return self._files[relative]

    def _load(self, relative: str) -> SourceFile | None:
        try:
            file = SourceFile(relative, self.project.read(relative))
            _ = file.text
        except (OSError, SelfhealError):
            return None
        return file

    def paths(self) -> list[str]:
        if self._paths is None:
            self._paths = self.project.python_files()
        return self._paths

    def all(self, limit: int = 400) -> Iterator[SourceFile]:
        """Every readable file of the project, at most `limit`: a bound on time, not on truth."""
        for path in self.paths()[:limit]:
            file = self.get(path)
            if file is not None:
                yield file

    def classes_named(self, name: str) -> Iterator[tuple[SourceFile, ast.ClassDef]]:
        """The project's classes of this name, nested ones too, with their files."""
        for file in self.all():
            for qualified, owner in file.classes.items():
                if qualified.rpartition(".")[2] == name:
                    yield file, owner

    def module(self, dotted: str) -> SourceFile | None:
        """The file that defines a module of the project."""
        tail = dotted.replace(".", "/")
        for path in (f"{tail}.py", f"{tail}/__init__.py"):
            for known in self.paths():
                if known == path or known.endswith("/" + path):
                    return self.get(known)
        return None
