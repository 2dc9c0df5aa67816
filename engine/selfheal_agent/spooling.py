"""What a process leaves for the app when it ends before anybody read it.

One file each time, `<run dir>/<pid>-<root>-<when>.left`, the lines of its ring; the app that
watches the service reads and removes it. Where nobody ever comes, a service's number of files is
bounded: then only how many records were dropped is written down, in one file for all of them.
Of services that nobody ever asked after, the oldest file goes.
"""

from __future__ import annotations

import os
import time

MAX_FILES = 200
"""Of one service."""
MAX_OF_ALL = 2_000
_NEW = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC


def spool(folder: str, pid: int, root: str, lines: list[bytes]) -> bool:
    """Write the lines down; False where not all of them could be. Never raises.

    A full disk leaves an incomplete last line, by which the reader knows.
    """
    try:
        names = [name for name in os.listdir(folder) if name.endswith(".left")]
        if len(names) >= MAX_OF_ALL:
            os.unlink(os.path.join(folder, min(names, key=_when)))
        if sum(f"-{root}-" in name for name in names) >= MAX_FILES:
            path = os.path.join(folder, f"0-{root}-0.left")
            return _write(path, os.O_APPEND, b'{"t":"dropped","count":%d}\n' % len(lines))
        path = os.path.join(folder, f"{pid}-{root}-{time.time_ns()}.left")
        whole = _write(path + ".new", os.O_EXCL, b"".join(lines))
        os.rename(path + ".new", path)  # nobody reads half of it
    except OSError:
        return False
    return whole


def _write(path: str, how: int, text: bytes) -> bool:
    fd = os.open(path, _NEW | how, 0o600)
    try:
        rest = memoryview(text)
        while rest:
            rest = rest[os.write(fd, rest) :]
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _when(name: str) -> int:
    when = name.rpartition("-")[2][: -len(".left")]
    return int(when) if when.isdigit() else 0
