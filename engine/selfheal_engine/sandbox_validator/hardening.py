"""Small mutants of a patch's own lines: whether anything we have would notice that they differ.

A patch that could say something else and would pass just the same has little evidence behind it.
Mutants that the replays or the tests notice count for the patch, survivors against the score's
certainty (mutation testing after DeMillo, Lipton and Sayward 1978, on the changed lines alone).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from selfheal_engine.diagnosis.source_file import SourceFile
from selfheal_engine.model import Candidate, Check
from selfheal_engine.patch_generator.mutations import Mutation, mutations_of
from selfheal_engine.patch_generator.quick_text import region_of, spliced
from selfheal_engine.sandbox_validator.manner import LOGS
from selfheal_engine.sandbox_validator.static_checks import python_files

MUTANTS_AT_MOST = 6
_KINDS = frozenset(
    {
        "boundary",
        "comparison",
        "negation",
        "boolean",
        "drop_term",
        "operator",
        "literal",
        "off_by_one",
        "return_value",
        "delete",
    }
)
"""Kinds that change what a line means and need no knowledge of what it is about."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """The patched files with one more small change."""

    text: str
    files: dict[str, bytes]


def mutants(candidate: Candidate, lines: Mapping[str, list[int]]) -> Iterator[Mutant]:
    """At most MUTANTS_AT_MOST of the changed `lines`, spread over these."""
    files = dict(candidate.files)
    for path, content in python_files(candidate).items():
        file = SourceFile(path, content)
        told, moved = _telling(file), _taken_over(candidate.diff)
        wanted = {
            line: 1.0
            for line in lines.get(path, ())
            if line not in told and file.line(line).strip() not in moved
        }
        for mutation in _spread(m for m in mutations_of(file, wanted) if m.kind in _KINDS):
            text = _text(file, mutation)
            if text is not None:
                said = f"{path}:{mutation.line} {mutation.kind.replace('_', ' ')}"
                yield Mutant(said, {**files, path: text})


def _taken_over(diff: str) -> set[str]:
    """Lines that the patch only indents, as below a new `try`: they are not its own words."""
    removed = (line[1:] for line in diff.splitlines() if line[:1] == "-" and line[:4] != "--- ")
    return {line.strip() for line in removed}


def _telling(file: SourceFile) -> set[int]:
    """Lines of statements that only write to a log: no oracle looks at what they say."""
    return {
        line
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute)
        and node.value.func.attr in LOGS
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


def _spread(found: Iterator[Mutation]) -> list[Mutation]:
    """The heaviest of each line first, then the next ones."""
    ranked: dict[int, int] = {}
    order = []
    for position, mutation in enumerate(found):
        turn = ranked[mutation.line] = ranked.get(mutation.line, -1) + 1
        order.append((turn, position, mutation))
    order.sort(key=lambda one: one[:2])
    return [mutation for _, _, mutation in order[:MUTANTS_AT_MOST]]


def _text(file: SourceFile, mutation: Mutation) -> bytes | None:
    """The file's text with the mutation made; None where that is no Python."""
    region = region_of(file, mutation.line)
    if region is None:
        return None
    new = spliced(region, mutation.edits)
    text = "".join([*file.lines[: region.first - 1], new, *file.lines[region.last :]])
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    return text.encode(file.encoding)


def check(noticed: int, survivors: list[str]) -> Check | None:
    """What the mutants say; None when there was none."""
    count = noticed + len(survivors)
    if not count:
        return None
    text = f"{noticed} of {count} small changes of the patch would be noticed"
    enough = noticed >= len(survivors)
    return Check(
        "hardening", "passed" if enough else "failed", text, count, details=tuple(survivors)
    )
