"""Which processes and which source tree a target means."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from selfheal_engine.config import Settings
from selfheal_engine.errors import TargetError
from selfheal_engine.model import Target
from selfheal_engine.project import Project
from selfheal_engine.sources.discovery import list_services
from selfheal_engine.sources.launching import interpreter_of, service_name
from selfheal_engine.sources.probes import ProbeSet

STARTED_S = 1.0
"""The kernel counts the start of a process in hundredths since the boot, not by the clock."""


@dataclass(frozen=True, slots=True)
class Located:
    """The outermost process of a service."""

    pid: int
    name: str
    project: str
    command: str
    unit: str = ""
    """The systemd unit that it was found by."""
    port: int = 0
    """The port that it was found by."""


def locate(target: Target, settings: Settings) -> Located:
    """Find what runs. Raises TargetError."""
    if target.name:
        return _by_name(target.name, settings)
    if target.port:
        return replace(_by_pid(_listener(target.port), settings), port=target.port)
    if target.unit:
        return replace(_by_pid(_main_pid(target.unit), settings), unit=target.unit)
    return _by_pid(target.pid, settings)


def find_again(before: Located, settings: Settings, since_s: float) -> Located | None:
    """What was started in its place after `since_s`; None while nothing is.

    Found as it was found before: by its unit or port, else by the name that its probe carries.
    """
    target = Target(unit=before.unit, port=before.port, name=before.name)
    if before.unit or before.port:
        target = replace(target, name="")
    try:
        found = locate(target, settings)
        began_s = psutil.Process(found.pid).create_time()
    except (TargetError, psutil.Error):
        return None
    return found if found.pid != before.pid and began_s >= since_s - STARTED_S else None


def _by_name(name: str, settings: Settings) -> Located:
    services = list_services(settings.run_path())
    named = [service for service in services if service.name == name]
    if not named:
        known = ", ".join(sorted({service.name for service in services})) or "none runs"
        raise TargetError(
            f"no service named {name} carries the probe in {settings.run_path()} (found: {known}): "
            "start it with `selfheal-tui probe -- CMD`"
        )
    newest = max(named, key=lambda service: service.started_s)
    return Located(newest.pid, name, newest.project, newest.command)


def _by_pid(pid: int, settings: Settings) -> Located:
    try:
        process = psutil.Process(pid)
        command = process.cmdline()
        if process.status() == psutil.STATUS_ZOMBIE:
            raise psutil.NoSuchProcess(pid)
    except psutil.NoSuchProcess:
        raise TargetError(f"there is no process {pid}: check the pid") from None
    except psutil.AccessDenied:
        raise TargetError(f"process {pid} belongs to another user: run as that user") from None
    line = {parent.pid for parent in process.parents()} | {pid}
    for service in list_services(settings.run_path()):
        if service.pid in line:
            return Located(service.pid, service.name, service.project, service.command)
    try:
        cwd = process.cwd()
    except psutil.Error:
        cwd = ""
    return Located(pid, service_name(command, cwd) or str(pid), cwd, " ".join(command))


def _listener(port: int) -> int:
    """Outermost process that listens on a TCP port. Raises TargetError."""
    try:
        found = {
            item.pid
            for item in psutil.net_connections("tcp")
            if item.status == psutil.CONN_LISTEN and item.laddr.port == port and item.pid
        }
    except psutil.AccessDenied:
        raise TargetError("the listening sockets of other users cannot be read") from None
    if not found:
        raise TargetError(f"nothing listens on port {port} (or another user's process does)")
    return int(min(found, key=lambda pid: len(psutil.Process(pid).parents())))


def _main_pid(unit: str) -> int:
    systemctl = shutil.which("systemctl")
    if systemctl is None:
        raise TargetError("there is no systemctl on this machine: attach by pid or port")
    run = subprocess.run(
        [systemctl, "show", "--property=MainPID", "--value", unit],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    text = run.stdout.strip()
    if run.returncode or not text.isdigit() or text == "0":
        raise TargetError(f"the unit {unit} has no running process: `systemctl status {unit}`")
    return int(text)


def project_of(found: Located, settings: Settings, probes: ProbeSet) -> Project:
    """The service's source tree and interpreter. Raises TargetError."""
    card = next(iter(probes.cards.values()), None)
    root = settings.project or found.project or (card.cwd if card else "") or os.getcwd()
    path = Path(root).expanduser()
    if not path.is_dir():
        raise TargetError(f"the project path {root} is not a folder: check --project")
    path = path.resolve()
    python = card.python if card is not None and card.python else interpreter_of(found.pid)
    entries = [Path(entry) for entry in card.path] if card is not None else []
    inside = [
        str(entry.resolve())
        for entry in entries
        if entry.is_dir()
        and entry.resolve().is_relative_to(path)
        and "site-packages" not in entry.parts
    ]
    tests = tuple(settings.tests.split()) if settings.tests else ()
    return Project(path, python, tests, tuple(dict.fromkeys(inside)))


def stop_foreign(pid: int) -> None:
    """Ask a service that we did not start to end."""
    try:
        os.kill(pid, signal.SIGTERM)
    except OSError as why:
        raise TargetError(f"process {pid} cannot be stopped: {why.strerror}") from None
