"""Starting a service with the probe inside, and saying clearly why it did not start."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from selfheal_agent.launch import BOOT, environment
from selfheal_engine.errors import TargetError
from selfheal_engine.sources import procfs
from selfheal_engine.sources.discovery import family, read_cards
from selfheal_engine.sources.process_tree import listens

SETTLE_S = 1.2
"""A service that still runs this long after its probe answered has started."""
PROBE_S = 8.0
"""Longest wait for the probe of a Python service."""
PORT_FREE_S = 75.0
"""A port without SO_REUSEADDR stays taken for a minute after its connections (TIME_WAIT)."""
_IN_USE = re.compile(r"address already in use|connection in use|errno 98", re.IGNORECASE)
_TAKEN = "is in use by another process"
_PORT = re.compile(r"(?:port |[\w.\]]:|', )(\d{2,5})\b")


def start(
    command: Sequence[str],
    *,
    name: str,
    run_dir: Path,
    project: str,
    log: Path,
    environ: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own. Raises TargetError."""
    prepare_run_dir(run_dir)
    log.parent.mkdir(parents=True, exist_ok=True)
    env = environment(os.environ if environ is None else environ, name, str(run_dir), project)
    at = log.stat().st_size if log.exists() else 0
    with log.open("ab") as output:
        try:
            process = subprocess.Popen(
                list(command),
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise TargetError(
                f"no such command: {command[0]} (is it installed in the active environment?)"
            ) from None
        except OSError as why:
            raise TargetError(f"{command[0]} cannot be started: {why.strerror}") from None
    _watch_start(process, command, run_dir, log, at)
    return process


def start_again(launch: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    """Start what was just ended, as soon as its port is free. Raises TargetError."""
    end = time.monotonic() + PORT_FREE_S
    while True:
        try:
            return launch()
        except TargetError as why:
            if _TAKEN not in str(why) or time.monotonic() > end:
                raise
        time.sleep(0.5)


def prepare_run_dir(run_dir: Path) -> None:
    """Make the folder of the sockets, ours alone. Raises TargetError."""
    try:
        run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = run_dir.stat()
    except OSError as why:
        raise TargetError(
            f"the socket folder {run_dir} cannot be made ({why.strerror}): choose another "
            "with --run-dir or $SELFHEAL_RUN_DIR"
        ) from None
    if status.st_uid != os.geteuid():
        raise TargetError(f"the socket folder {run_dir} belongs to another user: choose another")
    if not os.access(run_dir, os.W_OK | os.X_OK):
        raise TargetError(f"no permission to write to the socket folder {run_dir}")


def _watch_start(
    process: subprocess.Popen[bytes],
    command: Sequence[str],
    run_dir: Path,
    log: Path,
    at: int,
) -> None:
    begun = time.monotonic()
    answered = 0.0
    patience = SETTLE_S if why_no_probe(command) else PROBE_S
    while True:
        status = process.poll()
        text = _tail(log, at)
        if status is not None:
            if status == 0 and answered:
                return  # a script that is simply done; what it recorded is still there
            raise TargetError(_why_it_died(command, status, text))
        if _IN_USE.search(text) and not listens(_pids(process.pid)):
            stop(process)
            raise TargetError(_in_use(text))
        now = time.monotonic()
        if not answered and family(read_cards(run_dir), process.pid):
            answered = now
        if answered and (now - answered > SETTLE_S or listens(_pids(process.pid))):
            return
        if not answered and now - begun > patience:
            if not _any_python(process.pid):
                stop(process)
                raise TargetError(
                    f"{command[0]} is not a Python program, so the probe cannot enter it: "
                    "watch it from outside with `selfheal-tui attach PID`"
                )
            return
        time.sleep(0.05)


def _why_it_died(command: Sequence[str], status: int, text: str) -> str:
    if _IN_USE.search(text):
        return _in_use(text)
    lines = [line.strip() for line in text.splitlines() if line.strip()][-3:]
    how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
    said = f"; its last words: {' / '.join(lines)}" if lines else " and said nothing"
    return f"the service {how} right after its start{said} (command: {' '.join(command)})"


def _in_use(text: str) -> str:
    line = next((line for line in text.splitlines() if _IN_USE.search(line)), "")
    port = _PORT.search(line)
    which = f"port {port.group(1)}" if port else "the port"
    return f"{which} {_TAKEN}: stop that one or choose another port"


def why_no_probe(command: Sequence[str]) -> str:
    """What to say of a started Python that left the probe aside; "" where nothing is known."""
    program = os.path.basename(command[0])
    option = procfs.switched_off_by(" ".join(command)) if program.startswith("python") else ""
    return f"{option} keeps the probe out of {program}: {way_in(option)}" if option else ""


def way_in(options: str) -> str:
    """What to do about a Python that is started with these of -I, -E and -S."""
    if options == "-S":
        return "start it without this option, or watch its log (--log)"
    return (
        "start it without these options, or put the line "
        f"`import sys; sys.path.insert(0, {BOOT!r}); import sitecustomize` into a .pth file of its "
        "site-packages, which -S alone ignores, and start it with `selfheal-tui probe -- CMD`"
    )


def stop(process: subprocess.Popen[bytes], grace_s: float = 5.0) -> None:
    """End the service's whole process group: politely first, then for good."""
    pids = _pids(process.pid)
    _signal_group(process.pid, 15)
    end = time.monotonic() + grace_s
    while time.monotonic() < end:
        process.poll()
        if not any(_running(pid) for pid in pids):
            break
        time.sleep(0.02)
    else:
        _signal_group(process.pid, 9)
        for pid in pids:
            try:
                os.kill(pid, 9)
            except OSError:
                continue
    try:
        process.wait(2.0)
    except subprocess.TimeoutExpired:
        return


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return


def _running(pid: int) -> bool:
    stat = procfs.read_stat(pid)
    return stat is not None and stat.running


def _pids(root: int) -> list[int]:
    return [root, *procfs.descendants(root)]


def _any_python(root: int) -> bool:
    return any(_program(pid).startswith(("python", "pypy", "uwsgi")) for pid in _pids(root))


def _tail(log: Path, at: int) -> str:
    try:
        with log.open("rb") as stream:
            stream.seek(max(at, log.stat().st_size - 20_000))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""


_APP = re.compile(r"([A-Za-z_][\w.]*):[A-Za-z_][\w.]*(?:\(.*\))?")
_SERVERS = ("gunicorn", "uvicorn", "hypercorn", "waitress-serve", "uwsgi", "celery", "flask")


def service_name(command: Sequence[str], project: str = "") -> str:
    """A name for a command: the application it serves, its script, or the project's folder."""
    words = list(command)
    for word in words[1:]:
        spec = _APP.fullmatch(word)
        if spec is not None:
            return spec.group(1).split(".")[0]
    program = re.sub(r"[\d.]+$", "", os.path.basename(words[0])) if words else ""
    if "-m" in words[1:-1]:
        module = words[words.index("-m") + 1].split(".")[0]
        if module not in _SERVERS:
            return module
        program = module
    if program.startswith(("python", "pypy")):
        script = next((word for word in words[1:] if word.endswith(".py")), "")
        if script:
            return Path(script).stem
    folder = os.path.basename(os.path.abspath(project)) if project else ""
    if program in _SERVERS or program.startswith(("python", "pypy")):
        return folder or program
    return Path(program).stem or folder or "service"


def find_program(command: Sequence[str]) -> str:
    """Full path of the command's program. Raises TargetError."""
    found = shutil.which(command[0])
    if found is None:
        raise TargetError(
            f"no such command: {command[0]} (is it installed in the active environment?)"
        )
    return found


def interpreter_of(pid: int) -> str:
    """The Python that a process runs, through its virtual environment; ours when unknown."""
    first = procfs.command(pid).split(" ")[0]
    if os.path.isabs(first) and os.path.basename(first).startswith("python"):
        return first
    if _program(pid).startswith("python"):
        return os.readlink(f"/proc/{pid}/exe")
    return sys.executable


def _program(pid: int) -> str:
    """Name of the file that a process runs."""
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return ""
