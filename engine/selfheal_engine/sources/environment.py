"""What this machine lets the probe and the sources do, for `doctor`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Literal

from selfheal_engine.sources import launching, procfs

State = Literal["ok", "warn", "bad"]
Row = tuple[str, State, str, str]
"""(name, state, what is, what to do about it)."""


def doctor_rows() -> list[Row]:
    """One row for each ability."""
    return [_ptrace(), _pss(), *_pythons(), _run_dir(), _remote_attach(), _isolated()]


def _ptrace() -> Row:
    try:
        scope = int(Path("/proc/sys/kernel/yama/ptrace_scope").read_text())
    except (OSError, ValueError):
        scope = 0
    if scope == 0 or os.geteuid() == 0:
        return ("ptrace", "ok", "stacks of running processes can be read from outside", "")
    return (
        "ptrace",
        "warn",
        f"kernel.yama.ptrace_scope is {scope}: no stacks of processes without the probe",
        "sudo sysctl kernel.yama.ptrace_scope=0, or start the service with the probe",
    )


def _pss() -> Row:
    try:
        readable = "Pss:" in Path("/proc/self/smaps_rollup").read_text()
    except OSError:
        readable = False
    if readable:
        return ("memory", "ok", "shared pages are counted once (PSS)", "")
    return ("memory", "warn", "PSS cannot be read, RSS is shown", "a kernel from 4.14 on has it")


def _pythons() -> list[Row]:
    found = []
    for minor in range(9, 15):
        path = shutil.which(f"python3.{minor}")
        if path is None:
            continue
        try:
            run = subprocess.run(
                [path, "-c", "import sys; print(sys.version.split()[0])"],
                capture_output=True,
                text=True,
                timeout=10,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if run.returncode == 0:
            found.append(run.stdout.strip())
    text = "the probe runs on " + ", ".join(found) if found else "no Python from 3.9 on in PATH"
    return [("pythons", "ok" if found else "warn", text, "")]


def _run_dir() -> Row:
    from selfheal_engine.config import Settings

    folder = Settings().run_path()
    existing = next((p for p in (folder, *folder.parents) if p.exists()), Path("/"))
    if os.access(existing, os.W_OK):
        return ("sockets", "ok", f"sockets are kept in {folder}", "")
    return ("sockets", "bad", f"{folder} cannot be written", "set $SELFHEAL_RUN_DIR")


def _isolated() -> Row:
    """`python -I`, `-E` and `-S` ignore PYTHONPATH or site, and with it the probe."""
    found = {pid: procfs.switched_off_by(procfs.command(pid)) for pid in procfs.python_pids()}
    pids = [pid for pid, option in found.items() if option]
    if not pids:
        return ("isolated", "ok", "no running Python was started with -I, -E or -S", "")
    options = ", ".join(sorted({found[pid] for pid in pids}))
    return (
        "isolated",
        "warn",
        f"started with {options}, which keep the probe out: {_listed(pids)}",
        launching.way_in(options),
    )


def _listed(pids: list[int]) -> str:
    return ", ".join(str(pid) for pid in pids[:5]) + (", ..." if len(pids) > 5 else "")


def _remote_attach() -> Row:
    path = shutil.which("python3.14")
    if path:
        return ("attach", "ok", "Python 3.14 services can take the probe while they run", "")
    return (
        "attach",
        "warn",
        "the probe cannot enter running services of Python 3.13 and older",
        "start them with `selfheal-tui probe -- CMD`, or watch them from outside",
    )
