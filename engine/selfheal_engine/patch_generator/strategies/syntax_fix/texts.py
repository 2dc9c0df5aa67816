"""A module that does not parse: the smallest edit of the text after which it does.

Repairs of the text are tried near the place that the parser names; only what makes the whole
file parse is drafted.
"""

from __future__ import annotations

import ast
import builtins
import difflib
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.recent_changes import last_good_text
from selfheal_engine.diagnosis.source_file import SourceFile, Span
from selfheal_engine.patch_generator.edits import splice_text
from selfheal_engine.patch_generator.line_repairs import (
    line_repairs,
    repaired_lines,
    syntax_error,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene

STRATEGY = "syntax_fix"
KINDS = frozenset({"syntax", "exception", "thread_death"})


def _whole(file: SourceFile, first: int, last: int) -> Span:
    """Lines `first` to `last`, both inclusive."""
    return Span(first, 0, last, len(file.lines[last - 1]))


def parses(text: str) -> bool:
    return syntax_error(text) is None


class RepairLine(Rule):
    """Repairs one line: a colon, a bracket, a quote, an indent, a keyword, an old spelling."""

    name = "repair_line"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(before="def f()\n    return 1\n", after="def f():\n    return 1\n", kind="syntax"),
        Example(
            before="def f(a):\n    return max(a, 1\n\n\nX = 2\n",
            after="def f(a):\n    return max(a, 1)\n\n\nX = 2\n",
            kind="syntax",
        ),
        Example(
            before="def f(a):\n    if a = 1:\n        return 2\n",
            after="def f(a):\n    if a == 1:\n        return 2\n",
            kind="syntax",
        ),
        Example(
            before="def f(a):\n    print 'a', a\n",
            after="def f(a):\n    print('a', a)\n",
            kind="syntax",
        ),
        Example(
            before="def f(a):\n    retrun a\n", after="def f(a):\n    return a\n", kind="syntax"
        ),
        Example(
            before="def f(a):\n    x = 1\n      y = 2\n    return x\n",
            after="def f(a):\n    x = 1\n    y = 2\n    return x\n",
            kind="syntax",
        ),
        Example(
            before="def f(a):\n    print a\n    b = a\n    print 'b', b\n",
            after="def f(a):\n    print(a)\n    b = a\n    print('b', b)\n",
            kind="syntax",
        ),
        Example(before="def f():\n    return undefined\n"),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        file = scene.file
        error = file.syntax_error
        if error is None:
            return
        at = min(error.lineno or scene.frame.line, len(file.lines))
        found = 0
        for distance in (0, -1, 1, -2, 2, -3):
            number = at + distance
            if not 1 <= number <= len(file.lines):
                continue
            old = file.lines[number - 1]
            for rank, (new, title) in enumerate(line_repairs(old, file.lines, number, error)):
                repaired = repaired_lines(file.lines, number, new, title) if new != old else {}
                if repaired:
                    yield scene.draft(
                        *(splice_text(_whole(file, n, n), line) for n, line in repaired.items()),
                        title=title,
                        weight=1.5 - 0.1 * abs(distance) - 0.03 * rank,
                    )
                    found += 1
            if found >= 4:
                return


class ResolveConflict(Rule):
    """Resolves a merge conflict that was left in the file: one side, or the other."""

    name = "resolve_conflict"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="<<<<<<< HEAD\nX = 1\n=======\nX = 2\n>>>>>>> topic\n",
            after="X = 1\n",
            kind="syntax",
        ),
        Example(before="def f()\n    return 1\n", kind="syntax"),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        file = scene.file
        text = file.text
        if file.syntax_error is None or not re.search(r"^<<<<<<< ", text, re.MULTILINE):
            return
        last = len(file.lines)
        good = last_good_text(scene.sources.project.root, file.path)
        for rank, (side, title) in enumerate(
            (
                (1, "keep our side of the merge"),
                (2, "keep their side of the merge"),
                (3, "keep both sides"),
            )
        ):
            resolved = _resolved(text, side)
            if resolved is None or not parses(resolved):
                continue
            names = _undefined(resolved)
            weight = 1.6 - 0.15 * rank - 0.4 * len(names)
            if good and side in (1, 2):
                weight += (
                    0.1 if difflib.SequenceMatcher(None, good, resolved).quick_ratio() > 0.98 else 0
                )
            yield scene.draft(
                splice_text(_whole(file, 1, last), resolved), title=title, weight=weight
            )


def _resolved(text: str, side: int) -> str | None:
    """The text with one side of every conflict (1 ours, 2 theirs, 3 both)."""
    out: list[str] = []
    state = 0
    for line in text.splitlines(True):
        if line.startswith("<<<<<<< "):
            state = 1
        elif line.startswith("||||||| ") and state == 1:
            state = 4
        elif line.rstrip() == "=======" and state in (1, 4):
            state = 2
        elif line.startswith(">>>>>>> ") and state == 2:
            state = 0
        elif state == 0 or (state & side and state != 4):
            out.append(line)
    return "".join(out) if state == 0 else None


def _undefined(text: str) -> list[str]:
    """Names that the text uses but nothing binds: a sign of the wrong side."""
    tree = ast.parse(text)
    bound = set(dir(builtins))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {(a.asname or a.name).split(".")[0] for a in node.names}
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    return sorted(used - bound)


class BackToLastGood(Rule):
    """Takes the lines that broke the file back to the last version that parsed."""

    name = "back_to_last_good"
    strategy = STRATEGY
    kinds = KINDS
    examples = ()

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        file = scene.file
        if file.syntax_error is None:
            return
        good = last_good_text(scene.sources.project.root, file.path)
        if not good or not parses(good):
            return
        new, old = file.lines, good.splitlines(True)
        for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, new, old, False).get_opcodes():
            if tag == "equal":
                continue
            if parses("".join([*new[:i1], *old[j1:j2], *new[i2:]])):
                first, last = (i1 + 1, i2) if i2 > i1 else (i1 + 1, i1 + 1)
                code = "".join(old[j1:j2]) + ("" if i2 > i1 else (new[i1] if i1 < len(new) else ""))
                if last <= len(new):
                    yield scene.draft(
                        splice_text(_whole(file, first, last), code),
                        title="take the broken lines back to their last good version",
                        weight=0.8,
                        risk="medium",
                    )


class TabsToSpaces(Rule):
    """Writes the indentation in one way where tabs and spaces are mixed."""

    name = "tabs_to_spaces"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="def f(a):\n    if a:\n\tb = 1\n\treturn b\n    return 2\n",
            after="def f(a):\n    if a:\n        b = 1\n        return b\n    return 2\n",
            kind="syntax",
        ),
        Example(before="def f()\n    return 1\n", kind="syntax"),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        file = scene.file
        if file.syntax_error is None or "\t" not in file.text:
            return
        for width in (8, 4):
            edits = []
            lines = list(file.lines)
            for number, line in enumerate(file.lines, 1):
                lead = line[: len(line) - len(line.lstrip())]
                if "\t" in lead:
                    lines[number - 1] = lead.expandtabs(width) + line.lstrip()
                    edits.append(splice_text(_whole(file, number, number), lines[number - 1]))
            if edits and parses("".join(lines)):
                yield scene.draft(*edits, title="indent with spaces only", weight=1.4)
                return
