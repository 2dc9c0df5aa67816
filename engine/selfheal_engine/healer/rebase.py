"""A patch for a file that has changed since: three-way merge, or refusal.

The text the patch was made for is recovered by taking the diff back out of the new text; the
merge then applies both sides' edits where they neither overlap nor touch (Khanna, Kunal and
Pierce, "A Formal Investigation of Diff3", 2007). Edits that touch are refused: a wrong merge
of source code costs more than asking again.
"""

from __future__ import annotations

import ast
import difflib
import re
from dataclasses import dataclass, replace

from selfheal_engine.errors import PatchConflictError
from selfheal_engine.healer.files import content_hash, place
from selfheal_engine.model import Candidate
from selfheal_engine.project import Project, sha256

_HUNK = re.compile(r"@@ -\d+(?:,\d+)? \+(\d+)(?:,(\d+))? @@")


@dataclass(frozen=True, slots=True)
class Edit:
    """Lines `start` to `end` of the base give way to `lines`."""

    start: int
    end: int
    lines: tuple[bytes, ...]


def changed_files(candidate: Candidate, project: Project) -> list[str]:
    """Paths whose content is not what the patch was made for."""
    made_for = dict(candidate.original_hashes)
    return [
        path
        for path, _ in candidate.files
        if path in made_for and content_hash(place(project, path)) != made_for[path]
    ]


def rebase_patch(candidate: Candidate, project: Project) -> Candidate:
    """The same change on the files as they are now; it needs validation anew.

    Raises PatchConflictError when the owner's changes and the patch's meet.
    """
    files: list[tuple[str, bytes]] = []
    hashes: list[tuple[str, str]] = []
    diff = ""
    for path, new in candidate.files:
        target = place(project, path)
        current = target.read_bytes() if target.exists() else b""
        made_for = dict(candidate.original_hashes).get(path, "")
        if sha256(current) == made_for or (not made_for and not target.exists()):
            merged = new
        else:
            base = take_out(candidate.diff, path, new)
            if base is None or (made_for and sha256(base) != made_for):
                raise PatchConflictError(f"{path} has changed and the patch's base is not known")
            merged = _merged(path, base, new, current)
        files.append((path, merged))
        hashes.append((path, sha256(current) if target.exists() else ""))
        diff += unified(path, current, merged, new_file=not target.exists())
    if all(new == place(project, path).read_bytes() for path, new in files):
        raise PatchConflictError("the file already holds what the patch does: nothing to apply")
    return replace(
        candidate,
        id=f"{candidate.id}r",
        files=tuple(files),
        original_hashes=tuple(hashes),
        diff=diff,
    )


def merge(base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
    """Both sides' changes to `base`, None where they meet."""
    lines = base.splitlines(keepends=True)
    mine = _edits(lines, ours.splitlines(keepends=True))
    other = _edits(lines, theirs.splitlines(keepends=True))
    both = [edit for edit in mine if edit in other]
    for edit in mine:
        for against in other:
            touch = edit.start <= against.end and against.start <= edit.end
            if touch and edit != against:
                return None
    result: list[bytes] = []
    position = 0
    every = mine + [edit for edit in other if edit not in both]
    for edit in sorted(every, key=lambda edit: (edit.start, edit.end)):
        result.extend(lines[position : edit.start])
        result.extend(edit.lines)
        position = edit.end
    return b"".join(result + lines[position:])


def unified(path: str, old: bytes, new: bytes, *, new_file: bool = False) -> str:
    """A `-p1` unified diff of one file."""
    before = old.decode("utf-8", "surrogateescape").splitlines(keepends=True)
    after = new.decode("utf-8", "surrogateescape").splitlines(keepends=True)
    lines = difflib.unified_diff(
        before, after, "/dev/null" if new_file else f"a/{path}", f"b/{path}"
    )
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def take_out(diff: str, path: str, new: bytes) -> bytes | None:
    """The text before the diff, from the text after it; None when the two do not fit."""
    lines = new.decode("utf-8", "surrogateescape").split("\n")
    inside = False
    hunks: list[tuple[int, list[str]]] = []
    for line in diff.split("\n"):
        if line.startswith("+++ "):
            inside = line[4:].split("\t")[0].strip().removeprefix("b/") == path
        elif line.startswith(("--- ", "diff ")):
            inside = False
        elif inside and (header := _HUNK.match(line)):
            hunks.append((int(header[1]) - (header[2] != "0"), []))
        elif inside and hunks and line[:1] in (" ", "+", "-"):
            hunks[-1][1].append(line)
    for start, body in reversed(hunks):
        after = [line[1:] for line in body if line[0] in " +"]
        if lines[start : start + len(after)] != after:
            return None
        lines[start : start + len(after)] = [line[1:] for line in body if line[0] in " -"]
    return "\n".join(lines).encode("utf-8", "surrogateescape") if hunks else None


def _merged(path: str, base: bytes, new: bytes, current: bytes) -> bytes:
    merged = merge(base, new, current)
    if merged is None:
        raise PatchConflictError(
            f"{path} was changed at the very place that the patch changes: nothing was written; "
            "a new patch is made for the file as it is now"
        )
    if path.endswith(".py"):
        try:
            ast.parse(merged)
        except (SyntaxError, ValueError):
            raise PatchConflictError(
                f"{path} was changed, and with the patch it would not compile: nothing was written"
            ) from None
    return merged


def _edits(base: list[bytes], side: list[bytes]) -> list[Edit]:
    matcher = difflib.SequenceMatcher(None, base, side, autojunk=False)
    return [
        Edit(start, end, tuple(side[first:last]))
        for tag, start, end, first, last in matcher.get_opcodes()
        if tag != "equal"
    ]
