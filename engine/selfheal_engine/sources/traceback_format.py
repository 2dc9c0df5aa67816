"""What the text of one traceback says, in the format of any Python from 3.9 to 3.14.

The format is that of CPython's Lib/traceback.py: frames with one or more lines of source,
`^` and `~` markers (PEP 657, from 3.11), chains told oldest first, exception groups behind
`|` margins (PEP 654), the offending line of a SyntaxError.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

HEADER_TEXT = r"Traceback \(most recent call last\):"
CAUSE = "The above exception was the direct cause of the following exception:"
CONTEXT = "During handling of the above exception, another exception occurred:"
SEPARATORS = (CAUSE, CONTEXT)
FRAME = re.compile(r'  File "(?P<file>.*)", line (?P<line>\d+)(?:, in (?P<function>.*))?$')
FINAL = re.compile(
    r"(?P<type>[^\W\d][\w]*(?:\.(?:[^\W\d]\w*|<locals>))*)(?:: ?(?P<message>.*))?$", re.DOTALL
)
CLOSES = re.compile(r" *\+-{30,}\s*$")
_HEADER = re.compile(rf"(?:  \+ )?(?:Exception Group )?{HEADER_TEXT}\s*$")
_MARKERS = re.compile(r" {4,}[~^ ]*[~^][~^ ]*$")
_ELIDED = re.compile(r"\s*(?:\[Previous line repeated \d+ more times?\]|\.\.\.<\d+ lines>\.\.\.)$")
_OPENS = re.compile(r"(?P<margin> *)\+(?:-\+)?-+ (?:\d+|\.\.\.) -+\s*$")
_MARGIN = re.compile(r"(?P<margin>(?:  )+)\| ?(?P<text>.*)$")
_SYNTAX = ("SyntaxError", "IndentationError", "TabError")
MAX_DEPTH = 12


@dataclass(frozen=True, slots=True)
class ParsedFrame:
    """One frame as printed. Columns count characters of `source_line`, which has no indent."""

    file: str
    line: int
    function: str
    source_line: str = ""
    column: int | None = None
    end_column: int | None = None


@dataclass(frozen=True, slots=True)
class ParsedTraceback:
    """One exception with those it came from, nearest first, and a group's members."""

    exception: str
    message: str
    frames: tuple[ParsedFrame, ...]
    chain: tuple[ParsedTraceback, ...] = ()
    members: tuple[ParsedTraceback, ...] = ()
    pid: int = 0
    """As the line's prefix tells it; 0: it does not."""
    thread: str = ""

    @property
    def is_syntax(self) -> bool:
        return self.exception in _SYNTAX


@dataclass(slots=True)
class _Section:
    """The lines of one exception of a chain, and the members below it when it is a group."""

    lines: list[str] = field(default_factory=list)
    members: list[_Node] = field(default_factory=list)


@dataclass(slots=True)
class _Node:
    """One member of a group, or the outermost exception: a chain of sections."""

    sections: list[_Section] = field(default_factory=lambda: [_Section()])


def parse_block(lines: list[str], pid: int = 0, thread: str = "") -> ParsedTraceback | None:
    """The traceback that the lines hold, without any prefix; None when no exception is named."""
    return _read_node(_tree(lines), pid, thread)


def _tree(lines: list[str]) -> _Node:
    """Which lines belong to which member: two columns of margin are one level."""
    stack = [_Node()]
    for line in lines:
        opens = _OPENS.match(line)
        if opens is not None:
            # "  +-+--- 1 ---" opens the first member of level 1, "    +--- 2 ---" the others
            level = len(opens["margin"]) // 2 - (0 if "+-+" in line else 1)
            del stack[max(1, level) :]
            if len(stack) <= MAX_DEPTH:
                node = _Node()
                stack[-1].sections[-1].members.append(node)
                stack.append(node)
            continue
        if CLOSES.match(line):
            indent = len(line) - len(line.lstrip())
            del stack[max(1, indent // 2 - 1) :]
            continue
        margin = _MARGIN.match(line)
        text = line if margin is None else margin["text"]
        if margin is not None:
            del stack[max(1, len(margin["margin"]) // 2) :]
        if text.strip() in SEPARATORS:
            if margin is None:
                del stack[1:]  # inside a group it stands behind the margin
            stack[-1].sections.append(_Section())
        else:
            stack[-1].sections[-1].lines.append(text)
    return stack[0]


def _read_node(node: _Node, pid: int, thread: str) -> ParsedTraceback | None:
    read = [_read_section(section, pid, thread) for section in node.sections]
    *before, last = read if read[-1] is not None or len(read) == 1 else read[:-1]
    if last is None:
        return None
    chain = tuple(link for link in reversed(before) if link is not None)
    return ParsedTraceback(
        last.exception, last.message, last.frames, chain, last.members, pid, thread
    )


def _read_section(section: _Section, pid: int, thread: str) -> ParsedTraceback | None:
    frames: list[ParsedFrame] = []
    message: list[str] = []
    exception = ""
    lines = section.lines
    position = 0
    while position < len(lines):
        line = lines[position]
        position += 1
        if exception:
            message.append(line)
            continue
        place = FRAME.match(line)
        if place is not None:
            source, position = _source_after(lines, position)
            frames.append(_frame(place, source))
            continue
        final = None if line.startswith("  ") or _HEADER.match(line) else FINAL.match(line)
        if final is not None:
            exception = final["type"]
            message.append(final["message"] or "")
    if not exception:
        return None
    read = (_read_node(member, pid, thread) for member in section.members)
    members = tuple(member for member in read if member is not None)
    text = "\n".join(message).rstrip("\n")
    return ParsedTraceback(exception, text, tuple(frames), (), members, pid, thread)


def _source_after(lines: list[str], position: int) -> tuple[list[str], int]:
    """The lines below a frame's, up to the next frame or the exception, and where they end."""
    source: list[str] = []
    while position < len(lines):
        line = lines[position]
        if FRAME.match(line) or (line.strip() and not line.startswith("  ")):
            break
        if not _ELIDED.match(line):
            source.append(line)
        position += 1
    return source, position


def _frame(place: re.Match[str], source: list[str]) -> ParsedFrame:
    function = place["function"]
    file, line = place["file"], int(place["line"])
    shown = [text for text in source if text.strip()]
    if not shown or _MARKERS.match(shown[0]):
        return ParsedFrame(file, line, function or "<module>")
    text = shown[0][4:] if shown[0].startswith("    ") else shown[0].strip()
    indent = len(text) - len(text.lstrip())
    column = end = None
    # wide characters take two columns of markers, so only ASCII tells a position
    if len(shown) > 1 and _MARKERS.match(shown[1]) and text.isascii():
        marks = shown[1][4:].rstrip()
        column = len(marks) - len(marks.lstrip()) - indent
        end = len(marks) - indent if len(shown) == 2 and function is not None else None
        if column < 0:
            column = end = None
    return ParsedFrame(file, line, function or "<module>", text.strip(), column, end)
