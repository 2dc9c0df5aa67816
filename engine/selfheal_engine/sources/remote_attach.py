"""The probe into processes that run already: Python 3.14 and later, without a restart (PEP 768).

The target's own interpreter calls `sys.remote_exec`, since both must be of one build; what the
target then runs is a file of ours in the socket folder, which only this user can write. The
target takes it at the next safe point of its main thread.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import selfheal_agent
from selfheal_engine.sources import procfs
from selfheal_engine.sources.discovery import read_cards
from selfheal_engine.sources.launching import prepare_run_dir

FIRST = (3, 14)
WAIT_S = 3.0
"""A main thread that runs no bytecode for so long is not waited for; it may answer later."""
_PYTHON = re.compile(r"python(?:3(?:\.(\d+))?)?t?$")
_ASK = "import sys; print(*sys.version_info[:2]) if len(sys.argv) < 2 else "
_ASK += "sys.remote_exec(int(sys.argv[1]), sys.argv[2])"

_ENTRY = """\
import sys
sys.path.insert(0, {room!r})
try:
    from selfheal_agent import probe
finally:
    sys.path.remove({room!r})
probe.install({environ!r}, late=True)
"""


def enter(pid: int, name: str, run_dir: Path, project: str) -> str:
    """Put the probe into a process and those below it; why it is not there, "" when it is."""
    pids = [pid, *procfs.descendants(pid)]
    pythons = {one: interpreter for one in pids if (interpreter := _interpreter(one))}
    if pid not in pythons:
        return f"process {pid} is no Python program: it is watched from outside"
    version = _version(pythons[pid])
    if version < FIRST:
        shown = ".".join(map(str, version)) or "of an unknown version"
        return (
            f"a running Python {shown} takes no probe (3.14 and later do): restart it with "
            "`selfheal-tui probe -- CMD`, or watch its log (--log), a sink_port or a "
            "prometheus_url"
        )
    prepare_run_dir(run_dir)
    entry = run_dir / f"enter-{pid}.py"
    entry.write_text(_entry_text(name, run_dir, project), encoding="utf-8")
    asked = {}
    for one, interpreter in pythons.items():
        refused = _remote_exec(interpreter, one, entry)
        if refused and one == pid:
            return f"the probe cannot enter process {pid}: {refused}"
        if not refused:
            asked[one] = interpreter
    return _wait_for(set(asked), run_dir, entry)


def _entry_text(name: str, run_dir: Path, project: str) -> str:
    room = str(Path(selfheal_agent.__file__).resolve().parent.parent)
    environ = {
        "SELFHEAL_RUN_DIR": str(run_dir.resolve()),
        "SELFHEAL_NAME": name,
        "SELFHEAL_PROJECT": os.path.realpath(project) if project else "",
    }
    return _ENTRY.format(room=room, environ=environ)


def _interpreter(pid: int) -> str:
    """The program that a process runs, if its name is that of a Python; "" otherwise."""
    try:
        program = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""
    return program if _PYTHON.match(os.path.basename(program)) else ""


def _version(interpreter: str) -> tuple[int, ...]:
    named = _PYTHON.match(os.path.basename(interpreter))
    if named is not None and named.group(1):
        return (3, int(named.group(1)))
    said = _run(interpreter).stdout.split()
    return tuple(map(int, said)) if len(said) == 2 and all(map(str.isdigit, said)) else ()


def _remote_exec(interpreter: str, pid: int, entry: Path) -> str:
    """Ask the process to run our file; the reason when it refuses."""
    run = _run(interpreter, str(pid), str(entry))
    if run.returncode == 0:
        return ""
    last = run.stderr.strip().splitlines()[-1:] or [f"status {run.returncode}"]
    return last[0]


def _run(interpreter: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [interpreter, "-I", "-S", "-c", _ASK, *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=15, check=False)
    except (OSError, subprocess.TimeoutExpired) as why:
        return subprocess.CompletedProcess(command, 1, "", str(why))


def _wait_for(pids: set[int], run_dir: Path, entry: Path) -> str:
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        if pids <= {card.pid for card in read_cards(run_dir)}:
            entry.unlink(missing_ok=True)
            return ""
        time.sleep(0.05)
    # the file stays: a thread that rests in one long call takes it when that returns
    missing = sorted(pids - {card.pid for card in read_cards(run_dir)})
    return "the probe will be in as soon as the main thread goes on: " + ", ".join(
        f"process {pid} rests" for pid in missing
    )
