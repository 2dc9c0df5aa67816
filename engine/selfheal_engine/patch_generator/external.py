"""Patches from outside: a person's command gets a brief and answers with unified diffs.

The brief holds the diagnosis and source code, and captured values only where the settings allow
it. What comes back is nothing but text: it is applied here, marked with its origin, and goes
through the same wall, checks and review as every other candidate.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

from selfheal_engine.codec import to_plain
from selfheal_engine.config import Settings
from selfheal_engine.diagnosis.source_file import BOM, Sources
from selfheal_engine.errors import SelfhealError
from selfheal_engine.model import Candidate, Diagnosis, Occurrence
from selfheal_engine.patch_generator.writing import candidate_of

TIMEOUT_S = 90.0
MOST_DIFFS = 10
MOST_BYTES = 1 << 20


class ProposerError(SelfhealError):
    """The external proposer could not be used."""


def proposed(
    occurrence: Occurrence, diagnosis: Diagnosis, sources: Sources, settings: Settings
) -> Iterator[Candidate]:
    """The command's patches that can be applied. Raises ProposerError when it cannot be run."""
    words = shlex.split(settings.proposer)
    text = json.dumps(brief(occurrence, diagnosis, sources, settings.proposer_values))
    try:
        run = subprocess.run(
            words,
            input=text.encode(),
            capture_output=True,
            timeout=TIMEOUT_S,
            cwd=sources.project.root,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as why:
        raise ProposerError(f"the proposer {words[0]!r} gave no answer: {why}") from None
    if run.returncode != 0:
        said = run.stderr.decode(errors="replace").strip()[-200:]
        raise ProposerError(f"the proposer {words[0]!r} ended with {run.returncode}: {said}")
    answer = run.stdout[:MOST_BYTES].decode(errors="replace")
    origin = PurePath(words[0]).name
    for number, diff in enumerate(split_diffs(answer)[:MOST_DIFFS], 1):
        try:
            files = applied(diff, sources)
        except SelfhealError:
            continue  # a diff that does not fit is no patch
        yield candidate_of(
            sources,
            files,
            strategy=diagnosis.bug_type,
            template="external",
            title=_title(diff) or f"patch {number} of {origin}",
            explanation=f"Proposed by {origin}.",
            confidence=0.4,
            risk="high",
            origin=origin,
        )


def brief(
    occurrence: Occurrence, diagnosis: Diagnosis, sources: Sources, with_values: bool
) -> dict[str, object]:
    """What the command is told; without values it holds source code and names only."""
    paths = list(dict.fromkeys(s.file for s in diagnosis.suspects))[:5]
    texts = {p: f.text for p in paths if (f := sources.get(p)) is not None}
    frames: list[dict[str, object]] = []
    for frame in occurrence.frames:
        entry: dict[str, object] = {
            "file": sources.project.relative(frame.file) or PurePath(frame.file).name,
            "line": frame.line,
            "function": frame.function,
            "own": frame.own,
        }
        if with_values and frame.own:
            entry["locals"] = {name: to_plain(value) for name, value in frame.locals}
        else:
            entry["types"] = {name: value.type_name for name, value in frame.locals}
        frames.append(entry)
    return {
        "version": 1,
        "kind": occurrence.kind,
        "exception": occurrence.exception,
        # messages quote the customer's data, so they count as values
        "message": occurrence.message if with_values else "",
        "bug_type": diagnosis.bug_type,
        "summary": diagnosis.summary if with_values else diagnosis.failing_expression,
        "suspects": [
            {"file": s.file, "line": s.line, "function": s.function} for s in diagnosis.suspects
        ],
        "frames": frames,
        "files": texts,
    }


def split_diffs(text: str) -> list[str]:
    """The separate patches of an answer: JSON {"diffs": [...]}, or texts divided by `---8<---`."""
    try:
        data = json.loads(text)
    except ValueError:
        parts = re.split(r"^-+8<-+\n", text, flags=re.MULTILINE)
        return [part for part in parts if "\n@@ " in part]
    diffs = data.get("diffs", []) if isinstance(data, dict) else []
    return [diff for diff in diffs if isinstance(diff, str)]


@dataclass(frozen=True)
class Hunk:
    """One hunk: where it says it starts, the lines it expects and those it puts there."""

    start: int
    old: tuple[str, ...]
    new: tuple[str, ...]


def applied(diff: str, sources: Sources) -> dict[str, bytes]:
    """The new files of a unified diff. Raises ProposerError where it does not fit the project."""
    found: dict[str, bytes] = {}
    for path, hunks in _files(diff).items():
        file = sources.get(path)
        if file is None:
            raise ProposerError(f"{path} is no file of the project")
        lines = file.text.split("\n")
        shift = 0
        for hunk in hunks:
            at = _place(lines, hunk, shift)
            if at is None:
                raise ProposerError(f"a hunk for {path}:{hunk.start} does not fit")
            lines[at : at + len(hunk.old)] = hunk.new
            shift += len(hunk.new) - len(hunk.old)
        text = "\n".join(lines)
        if "\r\n" in file.raw_text:
            text = text.replace("\n", "\r\n")
        bom = BOM if file.content.startswith(BOM) else b""
        found[path] = bom + text.encode(file.encoding)
    if not found:
        raise ProposerError("the answer holds no diff")
    return found


def _files(diff: str) -> dict[str, list[Hunk]]:
    found: dict[str, list[Hunk]] = {}
    path, old, new, start = "", list[str](), list[str](), 0

    def close() -> None:
        if path and (old or new):
            found.setdefault(path, []).append(Hunk(start, tuple(old), tuple(new)))

    for line in diff.splitlines():
        header = re.match(r"@@ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@", line)
        if line.startswith("+++ "):
            close()
            old, new = [], []
            name = line[4:].split("\t")[0].strip()
            path = name[2:] if name.startswith(("a/", "b/")) else name
        elif line.startswith("--- "):
            close()
            old, new, path = [], [], ""
        elif header:
            close()
            old, new, start = [], [], int(header[1])
        elif path and line.startswith("+"):
            new.append(line[1:])
        elif path and line.startswith("-"):
            old.append(line[1:])
        elif path and (line.startswith(" ") or not line) and start:
            old.append(line[1:])
            new.append(line[1:])
    close()
    return found


def _place(lines: list[str], hunk: Hunk, shift: int) -> int | None:
    """Where the hunk's old lines stand, nearest to where it says."""
    wanted = list(hunk.old)
    said = hunk.start - 1 + shift
    places = [
        at for at in range(len(lines) - len(wanted) + 1) if lines[at : at + len(wanted)] == wanted
    ]
    return min(places, key=lambda at: abs(at - said), default=None)


def _title(diff: str) -> str:
    """A `Subject:` or first comment line before the diff, where the command wrote one."""
    head = diff.partition("--- ")[0].strip().splitlines()
    return head[0].removeprefix("Subject:").strip("# ")[:80] if head else ""
