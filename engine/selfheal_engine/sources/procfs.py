"""Single files of /proc, read once and parsed by hand: cheap enough for every tick.

Fields of /proc/<pid>/stat are numbered as in proc_pid_stat(5).
"""

from __future__ import annotations

import functools
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
_PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Stat:
    """What one process is doing now."""

    pid: int
    ppid: int
    session: int
    state: str
    cpu_s: float
    threads: int
    start_ticks: int
    """Clock ticks after boot: with the pid, what makes a process the same one."""
    rss_bytes: int

    @property
    def running(self) -> bool:
        return self.state not in ("Z", "X", "x")

    @property
    def started_s(self) -> float:
        return boot_time_s() + self.start_ticks / TICKS


def read_stat(pid: int) -> Stat | None:
    """The process's state; None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as stream:
            text = stream.read(2048)
    except OSError:
        return None
    # the name in brackets may hold anything, also brackets
    fields = text[text.rindex(b")") + 2 :].split()
    try:
        return Stat(
            pid,
            int(fields[1]),
            int(fields[3]),
            fields[0].decode(),
            (int(fields[11]) + int(fields[12])) / TICKS,
            int(fields[17]),
            int(fields[19]),
            int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
        )
    except (IndexError, ValueError):
        return None


@functools.cache
def boot_time_s() -> float:
    """Unix time of the machine's start."""
    found = re.search(r"^btime (\d+)", Path("/proc/stat").read_text(), re.MULTILINE)
    return float(found.group(1)) if found else time.time() - time.monotonic()


def children(pid: int) -> list[int]:
    """Direct children; through the kernel's own list where it keeps one."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as stream:
                found += map(int, stream.read().split())
    except FileNotFoundError:
        return found if os.path.exists(f"/proc/{pid}") and _keeps_children() else _search(pid)
    except OSError:
        return found
    return found


@functools.cache
def _keeps_children() -> bool:
    return os.path.exists(f"/proc/self/task/{os.getpid()}/children")


def _search(parent: int) -> list[int]:
    stats = (read_stat(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return [stat.pid for stat in stats if stat is not None and stat.ppid == parent]


def descendants(root: int) -> list[int]:
    """Everything below a process, parents first."""
    found: list[int] = []
    pending = [root]
    while pending:
        for child in children(pending.pop(0)):
            if child not in found:
                found.append(child)
                pending.append(child)
    return found


def ancestors(pid: int) -> set[int]:
    """Parents up to the first process."""
    found: set[int] = set()
    stat = read_stat(pid)
    while stat is not None and stat.ppid > 0 and stat.ppid not in found:
        found.add(stat.ppid)
        stat = read_stat(stat.ppid)
    return found


def command(pid: int) -> str:
    """The command line as one text."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return raw.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")


def pss_bytes(pid: int) -> int | None:
    """Proportional set size; None where the kernel does not let us read it."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return None
    found = _PSS.search(text)
    return int(found.group(1)) * 1024 if found else None


def descriptor_names(pid: int) -> list[str] | None:
    """Numbers of the open descriptors; None where they cannot be listed."""
    try:
        return os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return None


def socket_inodes(pid: int) -> frozenset[str]:
    """Inodes of the sockets that a process holds."""
    found = set()
    for name in descriptor_names(pid) or ():
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return frozenset(found)


def descriptor_limit(pid: int) -> float | None:
    """The process's soft limit of open descriptors."""
    try:
        text = Path(f"/proc/{pid}/limits").read_text()
    except OSError:
        return None
    found = re.search(r"^Max open files\s+(\d+)", text, re.MULTILINE)
    return float(found.group(1)) if found else None


def memory_limit_bytes(pid: int) -> float | None:
    """The cgroup's limit (v2 memory.max, v1 limit_in_bytes), else the machine's memory."""
    limits = _cgroup_limits(pid, "memory", "memory.max", "memory.limit_in_bytes")
    found = re.search(r"^MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    if found:
        limits.append(float(found.group(1)) * 1024)
    return min(limits) if limits else None


def threads_limit(pid: int) -> float | None:
    """The cgroup's limit of tasks (pids.max); None where there is none."""
    return min(_cgroup_limits(pid, "pids", "pids.max", "pids.max"), default=None)


def _cgroup_limits(pid: int, controller: str, file_v2: str, file_v1: str) -> list[float]:
    """The numbers in the files of the process's cgroups; "max" is none."""
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return []
    limits = []
    for line in groups:
        number, controllers, path = line.split(":", 2)
        if number == "0":
            file = f"/sys/fs/cgroup{path}/{file_v2}"
        elif controller in controllers.split(","):
            file = f"/sys/fs/cgroup/{controller}{path}/{file_v1}"
        else:
            continue
        try:
            limits.append(float(Path(file).read_text()))
        except (OSError, ValueError):
            continue
    return limits


def listening(pid: int, inodes: frozenset[str] | set[str]) -> list[tuple[int, int]]:
    """(port, accept backlog) of the listening TCP sockets among `inodes`.

    For sockets in state 0A (LISTEN), rx_queue of /proc/net/tcp is the number of connections
    that are established and not yet accepted (net/ipv4/tcp_ipv4.c, get_tcp4_sock).
    """
    found = []
    for name in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            if " 0A " not in line:
                continue
            parts = line.split()
            if len(parts) > 9 and parts[3] == "0A" and parts[9] in inodes:
                port = int(parts[1].rsplit(":", 1)[1], 16)
                found.append((port, int(parts[4].split(":")[1], 16)))
    return found


def python_pids() -> list[int]:
    """Processes that run a Python interpreter, as far as we may look."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            program = os.path.basename(os.readlink(f"/proc/{name}/exe"))
        except OSError:
            continue
        if program.startswith("python"):
            found.append(int(name))
    return found


def switched_off_by(command_line: str) -> str:
    """The interpreter's option that leaves PYTHONPATH or site aside (-I, -E, -S); "" for none."""
    words = command_line.split(" ")[1:]
    while words:
        word = words.pop(0)
        if not word.startswith("-") or word == "-":
            return ""
        if word.startswith("--"):
            if word == "--check-hash-based-pycs":
                words = words[1:]
            continue
        for place, letter in enumerate(word[1:], 1):
            if letter in "IES":
                return f"-{letter}"
            if letter in "cm":
                return ""
            if letter in "WX":  # the rest is its value, or the next word
                words = words if word[place + 1 :] else words[1:]
                break
    return ""
