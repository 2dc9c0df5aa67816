"""A patch as a file, for those whose servers are read-only: `git am` and `patch -p1` take it."""

from __future__ import annotations

import re
import time
from email.utils import formatdate
from pathlib import Path

from selfheal_engine.errors import SelfhealError
from selfheal_engine.healer.files import atomic_write, content_hash
from selfheal_engine.healer.git_commit import message
from selfheal_engine.model import Candidate, Incident


def export_patch(candidate: Candidate, incident: Incident | None, folder: Path) -> Path:
    """Write the patch in git's mail format into `folder`; its path. Raises SelfhealError."""
    words = re.sub(r"[^a-z0-9]+", "-", candidate.title.lower()).strip("-")[:50]
    number = f"{incident.number:04d}" if incident is not None else "0001"
    path = folder / f"{number}-{words or candidate.strategy}-{candidate.id[:8]}.patch"
    subject, _, rest = message(candidate, incident).partition("\n\n")
    diff = candidate.diff if candidate.diff.endswith("\n") else candidate.diff + "\n"
    text = (
        f"From {'0' * 40} Mon Sep 17 00:00:00 2001\n"
        "From: selfheal-tui <selfheal-tui@localhost>\n"
        f"Date: {formatdate(time.time())}\n"
        f"Subject: [PATCH] {subject}\n\n{rest}---\n{diff}-- \nselfheal-tui\n"
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as why:
        raise SelfhealError(f"cannot make the folder {folder}: {why.strerror}") from None
    atomic_write(path, text.encode("utf-8", "surrogateescape"), expected=content_hash(path))
    return path
