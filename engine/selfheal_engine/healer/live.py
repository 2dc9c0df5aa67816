"""Bringing running processes to the text on disk: swap, else reload, else restart.

A swap replaces functions inside the process, without a restart. Where a process refuses, the
service is reloaded the way it expects it - the owner's command, SIGHUP to a pre-fork master
that catches it, `systemctl reload`. Restarted is only what the owner lets us restart: by a
command of theirs, or, with `--approve high`, what this app started itself.
"""

from __future__ import annotations

import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from selfheal_engine.config import Settings
from selfheal_engine.healer.applied import Swapping, Way
from selfheal_engine.model import FunctionSwap, ProcessInfo, ServiceInfo, SwapResult

RELOAD_WAIT_S = 35.0
"""A little more than the graceful timeout that gunicorn gives its workers by default."""
DRAIN_S = 3.0
"""Once as many new workers as before serve, the old ones are waited for only so long."""
COMMAND_WAIT_S = 60.0
RELOADS_ON_HUP = ("gunicorn", "uvicorn", "uwsgi")
"""Pre-fork servers whose manuals say that SIGHUP to the master starts workers on new code."""


@dataclass(frozen=True, slots=True)
class Brought:
    """How the processes were brought to the text on disk; `refused` is "" when all were."""

    way: Way
    processes: tuple[SwapResult, ...]
    refused: str = ""
    stuck: str = ""
    """Why processes that hold on to something could not be renewed; they run the new code."""


@dataclass(frozen=True, slots=True)
class ReloadWay:
    """How a service is reloaded: a sentence for the person, and `run` (None when it was done)."""

    does: str
    graceful: bool
    """The old processes are known to finish what they are at."""
    run: Callable[[], str | None]


def bring(
    swaps: Iterable[FunctionSwap],
    source: Swapping,
    settings: Settings,
    *,
    pids: tuple[int, ...] = (),
    back: bool = False,
) -> Brought:
    """Bring the processes (`pids`; empty: all) to the files' text; `back`: to the former code."""
    results = merge(list(_swap_each(swaps, source, pids, back)))
    refused = [result for result in results if not result.ok]
    if results and not refused:
        return Brought("swap", results)
    why = refused[0].reason if refused else "no process of the service carries the probe"
    if pids:
        return Brought("swap", results, why)  # the caller goes on to all
    service = source.service()
    reloaded = reload(service, settings)
    if reloaded is None:
        return Brought("reload", results)
    restarted = restart(source, settings)
    if restarted is None:
        return Brought("restart", results)
    # what was ended for a restart and does not start so must be started as it was
    way: Way = "swap" if source.service().alive else "restart"
    return Brought(way, results, f"{why}; {reloaded}; {restarted}")


def renew(swaps: Iterable[FunctionSwap], source: Swapping, settings: Settings) -> Brought:
    """Bring every process to the files' text, by a reload or a restart where that may be.

    Threads that wait for each other, and what leaked before, stay with the process whatever
    code it runs. The swap comes first, so that it does not get worse meanwhile.
    """
    brought = bring(swaps, source, settings)
    if brought.way != "swap" or brought.refused:
        return brought
    reloaded = reload(source.service(), settings)
    if reloaded is None:
        return replace(brought, way="reload")
    restarted = restart(source, settings)
    if restarted is None:
        return replace(brought, way="restart")
    if not source.service().alive:
        return replace(brought, way="restart", refused=restarted)
    return replace(brought, stuck=f"{reloaded}; {restarted}")


def undo(
    swaps: Iterable[FunctionSwap], brought: Brought, source: Swapping, settings: Settings
) -> None:
    """After an apply that failed half-way: bring back the processes that had taken the text."""
    if brought.way != "swap":
        bring(swaps, source, settings, back=True)
        return
    taken = tuple(result.pid for result in brought.processes if result.ok)
    if taken:
        list(_swap_each(swaps, source, taken, back=True))


def workers(service: ServiceInfo) -> tuple[ProcessInfo, ...]:
    """The processes that serve: those with the probe, without a pre-fork master."""
    probed = [process for process in service.processes if process.has_probe]
    parents = {process.ppid for process in probed}
    leaves = tuple(process for process in probed if process.pid not in parents)
    return leaves or tuple(probed)


def merge(results: list[SwapResult]) -> tuple[SwapResult, ...]:
    """One result for each process that still runs: ok only when every file's swap was."""
    by_pid: dict[int, SwapResult] = {}
    for result in results:
        if not result.ok and not psutil.pid_exists(result.pid):
            continue  # it is gone, and whatever replaces it reads the new file
        before = by_pid.get(result.pid)
        if before is None:
            by_pid[result.pid] = result
            continue
        by_pid[result.pid] = SwapResult(
            result.pid,
            before.ok and result.ok,
            before.swapped + result.swapped,
            before.reason or result.reason,
            before.seconds + result.seconds,
        )
    return tuple(by_pid[pid] for pid in sorted(by_pid))


def reload(service: ServiceInfo, settings: Settings) -> str | None:
    """Reload the service the way it expects; None when it did, else why not."""
    way = way_to_reload(service, settings)
    if way is not None:
        return way.run()
    unit = _unit(service)
    if unit is not None:
        return f"{unit[0]} has no ExecReload="
    return "it cannot be reloaded by itself (set reload_command)"


def way_to_reload(service: ServiceInfo, settings: Settings) -> ReloadWay | None:
    """How the service expects to be reloaded; None where it cannot be."""
    command = settings.reload_command
    if command:
        return ReloadWay(
            f"Runs your reload_command: {command}",
            False,
            lambda: run_command(command, "reload_command"),
        )
    master = _prefork_master(service)
    if master is not None:
        workers = sum(p.ppid == master.pid for p in service.processes)
        return ReloadWay(
            f"Sends SIGHUP to the master {master.pid}, which starts new workers and ends the old",
            True,
            lambda: _hup(master, workers),
        )
    unit = _unit(service)
    if unit is None or not _can_reload(*unit):
        return None
    return ReloadWay(f"Runs systemctl reload {unit[0]}", False, lambda: _reload_unit(*unit))


def restart(source: Swapping, settings: Settings) -> str | None:
    """Restart the service as far as the owner allows; None when it was, else why not."""
    if settings.restart_command:
        source.expect_restart()
        return run_command(settings.restart_command, "restart_command")
    if not source.service().started_by_us:
        return "restart_command is not set"
    if settings.approve != "high":
        return "restart_command is not set, and without --approve high this app restarts nothing"
    return source.restart()


# ---------------------------------------------------------------- swap
def _swap_each(
    swaps: Iterable[FunctionSwap], source: Swapping, pids: tuple[int, ...], back: bool
) -> Iterable[SwapResult]:
    """The way back is a swap too, to the restored text: an earlier patch of the same file stays
    in force. Only where that is refused does a process return to the code it began with.
    """
    for swap in swaps:
        results = source.swap(swap, pids)
        refused = tuple(result.pid for result in results if not result.ok)
        if back and refused:
            returned = [result for result in source.revert(swap, refused) if result.ok]
            better = {result.pid for result in returned}
            results = [result for result in results if result.pid not in better] + returned
        yield from results


# ---------------------------------------------------------------- reload
def _prefork_master(service: ServiceInfo) -> psutil.Process | None:
    parents = {process.ppid for process in service.processes}
    for process in service.processes:
        server = any(name in process.command for name in RELOADS_ON_HUP)
        if server and process.pid in parents and _catches_hup(process.pid):
            try:
                master = psutil.Process(process.pid)
                # a preloading master forks workers from the old code
                return None if "--preload" in master.cmdline() else master
            except psutil.Error:
                return None
    return None


def _catches_hup(pid: int) -> bool:
    """SIGHUP ends a process that does not catch it (proc(5), SigCgt)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    masks = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(masks) and bool(int(masks[0], 16) >> (signal.SIGHUP - 1) & 1)


def _hup(master: psutil.Process, workers: int) -> str | None:
    before = {child.pid for child in master.children()}
    began = time.monotonic()
    master.send_signal(signal.SIGHUP)

    def renewed() -> bool:
        now = {child.pid for child in master.children()}
        served = len(now - before) >= max(1, workers)
        # an old one that is stuck takes its time to end, and nobody waits for it
        return bool(now) and (not now & before or (served and time.monotonic() - began > DRAIN_S))

    if _becomes_true(renewed, RELOAD_WAIT_S):
        return None
    return f"its master {master.pid} did not replace its workers in {RELOAD_WAIT_S:.0f} s"


def _becomes_true(condition: Callable[[], bool], wait_s: float) -> bool:
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        try:
            if condition():
                return True
        except psutil.Error:
            return False
        time.sleep(0.05)
    return False


def _unit(service: ServiceInfo) -> tuple[str, bool] | None:
    """(systemd unit, is a user's unit) of the service, by its control group."""
    for process in service.processes[:1]:
        try:
            return unit_of(Path(f"/proc/{process.pid}/cgroup").read_text(encoding="utf-8"))
        except OSError:
            return None
    return None


def unit_of(cgroup: str) -> tuple[str, bool] | None:
    """(systemd unit, is a user's unit) from the text of /proc/<pid>/cgroup (cgroups(7))."""
    for line in cgroup.splitlines():
        parts = line.rpartition(":")[2].split("/")
        of_user = any(part.startswith("user@") for part in parts)
        units = [part for part in parts if part.endswith(".service")]
        if units and not units[-1].startswith(("user@", "session-")):
            return units[-1], of_user
    return None


def _can_reload(unit: str, of_user: bool) -> bool:
    shown = _call(["systemctl", *_scope(of_user), "show", "-p", "CanReload", "--value", unit])
    return shown is not None and shown.stdout.strip() == "yes"


def _reload_unit(unit: str, of_user: bool) -> str | None:
    done = _call(["systemctl", *_scope(of_user), "reload", unit])
    if done is not None and done.returncode == 0:
        return None
    return f"systemctl reload {unit} failed: {done.stderr.strip() if done else 'no systemctl'}"


def _scope(of_user: bool) -> list[str]:
    return ["--user"] if of_user else []


# ---------------------------------------------------------------- the owner's commands
def run_command(command: str, setting: str) -> str | None:
    """Run a command of the owner's settings; None when it ended well, else why not."""
    if not command:
        return f"{setting} is not set"
    try:
        words = shlex.split(command)
    except ValueError as why:
        return f"{setting} cannot be read: {why}"
    done = _call(words)
    if done is None:
        return f"{setting} could not be run: {command}"
    if done.returncode:
        return f"{setting} ended with exit code {done.returncode}: {done.stderr.strip()[-200:]}"
    return None


def _call(words: list[str]) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(
            words, capture_output=True, text=True, timeout=COMMAND_WAIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
