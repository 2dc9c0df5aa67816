"""A patch as rows that can be drawn, unified or side by side, with any amount of context.

The unified diff says what changed; the whole new text, where it is at hand, gives the lines
around it. No text is compared again, except within one changed line, word by word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Literal

Kind = Literal["same", "added", "removed", "hunk", "file", "note"]
Span = tuple[int, int]

WORD = re.compile(r"\w+|\s+|[^\w\s]")
MOST_LINES = 100_000
LONGEST_COMPARED = 400
"""Characters; beyond that a line is shown as changed whole."""


@dataclass(frozen=True, slots=True)
class DiffRow:
    """One row of the unified view. Line numbers are 1-based, None where the side has no line."""

    kind: Kind
    text: str
    file: str = ""
    old: int | None = None
    new: int | None = None
    changed: tuple[Span, ...] = ()
    """Character ranges that differ from the paired line."""


@dataclass(frozen=True, slots=True)
class SplitRow:
    """One row of the side by side view; a side is None where it has no line."""

    left: DiffRow | None
    right: DiffRow | None


@dataclass(slots=True)
class FileChange:
    """One file of a patch: the whole run of rows, unchanged lines included."""

    path: str
    rows: list[DiffRow]
    complete: bool
    """True when `rows` holds every line of the file, so that context can grow."""
    old_text: str = ""
    new_text: str = ""
    note: str = ""

    @property
    def added(self) -> int:
        return sum(1 for row in self.rows if row.kind == "added")

    @property
    def removed(self) -> int:
        return sum(1 for row in self.rows if row.kind == "removed")


@dataclass(slots=True)
class _Hunk:
    old_start: int
    new_start: int
    lines: list[str] = field(default_factory=list)


HEADER = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


def parse(diff: str, new_texts: Mapping[str, bytes] | None = None) -> list[FileChange]:
    """The files of a unified diff; `new_texts` completes them with the lines around."""
    changes: list[FileChange] = []
    for path, hunks in _files(diff):
        content = (new_texts or {}).get(path)
        change = None if content is None else _complete(path, hunks, content)
        changes.append(change or _partial(path, hunks))
    return changes


def unified(changes: Sequence[FileChange], context: int) -> list[DiffRow]:
    """All rows to show with `context` unchanged lines around each change."""
    out: list[DiffRow] = []
    for change in changes:
        if len(changes) > 1:
            out.append(DiffRow("file", f"{change.path}  −{change.removed} +{change.added}"))
        if change.note:
            out.append(DiffRow("note", change.note))
        for part in _parts(change, context):
            first = part[0]
            if not (first.old in (1, None) and first.new in (1, None)):
                where = _enclosing(change, part)
                label = f"line {first.new or first.old}" + (f" · {where}" if where else "")
                out.append(DiffRow("hunk", label, change.path, first.old, first.new))
            out.extend(part)
    return out


def split(rows: Sequence[DiffRow]) -> list[SplitRow]:
    """The unified rows side by side: removed lines face the added ones that replace them."""
    out: list[SplitRow] = []
    removed: list[DiffRow] = []
    added: list[DiffRow] = []

    def flush() -> None:
        for at in range(max(len(removed), len(added))):
            left = removed[at] if at < len(removed) else None
            right = added[at] if at < len(added) else None
            out.append(SplitRow(left, right))
        removed.clear()
        added.clear()

    for row in rows:
        if row.kind == "removed":
            if added:
                flush()
            removed.append(row)
        elif row.kind == "added":
            added.append(row)
        else:
            flush()
            out.append(SplitRow(row, row))
    flush()
    return out


def hunk_starts(rows: Sequence[DiffRow]) -> list[int]:
    """Indexes of the first changed row of every run of changes."""
    out: list[int] = []
    inside = False
    for index, row in enumerate(rows):
        changed = row.kind in ("added", "removed")
        if changed and not inside:
            out.append(index)
        inside = changed
    return out


def word_changes(old: str, new: str) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """Character ranges that differ between two versions of a line; empty when too unlike."""
    if len(old) > LONGEST_COMPARED or len(new) > LONGEST_COMPARED:
        return (), ()
    left, right = WORD.findall(old), WORD.findall(new)
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    if matcher.ratio() < 0.4:
        return (), ()
    olds: list[Span] = []
    news: list[Span] = []
    for tag, a1, a2, b1, b2 in matcher.get_opcodes():
        if tag == "equal":
            continue
        if a2 > a1:
            olds.append((len("".join(left[:a1])), len("".join(left[:a2]))))
        if b2 > b1:
            news.append((len("".join(right[:b1])), len("".join(right[:b2]))))
    return tuple(olds), tuple(news)


# ---------------------------------------------------------------- reading the diff
def _files(diff: str) -> Iterator[tuple[str, list[_Hunk]]]:
    path, hunks = "", list[_Hunk]()
    old_left = new_left = 0
    old_path = ""
    for text in diff.splitlines():
        if old_left > 0 or new_left > 0:
            mark = text[:1]
            if mark != "\\":
                old_left -= mark != "+"
                new_left -= mark != "-"
                hunks[-1].lines.append(text if text else " ")
            continue
        header = HEADER.match(text)
        if header:
            old_left = int(header[2] or 1)
            new_left = int(header[4] or 1)
            # an empty side names the line before the hunk
            hunks.append(_Hunk(int(header[1]) + (not old_left), int(header[3]) + (not new_left)))
        elif text.startswith("--- "):
            if path:
                yield path, hunks
            old_path, path, hunks = _stripped(text[4:]), "", []
        elif text.startswith("+++ "):
            path = _stripped(text[4:])
            path = old_path if path == "/dev/null" else path
    if path:
        yield path, hunks


def _stripped(name: str) -> str:
    name = name.split("\t")[0].strip()
    return name[2:] if name[:2] in ("a/", "b/") else name


def _partial(path: str, hunks: Sequence[_Hunk]) -> FileChange:
    rows: list[DiffRow] = []
    for hunk in hunks:
        rows.extend(_hunk_rows(path, hunk))
    old = _numbered((row.old, row.text) for row in rows)
    new = _numbered((row.new, row.text) for row in rows)
    return FileChange(path, _paired(rows), False, old, new)


def _numbered(lines: Iterable[tuple[int | None, str]]) -> str:
    """The known lines at their places in an otherwise empty file, so that they can be lexed."""
    known = {number: text for number, text in lines if number}
    last = min(max(known, default=0), MOST_LINES)
    return "\n".join(known.get(number, "") for number in range(1, last + 1))


def _complete(path: str, hunks: Sequence[_Hunk], content: bytes) -> FileChange | None:
    """Rows of the whole file, or None when the text is not what the diff leads to."""
    new_text = content.decode("utf-8", "replace")
    lines = new_text.splitlines()
    rows: list[DiffRow] = []
    at, shift = 1, 0  # next new line, and how far the old numbering is behind
    for hunk in hunks:
        start = max(hunk.new_start, 1)
        while at < start and at <= len(lines):
            rows.append(DiffRow("same", lines[at - 1], path, at + shift, at))
            at += 1
        part = _hunk_rows(path, hunk)
        for row in part:
            if row.new is not None and (row.new > len(lines) or lines[row.new - 1] != row.text):
                return None
        rows.extend(part)
        news = sum(1 for row in part if row.new is not None)
        olds = sum(1 for row in part if row.old is not None)
        at, shift = start + news, shift + olds - news
    while at <= len(lines):
        rows.append(DiffRow("same", lines[at - 1], path, at + shift, at))
        at += 1
    old_text = "\n".join(row.text for row in rows if row.old is not None)
    return FileChange(path, _paired(rows), True, old_text, new_text)


def _hunk_rows(path: str, hunk: _Hunk) -> list[DiffRow]:
    rows: list[DiffRow] = []
    old, new = hunk.old_start, hunk.new_start
    for text in hunk.lines:
        mark, body = text[:1], text[1:]
        if mark == "+":
            rows.append(DiffRow("added", body, path, None, new))
            new += 1
        elif mark == "-":
            rows.append(DiffRow("removed", body, path, old, None))
            old += 1
        else:
            rows.append(DiffRow("same", body, path, old, new))
            old, new = old + 1, new + 1
    return rows


def _paired(rows: list[DiffRow]) -> list[DiffRow]:
    """The rows with the words marked that changed between a removed line and its successor."""
    at = 0
    while at < len(rows):
        if rows[at].kind != "removed":
            at += 1
            continue
        middle = at
        while middle < len(rows) and rows[middle].kind == "removed":
            middle += 1
        end = middle
        while end < len(rows) and rows[end].kind == "added":
            end += 1
        for left, right in _best_pairs(rows, at, middle, end):
            olds, news = word_changes(rows[left].text, rows[right].text)
            rows[left] = _marked(rows[left], olds)
            rows[right] = _marked(rows[right], news)
        at = end
    return rows


def _best_pairs(
    rows: Sequence[DiffRow], start: int, middle: int, end: int
) -> Iterator[tuple[int, int]]:
    """Each removed line with the added one most like it, in order and without crossing."""
    taken = middle
    for left in range(start, middle):
        words = set(WORD.findall(rows[left].text.strip()))
        best, likeness = -1, 0.5
        for right in range(taken, min(end, taken + 40)):
            others = set(WORD.findall(rows[right].text.strip()))
            shared = len(words & others) / max(1, len(words | others))
            if shared > likeness:
                best, likeness = right, shared
        if best >= 0:
            yield left, best
            taken = best + 1


def _marked(row: DiffRow, changed: tuple[Span, ...]) -> DiffRow:
    return DiffRow(row.kind, row.text, row.file, row.old, row.new, changed)


def _parts(change: FileChange, context: int) -> Iterator[list[DiffRow]]:
    """Runs of rows to show: the changes with their context, joined where they touch."""
    rows = change.rows
    if not rows:
        return
    keep = bytearray(len(rows))
    for index, row in enumerate(rows):
        if row.kind != "same":
            low, high = max(0, index - context), min(len(rows), index + context + 1)
            keep[low:high] = b"\1" * (high - low)
    part: list[DiffRow] = []
    for index, row in enumerate(rows):
        broken = part and not change.complete and _gap(part[-1], row)
        if (not keep[index] or broken) and part:
            yield part
            part = []
        if keep[index]:
            part.append(row)
    if part:
        yield part


def _gap(before: DiffRow, after: DiffRow) -> bool:
    for a, b in ((before.old, after.old), (before.new, after.new)):
        if a is not None and b is not None and b > a + 1:
            return True
    return False


def _enclosing(change: FileChange, part: Sequence[DiffRow]) -> str:
    """The def or class that the part's first change stands in, unless the part shows it."""
    if not change.complete:
        return ""
    target = next((row for row in part if row.kind != "same"), part[0])
    index = next(i for i, row in enumerate(change.rows) if row is target)
    indent = _indent(target.text)
    for row in reversed(change.rows[:index]):
        opens = row.text.lstrip().startswith(("def ", "class ", "async def "))
        if opens and _indent(row.text) < indent:
            return "" if any(row is seen for seen in part) else row.text.strip().rstrip(":")
    return ""


def _indent(text: str) -> int:
    """Columns before the text; a blank line counts as deep inside."""
    return len(text) - len(text.lstrip()) if text.strip() else 999
