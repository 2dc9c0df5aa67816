"""A damaged history made readable again: every line that still verifies, in a new file."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from selfheal_engine.episodic_memory import journal
from selfheal_engine.episodic_memory.migration import HEADER
from selfheal_engine.errors import HistoryError


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What came of it; `damaged` is where the old file lies now."""

    kept: int
    lost: int
    damaged: Path


def salvage_history(path: Path) -> Salvaged | None:
    """Rewrite a damaged history; None when nothing was wrong with it. Raises HistoryError.

    The damaged file is moved aside, not deleted. End every engine that uses it first.
    """
    try:
        content = path.read_bytes()
    except OSError as why:
        raise HistoryError(f"cannot read {path}: {why.strerror}") from None
    if journal.scan(content).tail != "damaged":
        return None
    payloads, lost = journal.salvage(content)
    commits = [payload for payload in payloads if payload != HEADER]
    lines, checksum = [], journal.START
    for payload in [HEADER, *commits]:
        line, checksum = journal.seal(checksum, payload)
        lines.append(line)
    aside = path.with_name(f"{path.name}.damaged-{int(time.time())}")
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        os.link(path, aside)
        os.rename(temporary, path)
    except OSError as why:
        raise HistoryError(f"cannot rewrite {path}: {why.strerror}") from None
    return Salvaged(len(commits), lost, aside)
