"""The service's processes as the kernel sees them: psutil and /proc.

cpu is percent of one core over the interval; memory is PSS (proportional set size, which
counts shared pages once over all processes, see Documentation/filesystems/proc.rst), or RSS
where smaps_rollup cannot be read.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from selfheal_engine.model import ProcessInfo, Reading


REFRESH_S = 0.5
"""The tree is not looked for more often than this."""


@dataclass(slots=True)
class _Seen:
    process: psutil.Process
    cpu_s: float = 0.0
    cpu_percent: float = 0.0
    memory_bytes: int = 0
    threads: int = 0
    descriptors: int = 0
    command: str = ""
    started_s: float = 0.0
    ppid: int = 0
    fresh: bool = True


@dataclass(slots=True)
class TreeReading:
    """One look at the whole tree."""

    cpu: Reading
    memory: Reading
    backlog: int | None
    """Connections that wait in accept queues; None where no listening socket was found."""
    counters: dict[str, float] = field(default_factory=dict)


class ProcessTree:
    """A root process and everything below it or in its session."""

    def __init__(self, root: int) -> None:
        self.root = root
        self._seen: dict[int, _Seen] = {}
        self._last_s = time.monotonic()
        self._started = 0
        self._refreshed_s = 0.0
        self.memory_note = ""
        self.refresh()

    def alive(self) -> bool:
        """Whether any process of the tree still runs."""
        try:
            status = psutil.Process(self.root).status()
            if status != psutil.STATUS_ZOMBIE:
                return True
        except psutil.Error:
            pass
        return any(_running(seen.process) for seen in self._seen.values() if seen.fresh)

    def pids(self) -> list[int]:
        return list(self._seen)

    def refresh(self) -> None:
        """Find the tree's processes anew."""
        self._refreshed_s = time.monotonic()
        found: dict[int, psutil.Process] = {}
        try:
            root = psutil.Process(self.root)
            found[root.pid] = root
            for child in root.children(recursive=True):
                found[child.pid] = child
        except psutil.Error:
            for pid, seen in self._seen.items():
                if _running(seen.process):
                    found[pid] = seen.process
        for pid, process in found.items():
            if pid not in self._seen and _running(process):
                self._seen[pid] = _first_look(process)
                self._started += 1
        for pid in [pid for pid in self._seen if pid not in found or not _running(found[pid])]:
            del self._seen[pid]

    def read(self) -> TreeReading:
        """Readings since the last call."""
        self.refresh()
        now = time.monotonic()
        elapsed = max(1e-3, now - self._last_s)
        self._last_s = now
        cpu_total = 0.0
        for seen in self._seen.values():
            _measure(seen, elapsed)
            cpu_total += seen.cpu_percent
        memory = self._memory()
        inodes = {inode for pid in self._seen for inode in _socket_inodes(pid)}
        counters = {
            "processes": float(len(self._seen)),
            "threads": float(sum(seen.threads for seen in self._seen.values())),
            "descriptors": float(sum(seen.descriptors for seen in self._seen.values())),
        }
        if self._seen:
            youngest = max(seen.started_s for seen in self._seen.values())
            counters["uptime_s"] = max(0.0, time.time() - youngest)
        return TreeReading(
            Reading(cpu_total) if self._seen else Reading(None, "the service has ended"),
            memory,
            _backlog(self.root, inodes),
            counters,
        )

    def infos(self, with_probe: set[int], pythons: dict[int, str]) -> tuple[ProcessInfo, ...]:
        """What the service screen shows, root first."""
        if time.monotonic() - self._refreshed_s > REFRESH_S:
            self.refresh()
        found = []
        for pid, seen in sorted(self._seen.items(), key=lambda item: item[0]):
            found.append(
                ProcessInfo(
                    pid=pid,
                    ppid=seen.ppid,
                    command=seen.command,
                    started_s=seen.started_s,
                    python=pythons.get(pid, ""),
                    has_probe=pid in with_probe,
                    cpu_percent=seen.cpu_percent,
                    memory_bytes=seen.memory_bytes,
                    threads=seen.threads,
                    descriptors=seen.descriptors,
                    role=self._role(pid, seen),
                )
            )
        return tuple(found)

    def _role(self, pid: int, seen: _Seen) -> str:
        """master and worker where the tree's shape says so, else nothing."""
        same = [p for p, s in self._seen.items() if s.ppid == self.root and _alike(s, seen)]
        if pid == self.root:
            return "master" if any(_alike(self._seen[p], seen) for p in same) else ""
        root = self._seen.get(self.root)
        if root is not None and seen.ppid == self.root and _alike(root, seen):
            return "worker"
        return ""

    def _memory(self) -> Reading:
        total, exact = 0, True
        for pid, seen in self._seen.items():
            pss = _pss_bytes(pid)
            if pss is None:
                exact = False
                try:
                    pss = int(seen.process.memory_info().rss)
                except psutil.Error:
                    pss = 0
            seen.memory_bytes = pss
            total += pss
        self.memory_note = "" if exact else "RSS: the kernel does not let us read PSS"
        if not self._seen:
            return Reading(None, "the service has ended")
        return Reading(float(total), self.memory_note)


def _alike(one: _Seen, other: _Seen) -> bool:
    return one.command == other.command


def _running(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _first_look(process: psutil.Process) -> _Seen:
    seen = _Seen(process)
    try:
        with process.oneshot():
            times = process.cpu_times()
            seen.cpu_s = times.user + times.system
            seen.command = " ".join(process.cmdline()) or process.name()
            seen.started_s = process.create_time()
            seen.ppid = process.ppid()
    except psutil.Error:
        seen.fresh = False
    return seen


def _measure(seen: _Seen, elapsed_s: float) -> None:
    try:
        with seen.process.oneshot():
            times = seen.process.cpu_times()
            cpu_s = times.user + times.system
            seen.cpu_percent = max(0.0, 100.0 * (cpu_s - seen.cpu_s) / elapsed_s)
            seen.cpu_s = cpu_s
            seen.threads = seen.process.num_threads()
            seen.ppid = seen.process.ppid()
            if not seen.command or seen.command == seen.process.name():
                seen.command = " ".join(seen.process.cmdline()) or seen.process.name()
        seen.descriptors = seen.process.num_fds()
    except psutil.Error:
        seen.cpu_percent = 0.0


def _pss_bytes(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return None
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(found.group(1)) * 1024 if found else None


def _socket_inodes(pid: int) -> set[str]:
    found = set()
    try:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            try:
                target = os.readlink(entry.path)
            except OSError:
                continue
            if target.startswith("socket:["):
                found.add(target[8:-1])
    except OSError:
        return found
    return found


def listening(pid: int, inodes: set[str]) -> list[tuple[int, int]]:
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
            parts = line.split()
            if len(parts) > 9 and parts[3] == "0A" and parts[9] in inodes:
                port = int(parts[1].rsplit(":", 1)[1], 16)
                found.append((port, int(parts[4].split(":")[1], 16)))
    return found


def listens(pids: list[int]) -> bool:
    """Whether any of the processes has a listening TCP socket."""
    return any(listening(pid, _socket_inodes(pid)) for pid in pids)


def _backlog(root: int, inodes: set[str]) -> int | None:
    found = listening(root, inodes) or listening(os.getpid(), inodes)
    return sum(backlog for _, backlog in found) if found else None
