"""From edits to a complete candidate: new files, a unified diff, hashes, the functions changed."""

from __future__ import annotations

import ast
import difflib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from selfheal_engine.diagnosis.source_file import SourceFile, Sources
from selfheal_engine.model import Candidate, Risk
from selfheal_engine.patch_generator.edits import Edit
from selfheal_engine.patch_generator.rewriting import apply_edits
from selfheal_engine.project import Project, sha256


def write_candidate(
    sources: Sources,
    edits: Sequence[tuple[str, Edit]],
    *,
    strategy: str,
    template: str,
    title: str,
    explanation: str = "",
    confidence: float = 0.5,
    risk: Risk = "medium",
    origin: str = "engine",
) -> Candidate:
    """Write the edits of every file. Raises RewriteError where one cannot be made."""
    by_file: dict[str, list[Edit]] = {}
    for path, edit in edits:
        by_file.setdefault(path, []).append(edit)
    files: dict[str, bytes] = {}
    for path, wanted in by_file.items():
        file = sources.get(path) or SourceFile(path, b"")
        files[path] = apply_edits(file, wanted)
    return candidate_of(
        sources,
        files,
        strategy=strategy,
        template=template,
        title=title,
        explanation=explanation,
        confidence=confidence,
        risk=risk,
        origin=origin,
    )


def candidate_of(
    sources: Sources,
    files: Mapping[str, bytes],
    *,
    strategy: str,
    template: str,
    title: str,
    explanation: str = "",
    confidence: float = 0.5,
    risk: Risk = "medium",
    origin: str = "engine",
) -> Candidate:
    """A candidate from whole new contents."""
    diffs: list[str] = []
    hashes: list[tuple[str, str]] = []
    functions: list[str] = []
    for path in sorted(files):
        old = sources.get(path)
        before = old if old is not None else SourceFile(path, b"")
        after = SourceFile(path, files[path])
        diffs.append(unified_diff(path, before.raw_text, after.raw_text, old is None))
        hashes.append((path, before.hash if old is not None else ""))
        functions += changed_functions(before, after)
    diff = "".join(diffs)
    return Candidate(
        id=hashlib.sha256(diff.encode()).hexdigest()[:12],
        strategy=strategy,
        template=template,
        title=title,
        diff=diff,
        files=tuple(sorted(files.items())),
        original_hashes=tuple(hashes),
        functions=tuple(functions),
        confidence=confidence,
        risk=risk,
        explanation=explanation,
        origin=origin,
    )


def edited_candidate(
    candidate: Candidate, new_files: Mapping[str, bytes], project: Project
) -> Candidate:
    """The candidate after a person changed its files by hand; its origin says so.

    Hashes are those of the files as they are now: the person saw and edited these.
    """
    made = candidate_of(
        Sources(project),
        {**dict(candidate.files), **new_files},
        strategy=candidate.strategy,
        template=candidate.template,
        title=candidate.title,
        explanation=candidate.explanation,
        confidence=candidate.confidence,
        risk=candidate.risk,
    )
    origin = candidate.origin.removesuffix(" (edited)")
    return replace(made, origin=f"{origin} (edited)", impact=candidate.impact)


def unified_diff(path: str, before: str, after: str, new: bool = False) -> str:
    """A `-p1` diff; line ends are kept, a missing one at the end is marked as git does."""
    old_lines, new_lines = _lines(before), _lines(after)
    old_name = "/dev/null" if new else f"a/{path}"
    out: list[str] = []
    for line in difflib.unified_diff(old_lines, new_lines, old_name, f"b/{path}", n=3):
        if line.endswith("\n"):
            out.append(line)
        else:
            out += [line + "\n", "\\ No newline at end of file\n"]
    return "".join(out)


def _lines(text: str) -> list[str]:
    parts = text.split("\n")
    return [part + "\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def changed_functions(before: SourceFile, after: SourceFile) -> list[str]:
    """Qualified names whose own code differs, outer functions only where they differ themselves."""
    old = {name: ast.dump(node) for name, node in before.functions.items()}
    changed = [name for name, node in after.functions.items() if old.get(name) != ast.dump(node)]
    return [n for n in changed if not any(o.startswith(f"{n}.<locals>.") for o in changed)]


def content_hash(files: Mapping[str, bytes]) -> str:
    """Equal for candidates that leave the same files."""
    return sha256(b"\0".join(p.encode() + b"\0" + c for p, c in sorted(files.items())))
