"""What of the machine a sandbox can see: system folders, one interpreter, its packages.

Everything else (homes, /etc beyond a few public files, /run, /var, /sys) does not exist
inside.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

SYSTEM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")

SYSTEM_FILES = (
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/mime.types",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs",
    "/etc/ca-certificates",
    "/etc/alternatives",
    "/etc/protocols",
    "/etc/services",
)
"""Public files that programs read; nothing here holds a secret."""

_FORBIDDEN_ROOTS = frozenset(
    {"/", "/root", "/home", "/tmp", "/etc", "/var", "/run", "/proc", "/sys"}
)

_ASK_INTERPRETER = """
import json, site, sys, sysconfig
print(json.dumps([sys.prefix, sys.base_prefix, sys.exec_prefix, sysconfig.get_paths()["stdlib"],
    sysconfig.get_config_var("LIBDIR") or "", *sys.path]))
"""


def executable(command: str, path: str = "") -> str:
    """Absolute path of `command`, "" when there is none on `path` (default: $PATH)."""
    if os.sep in command:
        found = os.path.abspath(command)
        return found if os.access(found, os.X_OK) else ""
    return shutil.which(command, path=path or None) or ""


def folders_for(command: str) -> tuple[Path, ...]:
    """Folders outside the system's that `command` (an absolute path) needs to run.

    For a Python interpreter, or a script of a virtual environment: its prefixes and every
    folder on its path. For another program outside the system folders: the folder it lies in.
    """
    interpreter = _interpreter_of(command)
    if interpreter:
        return interpreter_folders(interpreter)
    if _in_system(command) and _in_system(os.path.realpath(command)):
        return ()
    return _outermost([os.path.dirname(command), os.path.dirname(os.path.realpath(command))])


@lru_cache(maxsize=64)
def interpreter_folders(python: str) -> tuple[Path, ...]:
    """Prefixes and path folders of an interpreter, outermost ones only.

    The interpreter is asked, as the service's owner runs it every day; an answer takes about
    30 ms and is kept.
    """
    environment = {"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"}
    if "HOME" in os.environ:
        environment["HOME"] = os.environ["HOME"]
    try:
        answer = subprocess.run(
            [python, "-c", _ASK_INTERPRETER],
            capture_output=True,
            timeout=20,
            check=True,
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
        ).stdout
        folders = [folder for folder in json.loads(answer) if folder and os.path.isabs(folder)]
    except (OSError, subprocess.SubprocessError, ValueError):
        folders = []
    folders += [str(Path(python).parent.parent), str(Path(os.path.realpath(python)).parent.parent)]
    return _outermost(folders)


def _interpreter_of(command: str) -> str:
    """The interpreter that runs `command`: itself, or the one its script names."""
    if os.path.basename(os.path.realpath(command)).startswith(("python", "pypy")):
        return command
    try:
        with open(command, "rb") as file:
            first = file.readline(300)
    except OSError:
        return ""
    if not first.startswith(b"#!"):
        return ""
    words = os.fsdecode(first[2:].strip()).split()
    if words and os.path.basename(words[0]).startswith(("python", "pypy")):
        return words[0]
    return ""


def _outermost(folders: Iterable[str]) -> tuple[Path, ...]:
    """Existing folders, resolved, without the system's and without those inside another."""
    wanted: set[str] = set()
    for folder in folders:
        for name in (os.path.abspath(folder), os.path.realpath(folder)):
            if os.path.exists(name) and not _in_system(name) and name not in _FORBIDDEN_ROOTS:
                wanted.add(name)
    kept: list[str] = []
    for name in sorted(wanted):
        if name == os.path.expanduser("~"):
            continue
        if not any(name.startswith(other + os.sep) for other in kept):
            kept.append(name)
    return tuple(Path(name) for name in kept)


def _in_system(path: str) -> bool:
    return any(path == folder or path.startswith(folder + os.sep) for folder in SYSTEM_FOLDERS)


def outermost(folders: Sequence[Path]) -> tuple[Path, ...]:
    """As given by the caller: existing ones, without those inside another."""
    return _outermost(str(folder) for folder in folders)
