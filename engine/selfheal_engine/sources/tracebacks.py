"""Python tracebacks in the lines of a log, read as they come.

A log mixes tracebacks with other lines, and the tracebacks of several processes with each
other where each line carries a prefix (syslog, journald, supervisors, containers). A line's
prefix is learned from the line that begins a traceback: times in it may change, everything
else (program, pid, thread, stream) must stay, so each prefix is a stream of its own. What a
finished block says is read by `traceback_format`.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass, field

from selfheal_engine.sources.traceback_format import (
    CLOSES,
    FINAL,
    FRAME,
    HEADER_TEXT,
    SEPARATORS,
    ParsedTraceback,
    parse_block,
)

MAX_BLOCK_LINES = 4_000
MAX_LINE_CHARACTERS = 20_000
MAX_JSON_CHARACTERS = 1_000_000
MAX_MESSAGE_LINES = 40
MAX_STREAMS = 64
MAX_PREFIX = 400
MAX_STRANGE_LINES = 12
"""Lines of others in the middle of a traceback: writers of one stderr interleave by line."""

_ANSI = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_HEADER = re.compile(rf"(?P<prefix>.*?)(?P<rest>(?:  \+ Exception Group )?{HEADER_TEXT})\s*$")
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?: ?(?:Z|[+-]\d\d:?\d\d))?"
    r"|\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?:[.,]\d+)?"
    r"|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)?"
    r"|\d\d/[A-Z][a-z]{2}/\d{4}[: ]\d\d:\d\d:\d\d(?: [+-]\d{4})?"
    r"|\d\d:\d\d:\d\d(?:[.,]\d+)?"
    r"|\d{1,12}\.\d{2,9}"
)
_TIME_PATTERN = r"(?:" + _TIME.pattern + r")"
_WHOLE = re.compile(rf"{HEADER_TEXT}\s*\n")
_ESCAPED = re.compile(rf"(?:  \+ Exception Group )?{HEADER_TEXT}(?P<how>#012|\\n)")
_PID = re.compile(r"(?:\[|\bpid[ =:]{0,2}|\bprocess[ =:]{1,2})(\d{2,7})\b", re.IGNORECASE)
_THREAD = re.compile(r"^Exception in thread (?P<name>[^:]+?)(?: \(\w+\))?:$")
_LEVELS = r"(?:DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL|EXCEPTION|TRACE)"
_RECORD = re.compile(
    rf"\s*(?:{_TIME_PATTERN}|\[\s*(?:{_TIME_PATTERN}|{_LEVELS}\b|\d)|{_LEVELS}\b[\]:| ]"
    r"|\d{1,3}(?:\.\d{1,3}){3}\b|\{\"|<\d{1,3}>|level=|time=|ts=)"
)
"""How a line begins that is a log record of its own, not more of an exception's message."""


@dataclass(slots=True)
class _Block:
    """The traceback that one stream is in the middle of."""

    pid: int
    thread: str
    prefix: re.Pattern[str] | None
    """None: the block's lines come without a prefix."""
    undecided: bool
    """The first line had a prefix; the next one tells whether the others have it, too."""
    lines: list[str] = field(default_factory=list)
    state: str = "frames"
    group: bool = False
    strange: int = 0
    message_lines: int = 0

    def take(self, line: str) -> bool:
        """Whether the line (without its prefix) belongs to the block, which then holds it."""
        keep = getattr(self, f"_in_{self.state}")(line)
        if keep is None:
            self.strange += 1
            return self.strange <= MAX_STRANGE_LINES
        if keep:
            self.lines.append(line)
        return bool(keep) and len(self.lines) < MAX_BLOCK_LINES

    def _in_frames(self, line: str) -> bool | None:
        if self.group and re.match(r" +[|+]", line):
            return True
        if self.group and CLOSES.match(self.lines[-1]):
            self.state = "between"
            return self._in_between(line)
        if line.startswith("  ") or not line.strip():
            return True
        if _HEADER.match(line):
            return False
        if self.group and self.lines[-1].lstrip().startswith("|"):
            # a message goes on, and only its first line stands behind the margin
            return None if _RECORD.match(line) else True
        if FINAL.match(line) and not _RECORD.match(line):
            self.state, self.message_lines = "message", 1
            return True
        return None

    def _in_message(self, line: str) -> bool:
        if not line.strip():
            self.state = "between"
            return True
        self.message_lines += 1
        return not (
            self.message_lines > MAX_MESSAGE_LINES or _HEADER.match(line) or _RECORD.match(line)
        )

    def _in_between(self, line: str) -> bool:
        if line.strip() in SEPARATORS:
            self.state = "next"
            return True
        return not line.strip()

    def _in_next(self, line: str) -> bool:
        """After "During handling ...": the header of the next traceback, or a bare frame."""
        header = _HEADER.match(line)
        if header is not None and not header["prefix"].strip():
            self.state = "frames"
            self.group = "Group" in header["rest"]
            return True
        if FINAL.match(line) and not _RECORD.match(line):
            self.state, self.message_lines = "message", 1
            return True
        return not line.strip()

    def finished(self) -> ParsedTraceback | None:
        """What the block says; None when it broke off before its exception."""
        return parse_block(self.lines, self.pid, self.thread)

    def complete(self) -> bool:
        """Whether its exception has been seen."""
        if self.group and self.state == "frames":
            return CLOSES.match(self.lines[-1]) is not None
        return self.state in ("message", "between")


class TracebackParser:
    """Feed it lines; it gives every traceback once it has ended. Bounded in memory."""

    def __init__(self) -> None:
        self._blocks: list[_Block] = []
        self._thread = ""
        self._pid = 0
        self._unraised = ""
        """The last line, when it could be an exception without traceback."""
        self.broken = 0
        """Tracebacks that broke off before their exception."""

    def feed(self, line: str) -> list[ParsedTraceback]:
        """One line, with or without its newline; the tracebacks that ended by it."""
        whole = embedded(line) if "Traceback (most recent call last):" in line else []
        if whole:
            return [traceback for text in whole for traceback in read_text(text)]
        line = _ANSI.sub("", line.rstrip("\r\n")[:MAX_LINE_CHARACTERS])
        found: list[ParsedTraceback] = []
        for block in list(self._blocks):
            text = self._without_prefix(block, line)
            if text is None:
                continue
            if block.take(text):
                return found
            found += self._end(block)
            break
        self._begin(line, found)
        return found

    def flush(self, *, only_complete: bool = False) -> list[ParsedTraceback]:
        """The tracebacks that end here because nothing more came (for a while)."""
        found: list[ParsedTraceback] = []
        for block in list(self._blocks):
            if not only_complete or block.complete():
                found += self._end(block)
        return found

    def _begin(self, line: str, found: list[ParsedTraceback]) -> None:
        header = _HEADER.match(line) if "Traceback (" in line else None
        if header is not None and len(header["prefix"]) <= MAX_PREFIX:
            prefix, first = header["prefix"], header["rest"]
        elif FRAME.match(line) and ", in " not in line.rpartition('"')[2]:
            prefix, first = "", line  # a file that does not compile, told without a header
        else:
            if line.strip() in SEPARATORS and self._unraised:
                # the first of a chain was never raised, so it had no header
                lines = [self._unraised, "", line]
                self._blocks.append(_Block(self._pid, "", None, False, lines, "next"))
            elif line.strip():
                final = FINAL.match(line) is not None and not _RECORD.match(line)
                self._unraised = line if final else ""
            thread = _THREAD.match(line)
            self._thread = thread["name"] if thread is not None else ""
            pid = _PID.search(line[:200]) if _RECORD.match(line) else None
            self._pid = int(pid.group(1)) if pid is not None else self._pid
            return
        named = _PID.search(prefix)
        pid_ = int(named.group(1)) if named is not None else (0 if prefix.strip() else self._pid)
        block = _Block(
            pid_,
            self._thread,
            _pattern(prefix) if prefix else None,
            undecided=bool(prefix),
            lines=[first],
            group="Exception Group" in first,
        )
        self._thread = ""
        if len(self._blocks) >= MAX_STREAMS:
            found += self._end(self._blocks[0])
        # those with a prefix are asked first: without one, any line may be meant
        self._blocks.append(block)
        self._blocks.sort(key=lambda item: item.prefix is None)

    def _without_prefix(self, block: _Block, line: str) -> str | None:
        """The line as the block's stream wrote it; None when it is another's."""
        if block.prefix is None:
            return line
        match = block.prefix.match(line)
        if match is not None:
            block.undecided = False
            return line[match.end() :]
        if not line.strip() and not block.undecided:
            return None
        if block.undecided and (FRAME.match(line) or re.match(r"  \|", line)):
            block.undecided, block.prefix = False, None
            self._blocks.sort(key=lambda item: item.prefix is None)
            return line
        # trailing blanks of a prefix are lost where the line itself is empty
        bare = block.prefix.match(line + " ")
        return "" if bare is not None and bare.end() == len(line) + 1 else None

    def _end(self, block: _Block) -> list[ParsedTraceback]:
        self._blocks.remove(block)
        parsed = block.finished()
        if parsed is None:
            self.broken += 1
            return []
        return [parsed]


def read_text(text: str) -> list[ParsedTraceback]:
    """Every traceback of a whole text."""
    parser = TracebackParser()
    found = [traceback for line in text.splitlines() for traceback in parser.feed(line)]
    return found + parser.flush()


def embedded(line: str) -> list[str]:
    """Whole tracebacks inside one line: as a value of JSON, or with their newlines escaped."""
    line = line[:MAX_JSON_CHARACTERS]
    start = line.find("{")
    if start >= 0 and line.rstrip().endswith("}"):
        with contextlib.suppress(ValueError, RecursionError):
            return [text for text in _texts(json.loads(line[start:])) if _WHOLE.search(text)]
    escaped = _ESCAPED.search(line)
    if escaped is None:
        return []
    text = line[escaped.start() :].partition('"' if escaped["how"] == "\\n" else "\0")[0]
    return [text.replace(escaped["how"], "\n")]


def _texts(value: object, depth: int = 8) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict) and depth:
        return [text for item in value.values() for text in _texts(item, depth - 1)]
    if isinstance(value, list) and depth:
        return [text for item in value for text in _texts(item, depth - 1)]
    return []


def _pattern(prefix: str) -> re.Pattern[str]:
    """What the prefix of the stream's other lines looks like: the same, at other times."""
    parts: list[str] = []
    end = 0
    for time in _TIME.finditer(prefix):
        parts += [re.escape(prefix[end : time.start()]), _TIME_PATTERN]
        end = time.end()
    return re.compile("".join(parts) + re.escape(prefix[end:]))
