"""Versions of the history file: what the first line says, and how older files come forward.

Version 0 is a stock TinyDB file (one JSON object, as `JSONStorage` writes it); version 1 is
the journal. A migration keeps the file it started from beside the new one. A file from a
newer version is refused and left alone.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from selfheal_engine.episodic_memory import journal
from selfheal_engine.errors import HistoryError

VERSION = 1
HEADER = json.dumps({"format": "selfheal-tui history", "version": VERSION}).encode("ascii")


def is_stock(content: bytes) -> bool:
    """A stock TinyDB file; a journal's line never begins with a brace."""
    return content.lstrip()[:1] == b"{"


def migrate_stock(content: bytes, path: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """The tables of a version 0 file, of which a copy stays at `<path>.v0`."""
    try:
        tables = json.loads(content)
    except ValueError as why:
        raise HistoryError(
            f"{path} looks like a TinyDB file but is not whole ({why}): nothing was changed; "
            "mend it or move it away"
        ) from None
    if not all(
        isinstance(table, dict) and all(isinstance(doc, dict) for doc in table.values())
        for table in tables.values()
    ):
        raise HistoryError(f"{path} is JSON but not a TinyDB file: move it away")
    backup = path.with_name(path.name + ".v0")
    if not backup.exists():
        os.link(path, backup)
    return dict(tables)


def is_torn_header(content: bytes) -> bool:
    """A writer died while it made the file: there is nothing in it yet."""
    line, _ = journal.seal(journal.START, HEADER)
    return len(content) < len(line) and line.startswith(content)


def check_header(first: list[bytes], path: Path) -> None:
    """Raises HistoryError unless the first line is the header of a version that we can read."""
    try:
        header = json.loads(first[0]) if first else {}
        version = int(header["version"]) if "format" in header else 0
    except (ValueError, TypeError, KeyError):
        version = 0
    if not version:
        raise HistoryError(
            f"{path} is no history of ours, or its first line is damaged: nothing was changed; "
            "move it away to begin anew"
        )
    if version > VERSION:
        raise HistoryError(
            f"{path} was written by a newer selfheal-tui (format {version}, this one reads up "
            f"to {VERSION}): update selfheal-tui, or choose another --state"
        )
