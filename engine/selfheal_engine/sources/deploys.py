"""Was the service deployed anew? New processes that run other source than the ones before.

A restart alone is none: workers are recycled, and what crashes is started again. The source is
known by the names, sizes and times of the project's Python files, looked at only when a process
has come that was not there before.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

LOOK_EVERY_S = 10.0
MOST_FILES, MOST_FOLDERS = 5000, 2000
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "venv", "env"})

Print = tuple[int, int]


class Deploys:
    """`update(pids)` -> how many deploys there have been since the first look."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._pids: frozenset[int] = frozenset()
        self._print: Print | None = None
        self._looked_s = float("-inf")
        self._due = False
        self._number = 0

    def update(self, pids: Iterable[int]) -> int:
        """The processes that run now."""
        now = frozenset(pids)
        self._due |= bool(now - self._pids)
        self._pids = now
        if not self._due or time.monotonic() - self._looked_s < LOOK_EVERY_S:
            return self._number
        self._due = False
        self._looked_s = time.monotonic()
        before, self._print = self._print, source_print(self._root)
        self._number += before is not None and self._print != before
        return self._number


def source_print(root: Path) -> Print:
    """(number, digest) of the Python files below `root`; equal as long as none was touched."""
    number = digest = folders = 0
    waiting = [os.fspath(root)]
    while waiting and number < MOST_FILES and folders < MOST_FOLDERS:
        folder = waiting.pop()
        folders += 1
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or entry.name in _SKIPPED:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif entry.name.endswith(".py"):
                        status = entry.stat()
                        number += 1
                        digest ^= hash((entry.path, status.st_mtime_ns, status.st_size))
        except OSError:
            continue  # a folder that is being replaced is seen whole at the next look
    return number, digest
