"""Which lines the last deploy changed, from git: a bug that is new is often in what is new."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

GIT_TIMEOUT_S = 3.0
RECENT_S = 7 * 86400.0


def changed_lines(root: Path, file: str, first: int, last: int) -> dict[int, str]:
    """{line: why it counts as recent} for the lines; empty without git or in one commit."""
    out = _git(root, "blame", "--porcelain", "--no-textconv", "-L", f"{first},{last}", "--", file)
    head = _git(root, "rev-parse", "HEAD").strip()
    count = _git(root, "rev-list", "--count", "--max-count=2", "HEAD").strip()
    if not out or count in ("", "0", "1"):
        return {}
    found: dict[int, str] = {}
    times: dict[str, float] = {}
    subjects: dict[str, str] = {}
    commit, line = "", 0
    for text in out.splitlines():
        header = re.match(r"^([0-9a-f]{40}) \d+ (\d+)", text)
        if header:
            commit, line = header[1], int(header[2])
        elif text.startswith("committer-time "):
            times[commit] = float(text.split()[1])
        elif text.startswith("summary "):
            subjects[commit] = text[8:]
        elif text.startswith("\t"):
            if set(commit) == {"0"}:
                found[line] = "not committed yet"
            elif commit == head:
                found[line] = f"changed in the last commit ({subjects.get(commit, '')[:50]})"
            elif time.time() - times.get(commit, 0.0) < RECENT_S:
                found[line] = f"changed in the last week ({subjects.get(commit, '')[:50]})"
    return found


def last_good_text(root: Path, file: str) -> str:
    """The file's text in the last commit before the one that touched it last; "" without one."""
    commits = _git(root, "log", "--format=%H", "-n", "2", "--", file).split()
    return _git(root, "show", f"{commits[-1]}:./{file}") if commits else ""


def _git(root: Path, *arguments: str) -> str:
    """Git's answer, "" when there is none: history is a hint, never a need."""
    git = shutil.which("git")
    if git is None:
        return ""
    command = [git, "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", *arguments]
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        run = subprocess.run(
            command,
            cwd=root,
            capture_output=True,
            timeout=GIT_TIMEOUT_S,
            env=environment,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return run.stdout.decode(errors="replace") if run.returncode == 0 else ""
