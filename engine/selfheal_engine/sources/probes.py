"""All probe processes of one service: workers come and go, totals stay exact."""

from __future__ import annotations

import json
import os
import select
import time
from collections import Counter
from pathlib import Path
from typing import Any

from selfheal_engine.model import SwapResult
from selfheal_engine.sources.connection import ProbeConnection, ask_all
from selfheal_engine.sources.discovery import Card, family, read_cards

RESCAN_S = 0.4
FORCED_SCAN_S = 3.0
"""The folder is read this often even when its time of change says nothing new."""
OF_USE_S = 10.0
"""A process that ends sooner than this after its start has died, however orderly."""


class RouteCounts:
    """Cumulative counts of one route over all processes, ended ones included."""

    __slots__ = ("errors", "histogram", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.histogram: Counter[int] = Counter()


class ProbeSet:
    """Connections to every probe of the service that starts at `root`."""

    def __init__(self, run_dir: Path, root: int, *, name: str = "") -> None:
        self.run_dir = run_dir
        self.root = root
        self.name = name
        self.cards: dict[int, Card] = {}
        self.requests = 0
        self.errors = 0
        self.exceptions = 0
        self.outside = 0
        """Exceptions outside any request."""
        self.drops = 0
        self.restarts = 0
        self.routes: dict[str, RouteCounts] = {}
        self.totals: Counter[str] = Counter()
        self.notes: dict[str, None] = {}
        self._connections: dict[int, ProbeConnection] = {}
        self._refused: dict[Path, float] = {}
        self._folder_seen = -1
        self._left: list[tuple[int, dict[str, Any]]] = []
        self._forced_scan = 0.0
        self._last_stats: dict[int, dict[str, Any]] = {}
        self._ended = 0
        """Processes that died and were not replaced yet."""
        self._next_scan = 0.0
        self.woken = False
        self._wake_r, self._wake_w = os.pipe()
        os.set_blocking(self._wake_r, False)
        os.set_blocking(self._wake_w, False)

    # ------------------------------------------------------------ connections
    @property
    def connections(self) -> list[ProbeConnection]:
        return [c for c in self._connections.values() if not c.gone]

    def taken_by(self) -> int:
        """Process of another app that holds the service; 0: we hold it, or nobody does."""
        return next((c.taken_by for c in self.connections if not c.owner and c.taken_by), 0)

    def scan(self) -> None:
        """Connect to probes that are new."""
        self._next_scan = time.monotonic() + RESCAN_S
        now = self._folder_changed()
        unchanged = now == self._folder_seen and not self._refused
        if unchanged and time.monotonic() < self._forced_scan:
            return
        self._forced_scan = time.monotonic() + FORCED_SCAN_S
        self._left.extend(self.left_behind())
        self._folder_seen = now
        self._refused = {p: s for p, s in self._refused.items() if s > time.monotonic()}
        cards = family(read_cards(self.run_dir), self.root)
        for card in cards:
            known = self._connections.get(card.pid)
            if known is not None and not known.gone:
                continue
            if card.socket in self._refused:
                continue
            try:
                self._connections[card.pid] = ProbeConnection(card.socket)
                if self._ended > 0 and card.pid not in self.cards:
                    self._ended -= 1
                    self.restarts += 1
                self.cards[card.pid] = card
                # a child of fork starts anew under another pid; a reused pid does as well
                self._last_stats.pop(card.pid, None)
            except OSError as why:
                self._refused[card.socket] = time.monotonic() + 2.0
                self.notes[str(why)] = None

    def _folder_changed(self) -> int:
        try:
            return self.run_dir.stat().st_mtime_ns
        except OSError:
            return 0

    def wake(self) -> None:
        """Thread-safe: let `wait` return now."""
        try:
            os.write(self._wake_w, b"x")
        except OSError:
            return

    def wait(self, timeout_s: float) -> list[tuple[int, dict[str, Any]]]:
        """(pid, message) of what came within `timeout_s`; returns as soon as something came."""
        if time.monotonic() >= self._next_scan:
            self.scan()
        end = time.monotonic() + timeout_s
        self.woken = False
        found = self._collect()
        while not found:
            left = min(end, self._next_scan) - time.monotonic()
            waited_for: list[Any] = [self._wake_r, *self.connections]
            ready, _, _ = select.select(waited_for, [], [], max(0.0, left))
            for connection in ready:
                if isinstance(connection, ProbeConnection):
                    connection.receive()
            found = self._collect()
            if self._wake_r in ready:
                self._drain_wake()
                self.woken = True
                break
            if time.monotonic() >= end:
                break
            if time.monotonic() >= self._next_scan:
                self.scan()
                break  # let the caller look at the process, too
        return found

    def follow(self, root: int) -> None:
        """The service was started anew below `root`: those that ended did so on purpose."""
        self._left.extend(self._collect())
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()
        self._ended = 0
        self.root = root
        self._folder_seen = -1
        self.scan()

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()
        for fd in (self._wake_r, self._wake_w):
            if fd >= 0:
                os.close(fd)
        self._wake_r = self._wake_w = -1

    def _drain_wake(self) -> None:
        try:
            os.read(self._wake_r, 4096)
        except OSError:
            return

    def _collect(self) -> list[tuple[int, dict[str, Any]]]:
        found: list[tuple[int, dict[str, Any]]] = []
        for pid, connection in list(self._connections.items()):
            for message in connection.messages():
                if message.get("t") == "stats":
                    self._count(pid, message)
                else:
                    found.append((pid, message))
            if connection.gone:
                connection.close()
                del self._connections[pid]
                found.extend(self.left_behind(pid))
                self._ended += self._died(pid)
        found.extend(self._left)
        self._left.clear()
        return found

    def _died(self, pid: int) -> bool:
        """Whether a process that is gone crashed, or ended before it was of any use.

        A worker that leaves after its share of requests, in an orderly way, is none that died.
        """
        card = self.cards.get(pid)
        if self._last_stats.get(pid, {}).get("ending") != "exit" or card is None:
            return True
        return time.time() - card.started_s < OF_USE_S

    def left_behind(self, only: int = 0) -> list[tuple[int, dict[str, Any]]]:
        """Records of processes that ended before we could read them."""
        found: list[tuple[int, dict[str, Any]]] = []
        roots = {self.root, *self.cards}
        try:
            names = sorted(n for n in os.listdir(self.run_dir) if n.endswith(".left"))
        except OSError:
            return found
        for name in names:
            pid, root = [*name.removesuffix(".left").split("-"), "", ""][:2]
            if not pid.isdigit() or not root.isdigit() or (only and int(pid) != only):
                continue
            if int(root) in roots or int(pid) in roots:
                found.extend((int(pid), message) for message in self._read_left(name, int(pid)))
        return found

    def _read_left(self, name: str, pid: int) -> list[dict[str, Any]]:
        path = self.run_dir / name
        try:
            if path.stat().st_uid not in (os.geteuid(), self.run_dir.stat().st_uid):
                return []
            text = path.read_text(encoding="utf-8", errors="replace")
            path.unlink()
        except OSError:
            return []
        found = []
        if not text.endswith("\n"):
            self.drops += 1
            self.notes[f"process {pid} could not write down all it left: is the disk full?"] = None
        for line in text.splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue  # the cut one
        for message in [m for m in found if m.get("t") == "stats"]:
            self._count(pid, message)
        self.drops += sum(int(m["count"]) for m in found if m.get("t") == "dropped")
        return [m for m in found if m.get("t") not in ("stats", "dropped")]

    # ------------------------------------------------------------ questions
    def requests_of(self, pid: int) -> int:
        """Requests that one process has served, as far as it told."""
        return int(self._last_stats.get(pid, {}).get("requests", 0))

    def ask(
        self, message: dict[str, Any], timeout_s: float, pids: tuple[int, ...] = ()
    ) -> dict[int, dict[str, Any]]:
        """Answers by pid; processes that do not answer in time are left out."""
        chosen = [c for c in self.connections if not pids or c.pid in pids]
        return ask_all(chosen, message, timeout_s)

    def durations(self, route: str) -> dict[int, Counter[int]]:
        """Durations of the requests of one route ("": of all), by process, since each began."""
        found: dict[int, Counter[int]] = {}
        for pid in [connection.pid for connection in self.connections]:
            routes = self._last_stats.get(pid, {}).get("routes", {})
            counts: Counter[int] = Counter()
            for name, (_, _, durations) in routes.items():
                if route in ("", name):
                    counts.update({int(bucket): count for bucket, count in durations.items()})
            found[pid] = counts
        return found

    def refresh_stats(self, timeout_s: float) -> dict[int, dict[str, Any]]:
        """Ask every probe for its counts and add what is new to the totals."""
        answers = self.ask({"t": "stats"}, timeout_s)
        for pid, answer in answers.items():
            if answer.get("ok"):
                self._count(pid, answer)
        return answers

    def _count(self, pid: int, stats: dict[str, Any]) -> None:
        before = self._last_stats.get(pid, {})
        self._last_stats[pid] = stats
        self.requests += _more(stats, before, "requests")
        self.errors += _more(stats, before, "errors")
        self.exceptions += _more(stats, before, "exceptions")
        self.outside += _more(stats, before, "outside")
        self.drops += _more(stats, before, "drops")
        for name in stats.get("totals", {}):
            self.totals[name] += _more(stats["totals"], before.get("totals", {}), name)
        for note in stats.get("notes", ()):
            self.notes[note] = None
        old_routes = before.get("routes", {})
        for route, (requests, errors, counts) in stats.get("routes", {}).items():
            old = old_routes.get(route, (0, 0, {}))
            total = self.routes.setdefault(route, RouteCounts())
            total.requests += max(0, requests - old[0])
            total.errors += max(0, errors - old[1])
            for index, count in counts.items():
                total.histogram[int(index)] += max(0, count - old[2].get(index, 0))


def _more(now: dict[str, Any], before: dict[str, Any], name: str) -> int:
    return max(0, int(now.get(name, 0)) - int(before.get(name, 0)))


def swap_result(pid: int, answer: dict[str, Any] | None, waited_s: float) -> SwapResult:
    """What one process answered to a swap or a revert; None: nothing in time."""
    if answer is None:
        return SwapResult(pid, False, (), "the process did not answer", waited_s)
    return SwapResult(
        pid,
        bool(answer.get("ok")),
        tuple(answer.get("swapped", ())),
        str(answer.get("reason", "")),
        float(answer.get("seconds", 0.0)),
    )
