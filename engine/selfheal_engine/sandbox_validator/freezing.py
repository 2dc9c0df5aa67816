"""The service runs on while its patches are judged: what it writes meanwhile is frozen.

A database or log inside the project is part of the overlay's lower layer and changes under it.
Every replay must read the same, or good calls would differ by what customers did in between.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from selfheal_engine.project import SKIPPED_FOLDERS

LIVE_S = 3600.0
"""A file written within the last hour may be written again while patches are judged."""
FILE_AT_MOST_BYTES = 8 << 20
TOGETHER_AT_MOST_BYTES = 16 << 20
_CODE = (".py", ".pyc", ".pyi", ".so", ".html", ".toml", ".cfg", ".ini", ".md", ".rst")


def live_files(root: Path, now_s: float | None = None) -> dict[str, bytes]:
    """Contents of the data files that were written lately, newest first, bounded."""
    now_s = time.time() if now_s is None else now_s
    found: list[tuple[float, str, int]] = []
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if name not in SKIPPED_FOLDERS]
        for name in files:
            path = os.path.join(folder, name)
            try:
                state = os.lstat(path)
            except OSError:
                continue
            young = now_s - state.st_mtime < LIVE_S
            plain = os.path.isfile(path) and not os.path.islink(path)
            if young and plain and not name.endswith(_CODE) and state.st_size < FILE_AT_MOST_BYTES:
                found.append((state.st_mtime, path, state.st_size))
    kept: dict[str, bytes] = {}
    room = TOGETHER_AT_MOST_BYTES
    for _, path, size in sorted(found, reverse=True):
        if size > room:
            continue
        try:
            kept[os.path.relpath(path, root)] = Path(path).read_bytes()
        except OSError:
            continue
        room -= size
    return kept
