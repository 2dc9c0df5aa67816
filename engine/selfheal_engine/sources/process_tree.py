"""The service's processes as the kernel sees them.

cpu is percent of one core over the interval; memory is PSS (proportional set size, which
counts shared pages once over all processes, see Documentation/filesystems/proc.rst), or RSS
where smaps_rollup cannot be read.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, field

from selfheal_engine.model import ProcessInfo, Reading
from selfheal_engine.sources import procfs

REFRESH_S = 0.5
"""The tree is not looked for more often than this."""
INODES_S = 20.0
"""Socket inodes are read again after this, or when the number of descriptors changes."""


@dataclass(slots=True)
class _Seen:
    pid: int
    start_ticks: int
    started_s: float
    command: str
    ppid: int
    cpu_s: float
    cpu_percent: float = 0.0
    memory_bytes: int = 0
    threads: int = 0
    descriptors: int = 0
    inodes: frozenset[str] = frozenset()
    inodes_s: float = -1e9


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
        self._refreshed_s = 0.0
        stat = procfs.read_stat(root)
        self._root_ticks = stat.start_ticks if stat is not None else -1
        self._fixed = _limits(root)
        self.memory_note = ""
        self.refresh()

    def alive(self) -> bool:
        """Whether any process of the tree still runs."""
        stat = procfs.read_stat(self.root)
        if stat is not None and stat.running and stat.start_ticks == self._root_ticks:
            return True
        return any(self._still(seen) for seen in self._seen.values())

    def pids(self) -> list[int]:
        return list(self._seen)

    def refresh(self) -> None:
        """Find the tree's processes anew."""
        self._refreshed_s = time.monotonic()
        found = [self.root, *procfs.descendants(self.root)]
        # when the root has gone, its children live on under another parent
        found += [pid for pid in self._seen if pid not in found]
        for pid in found:
            known = self._seen.get(pid)
            stat = procfs.read_stat(pid)
            if stat is None or not stat.running or (pid == self.root and not self._is_root(stat)):
                self._seen.pop(pid, None)
            elif known is None or known.start_ticks != stat.start_ticks:
                self._seen[pid] = _Seen(
                    pid,
                    stat.start_ticks,
                    stat.started_s,
                    procfs.command(pid),
                    stat.ppid,
                    # of a process that began after the last look, everything is new
                    0.0 if self._last_look_before(stat) else stat.cpu_s,
                )
            else:
                known.ppid = stat.ppid

    def _is_root(self, stat: procfs.Stat) -> bool:
        return stat.start_ticks == self._root_ticks

    def _last_look_before(self, stat: procfs.Stat) -> bool:
        return bool(self._seen) and stat.started_s > time.time() - (time.monotonic() - self._last_s)

    def _still(self, seen: _Seen) -> bool:
        stat = procfs.read_stat(seen.pid)
        return stat is not None and stat.running and stat.start_ticks == seen.start_ticks

    def read(self) -> TreeReading:
        """Readings since the last call."""
        self.refresh()
        now = time.monotonic()
        elapsed = max(1e-3, now - self._last_s)
        self._last_s = now
        for seen in self._seen.values():
            _measure(seen, elapsed, now)
        seen_all = self._seen.values()
        inodes = {inode for seen in seen_all for inode in seen.inodes}
        counters = {
            "processes": float(len(self._seen)),
            "threads": float(sum(seen.threads for seen in seen_all)),
            "descriptors": float(sum(seen.descriptors for seen in seen_all)),
            "descriptors_worst": float(max((s.descriptors for s in seen_all), default=0)),
            **_disk_free(self.root),
            **self._fixed,
        }
        if self._seen:
            youngest = max(seen.started_s for seen in seen_all)
            counters["uptime_s"] = max(0.0, time.time() - youngest)
            cpu = Reading(sum(seen.cpu_percent for seen in seen_all))
        else:
            cpu = Reading(None, "the service has ended")
        return TreeReading(cpu, self._memory(), _backlog(self.root, inodes), counters)

    def infos(self, with_probe: set[int], pythons: dict[int, str]) -> tuple[ProcessInfo, ...]:
        """What the service screen shows, root first."""
        if time.monotonic() - self._refreshed_s > REFRESH_S:
            self.refresh()
        found = []
        for pid, seen in sorted(self._seen.items(), key=lambda item: (item[0] != self.root, item)):
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
                    role=self._role(seen),
                )
            )
        return tuple(found)

    def _role(self, seen: _Seen) -> str:
        """master and worker where the tree's shape says so, else nothing."""
        root = self._seen.get(self.root)
        if root is None or not _alike(root, seen):
            return ""
        if seen.pid != self.root:
            return "worker" if seen.ppid == self.root else ""
        same = any(s.ppid == self.root and _alike(s, root) for s in self._seen.values())
        return "master" if same else ""

    def _memory(self) -> Reading:
        total, exact = 0, True
        for pid, seen in self._seen.items():
            size = procfs.pss_bytes(pid)
            if size is None:
                exact = False
                stat = procfs.read_stat(pid)
                size = stat.rss_bytes if stat is not None else 0
            seen.memory_bytes = size
            total += size
        self.memory_note = "" if exact else "RSS: the kernel does not let us read PSS"
        if not self._seen:
            return Reading(None, "the service has ended")
        return Reading(float(total), self.memory_note)


def listens(pids: list[int]) -> bool:
    """Whether any of the processes has a listening TCP socket."""
    return any(procfs.listening(pid, procfs.socket_inodes(pid)) for pid in pids)


def _alike(one: _Seen, other: _Seen) -> bool:
    return one.command == other.command


def _measure(seen: _Seen, elapsed_s: float, now: float) -> None:
    stat = procfs.read_stat(seen.pid)
    if stat is None:
        seen.cpu_percent = 0.0
        return
    seen.cpu_percent = max(0.0, 100.0 * (stat.cpu_s - seen.cpu_s) / elapsed_s)
    seen.cpu_s = stat.cpu_s
    seen.threads = stat.threads
    names = procfs.descriptor_names(seen.pid)
    if names is None:
        return
    if len(names) != seen.descriptors or now - seen.inodes_s > INODES_S:
        seen.inodes = procfs.socket_inodes(seen.pid)
        seen.inodes_s = now
    seen.descriptors = len(names)


def _backlog(root: int, inodes: set[str]) -> int | None:
    found = procfs.listening(root, inodes) or procfs.listening(os.getpid(), inodes)
    return sum(backlog for _, backlog in found) if found else None


def _limits(root: int) -> dict[str, float]:
    """What does not change while the service runs."""
    made = {"cores": float(len(os.sched_getaffinity(0)))}
    memory = procfs.memory_limit_bytes(root)
    if memory is not None:
        made["memory_limit_bytes"] = memory
    descriptors = procfs.descriptor_limit(root)
    if descriptors is not None:
        made["descriptors_limit"] = descriptors
    threads = procfs.threads_limit(root)
    if threads is not None:
        made["threads_limit"] = threads
    return made


def _disk_free(root: int) -> dict[str, float]:
    try:
        return {"disk_free_bytes": float(shutil.disk_usage(f"/proc/{root}/cwd").free)}
    except OSError:
        return {}
