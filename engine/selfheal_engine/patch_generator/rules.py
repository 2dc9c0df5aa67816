"""What a template is: a rule that looks at a scene and drafts edits, with its own examples.

A scene holds all that a rule may look at; a draft is a patch before it is written. Rules are
classes in `strategies/`, so that each carries its docstring and its examples beside its code.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

from selfheal_engine.diagnosis.captured import evaluate, scope_of
from selfheal_engine.diagnosis.diagnosing import Findings
from selfheal_engine.diagnosis.failure import Failure
from selfheal_engine.diagnosis.origin import Step
from selfheal_engine.diagnosis.source_file import (
    Function,
    SourceFile,
    Sources,
    Span,
    span_of,
)
from selfheal_engine.model import Frame, Occurrence, Risk, Value
from selfheal_engine.patch_generator.conventions import Conventions
from selfheal_engine.patch_generator.edits import Edit

_F_STRING = re.compile(r"[fF][rR]?[\"']")


@dataclass(frozen=True)
class Draft:
    """A patch as a rule proposes it, not yet written."""

    edits: tuple[tuple[str, Edit], ...]
    """(file relative to the project, edit)."""
    title: str
    weight: float = 1.0
    """How well the rule thinks it fits here, relative to its prior; about 0-2."""
    explanation: str = ""
    risk: Risk = "low"
    line: int = 0
    """Where the main edit is, for the location's share of the ranking."""


@dataclass(frozen=True)
class Scene:
    """One failure of the project, as rules see it."""

    occurrence: Occurrence
    findings: Findings
    sources: Sources
    failure: Failure
    conventions: Conventions
    depth: int = 0
    """0 at the crash, 1 in its caller, ..."""
    placeless: bool = False
    """Nothing of the project was on the stack: the failure's place is a stand-in."""

    @property
    def file(self) -> SourceFile:
        return self.failure.file

    @property
    def frame(self) -> Frame:
        return self.failure.frame

    @property
    def function(self) -> Function | None:
        return self.failure.function

    @property
    def statement(self) -> ast.stmt:
        return self.failure.statement

    @property
    def node(self) -> ast.AST:
        return self.failure.node

    @property
    def exception(self) -> str:
        """The exception's name without its module."""
        return self.occurrence.exception.rpartition(".")[2]

    @property
    def message(self) -> str:
        return self.occurrence.message

    @property
    def origin(self) -> tuple[Step, ...]:
        return self.findings.origin if self.depth == 0 else ()

    @cached_property
    def scope(self) -> dict[str, Value]:
        return scope_of(self.frame)

    def value(self, node: ast.AST) -> Value | None:
        return evaluate(node, self.scope)

    def text(self, node: ast.AST) -> str:
        return self.file.segment(node)

    def draft(
        self,
        *edits: Edit,
        title: str,
        weight: float = 1.0,
        explanation: str = "",
        risk: Risk = "low",
        file: SourceFile | None = None,
    ) -> Draft:
        """A draft of edits in one file, the scene's own unless another is given."""
        changed = file or self.file
        located = [e.span.line for e in edits if e.span.line]
        line = located[0] if located else 0
        fitting = tuple((changed.path, _with_other_quotes(changed, e)) for e in edits)
        return Draft(fitting, title, weight, explanation, risk, line)


def _with_other_quotes(file: SourceFile, edit: Edit) -> Edit:
    """Inside an f-string, which before Python 3.12 must not hold its own quotes."""
    if edit.kind not in ("expression", "argument") or not _F_STRING.search(
        file.line(edit.span.line)
    ):
        return edit
    for node in ast.walk(file.tree):
        if not isinstance(node, ast.JoinedStr) or not _is_within(edit.span, span_of(node)):
            continue
        quote = file.segment(node).lstrip("fFrR")[:1]
        other = "'" if quote == '"' else '"'
        if quote in edit.code:
            return replace(edit, code=edit.code.replace(quote, other))
    return edit


def _is_within(inner: Span, outer: Span) -> bool:
    start, end = (outer.line, outer.column), (outer.end_line, outer.end_column)
    return (
        inner != outer
        and start <= (inner.line, inner.column)
        and (inner.end_line, inner.end_column) <= end
    )


@dataclass(frozen=True)
class Example:
    """A rule's proof: `before` fails when run, `after` is among what the rule makes of it.

    `before` is a module; it is run, then `call` is evaluated and must raise (for kinds that
    raise nothing, the line marked `# <- here` is reported). `after` is empty where the rule
    must not fire.
    """

    before: str
    after: str = ""
    call: str = "f()"
    kind: str = "exception"
    others: tuple[tuple[str, str], ...] = ()
    """Further files (path, text) of the example's project."""
    exception: str = ""
    """Exception of a marked example, where its kind has one."""

    def __post_init__(self) -> None:
        # triple-quoted text stands indented in the rule's class
        for name in ("before", "after"):
            text = getattr(self, name)
            if text.startswith("\n"):
                object.__setattr__(self, name, textwrap.dedent(text).removeprefix("\n"))


class Rule:
    """Base of all templates."""

    name: ClassVar[str]
    strategy: ClassVar[str]
    examples: ClassVar[tuple[Example, ...]] = ()
    kinds: ClassVar[frozenset[str]] = frozenset({"exception", "thread_death", "log"})
    """The occurrence kinds the rule has something to say about."""
    searches: ClassVar[bool] = False
    """Looks through the whole project, so that it needs no place to start from."""

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        """Every patch this rule sees, best first."""
        raise LookupError(f"{type(self).__name__} drafts nothing")
