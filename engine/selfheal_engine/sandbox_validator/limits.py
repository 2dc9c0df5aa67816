"""Limits of one sandbox, and the watch over its process tree from outside."""

from __future__ import annotations

import os
from dataclasses import dataclass

MIB = 1 << 20
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_STOP_AT = 0.92
"""A tree is stopped a little below its limit: between two looks it grows further."""
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use. Memory, CPU and processes count for the whole tree."""

    wall_s: float = 60.0
    cpu_s: float = 0.0
    """0: as much as the wall time allows on two cores."""
    memory_bytes: int = 1024 * MIB
    disk_bytes: int = 384 * MIB
    """Everything the run writes: the project's overlay, /tmp and /dev/shm together."""
    files: int = 40_000
    """Inodes that the run may create."""
    processes: int = 128
    descriptors: int = 1024
    output_bytes: int = 8 * MIB
    """Kept of standard output and of standard error, each; the rest is read and dropped."""

    @property
    def cpu_limit_s(self) -> float:
        return self.cpu_s or max(2.0, 2 * self.wall_s)


@dataclass(frozen=True, slots=True)
class TreeUse:
    """What a process tree uses at one time."""

    processes: int
    memory_bytes: int
    cpu_s: float


def tree(root: int) -> list[int]:
    """Process ids of `root` and its descendants (/proc/PID/task/TID/children, proc(5))."""
    found, pending = [], [root]
    while pending:
        pid = pending.pop()
        found.append(pid)
        try:
            tasks = os.listdir(f"/proc/{pid}/task")
        except OSError:
            continue
        for task in tasks:
            try:
                with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                    pending.extend(map(int, file.read().split()))
            except OSError:
                continue
    return found


def use(root: int, *, shared: bool = False) -> TreeUse:
    """What `root`'s tree uses now.

    Memory is the sum of RSS, which counts pages that forked processes share once for each of
    them; with `shared` it is the sum of PSS where the kernel shows it, which costs more.
    """
    pids = tree(root)
    memory, ticks = 0, 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))
        resident = int(fields[21]) * _PAGE_BYTES
        memory += (proportional_bytes(pid) if shared else None) or resident
    return TreeUse(len(pids), memory, ticks / _TICKS_PER_S)


def proportional_bytes(pid: int) -> int | None:
    """PSS of one process, None where it cannot be read."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        return None
    return None


def exceeded(root: int, limits: Limits) -> str:
    """Which limit the tree is beyond, in words; "" when none."""
    now = use(root)
    allowed = limits.memory_bytes * _STOP_AT
    if now.memory_bytes > allowed:
        now = use(root, shared=True)
        if now.memory_bytes > allowed:
            return f"memory: more than {limits.memory_bytes // MIB} MiB in the process tree"
    if now.cpu_s > limits.cpu_limit_s:
        return f"cpu: more than {limits.cpu_limit_s:g} s in the process tree"
    return ""
