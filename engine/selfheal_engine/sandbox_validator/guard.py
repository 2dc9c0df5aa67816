"""The second tier: one command on a copy of the project, behind Landlock and seccomp.

For machines that allow no user namespaces. Runs as a program of its own (`python -I -S guard.py
FD`) and stays outside, as the reaper of everything that the command starts: when the command,
the engine or a limit ends the run, it kills what is left, reports and removes the copy. No kernel
does that for a guard that is killed itself, so there are two processes, one above the other: the
one that is left finds everything below it, or the other gone, and clears up. What the
first tier gives by namespaces is missing here: other processes and the host's name can be seen
(not touched), and there is no network at all, not even loopback.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time
from base64 import b64decode
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfheal_engine.sandbox_validator.inside import cell, kernel, landlock
else:  # a plain script, without the engine's package: found beside this file
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "inside"))
    import cell
    import kernel
    import landlock

LINKED = (".venv", "venv", "node_modules")
"""Large, and never written by tests: the copy points to them."""
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
LOOK_EVERY_S = 0.05
CHANGED_AT_MOST = 400
DEEPEST = 3000
"""Characters of a path; what lies deeper was made to be in the way."""
TOO_LARGE = "disk: the run used up the space that a sandbox has"
ENGINE_GONE = "the engine went away"
OVERDUE = "time: the run went on for longer than it may"
CLEARING_S = 20.0
"""How long the lower process may take to clear up before the upper one does it."""
_READ_SEARCH = 2
_PR_CAP_AMBIENT, _RAISE, _PR_SET_KEEPCAPS = 47, 2, 8

ended = [False]


def main(descriptor: int) -> int:
    with os.fdopen(descriptor, "rb") as file:
        spec = json.load(file)
    os.set_inheritable(spec["report"], False)  # what the command could write there is no report
    engine = kernel.hold_parent(spec["parent"])
    upper = kernel.pidfd_open(os.getpid())
    signal.signal(signal.SIGTERM, lambda number, frame: ended.__setitem__(0, True))
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGTERM)
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    lower = os.fork()
    if lower == 0:
        code = 1
        try:
            code = guard(spec, [engine, upper])
        finally:
            os._exit(code)
    oversee(spec, lower, engine)
    return 0


def oversee(spec: dict[str, Any], lower: int, engine: int) -> None:
    """In the upper process: wait for the guard, and clear up what it could not."""
    signal.signal(signal.SIGTERM, lambda number, frame: os.kill(lower, signal.SIGTERM))
    if ended[0]:  # asked to stop before there was anybody to pass it on to
        os.kill(lower, signal.SIGTERM)
    handle = kernel.pidfd_open(lower)
    for descriptor in (0, 1, 2, spec["report"]):  # readers must see the end of the run's own
        os.close(descriptor)
    if kernel.first_gone([engine, handle], spec["overdue_s"]) != handle:
        kernel.first_gone([handle], CLEARING_S)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    kill_all()
    if os.path.lexists(spec["folder"]):
        remove(spec["folder"])


def guard(spec: dict[str, Any], above: list[int]) -> int:
    """Furnish the copy, run the command, report; `above` are the processes that want the run."""
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    report = os.fdopen(spec["report"], "w", buffering=1, closefd=False)
    folder = spec["folder"]
    try:
        before = furnish(spec)
        status, why = supervise(spec, above)
        if why:
            stage = "stopped" if why in (TOO_LARGE, ENGINE_GONE, OVERDUE) else "failed"
            print(json.dumps({"stage": stage, "why": why}), file=report)
        else:
            code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
            found = changed(folder, before, spec["files"]) if before is not None else []
            used, count = usage(spec)
            left = {"free": spec["disk_bytes"] - used, "free_files": spec["inodes"] - count}
            print(json.dumps({"exit-code": code, "changed": found, **left}), file=report)
    except OSError as error:
        print(json.dumps({"stage": "failed", "why": str(error)}), file=report)
    finally:
        kill_all()
        remove(folder)
    return 0


def furnish(spec: dict[str, Any]) -> dict[str, tuple[int, int]] | None:
    """Fill the folder: a copy of the project with the patched files, tools, empty places."""
    folder = spec["folder"]
    for name in ("tmp", "home", "tools"):
        os.mkdir(os.path.join(folder, name))
    for source in spec["tools"]:
        shutil.copytree(source, os.path.join(folder, "tools", os.path.basename(source)))
    before = None
    if spec["project"]:
        copy(spec["project"], os.path.join(folder, "project"))
        for relative, encoded in spec["files"].items():
            write(os.path.join(folder, "project"), relative, b64decode(encoded))
        before = snapshot(os.path.join(folder, "project"))
    if os.geteuid() == 0:
        for place, names, files in os.walk(folder):
            for name in [".", *names, *files]:
                path = os.path.join(place, name)
                os.chown(path, spec["drop_to"], spec["drop_to"], follow_symlinks=False)
    return before


def copy(source: str, target: str) -> None:
    def left_out(folder: str, names: list[str]) -> set[str]:
        linked = {name for name in names if name in LINKED} if folder == source else set()
        return linked | {name for name in names if special(os.path.join(folder, name))}

    shutil.copytree(source, target, symlinks=True, ignore=left_out, ignore_dangling_symlinks=True)
    for name in LINKED:
        if os.path.isdir(os.path.join(source, name)):
            os.symlink(os.path.join(source, name), os.path.join(target, name))


def special(path: str) -> bool:
    """Sockets, pipes and devices: a service leaves them in its tree, and nobody can copy them."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:  # gone since it was listed
        return True
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))


def write(root: str, relative: str, content: bytes) -> None:
    target = os.path.normpath(os.path.join(root, relative))
    folder = os.path.realpath(os.path.dirname(target))
    if not (folder + "/").startswith(os.path.realpath(root) + "/"):
        raise OSError(f"{relative} lies outside the project")
    os.makedirs(folder, exist_ok=True)
    if os.path.lexists(target):
        os.unlink(target)
    with open(target, "wb") as file:
        file.write(content)


def snapshot(root: str) -> dict[str, tuple[int, int]]:
    """Modification time and size of every file; walked by hand, however deep the tree is."""
    found = {}
    pending = [root]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if len(entry.path) < DEEPEST:
                            pending.append(entry.path)
                        continue
                    state = entry.stat(follow_symlinks=False)
                    found[os.path.relpath(entry.path, root)] = (state.st_mtime_ns, state.st_size)
        except OSError:
            continue
    return found


def changed(folder: str, before: dict[str, tuple[int, int]], files: dict[str, str]) -> list[str]:
    after = snapshot(os.path.join(folder, "project"))
    names = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    return sorted(names)[:CHANGED_AT_MOST]


def supervise(spec: dict[str, Any], above: list[int]) -> tuple[int, str]:
    """Start the command and look after it; (wait status, what went wrong with the wall)."""
    read, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        try:
            shut_in(spec)
            os.chdir(spec["cwd"])
            os.execve(spec["argv"][0], spec["argv"], spec["env"])
        except (OSError, ValueError) as error:
            os.write(told, str(error).encode())
        finally:
            os._exit(126)
    os.close(told)
    for descriptor in (0, 1, 2):
        os.close(descriptor)
    why = os.read(read, 4096).decode(errors="replace")  # ends when the command is executed
    next_look = 0.0
    last = float("inf") if spec["overdue_s"] is None else time.monotonic() + spec["overdue_s"]
    while not ended[0]:
        done, status = os.waitpid(-1, os.WNOHANG)
        if done == child:
            return status, why
        if done:
            continue
        if kernel.first_gone(above, 0.005) is not None:
            break
        if time.monotonic() > last:
            return 0, OVERDUE
        if time.monotonic() >= next_look:
            begun = time.monotonic()
            if too_large(spec):
                return 0, TOO_LARGE
            next_look = time.monotonic() + max(LOOK_EVERY_S, 10 * (time.monotonic() - begun))
    return 0, ENGINE_GONE


def shut_in(spec: dict[str, Any]) -> None:
    """In the child: limits, another user where we are root, Landlock, the filter."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    for name, wanted in spec["rlimits"].items():
        limit = getattr(resource, name)
        hard = resource.getrlimit(limit)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(limit, (value, value))
    if os.geteuid() == 0:
        become(spec["drop_to"])
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)  # the kernel forgot it
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    landlock.restrict(spec["readable"], [spec["folder"], *DEVICES])
    cell.load_filter(b64decode(spec["filter"]))


def become(uid: int) -> None:
    """Another user for good, who may still read what Landlock lets through.

    The interpreter may lie in root's own home: one capability, to pass folders and read files,
    is kept; which paths it counts for is up to Landlock.
    """
    kernel.prctl(_PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    bit = 1 << _READ_SEARCH
    sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
    header = cell.CapabilityHeader(cell.CAPABILITY_VERSION_3, 0)
    kernel.check(kernel.libc.capset(ctypes.byref(header), ctypes.byref(sets)), "capset")
    kernel.check(
        kernel.libc.prctl(_PR_CAP_AMBIENT, ctypes.c_ulong(_RAISE), ctypes.c_ulong(2), 0, 0),
        "ambient capability",
    )


def too_large(spec: dict[str, Any]) -> bool:
    """Whether what lies in the folder is beyond the limits of bytes or files."""
    used, count = usage(spec)
    return bool(used > spec["disk_bytes"] or count > spec["inodes"])


def usage(spec: dict[str, Any]) -> tuple[int, int]:
    """(bytes, files) in the folder; counting ends where a limit is passed."""
    used = count = 0
    pending = [spec["folder"]]
    while pending and used <= spec["disk_bytes"] and count <= spec["inodes"]:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    count += 1
                    if entry.is_dir(follow_symlinks=False):
                        if len(entry.path) < DEEPEST:
                            pending.append(entry.path)
                    else:
                        used += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:
            continue
    return used, count


def kill_all() -> None:
    """Kill every process below us, however they multiply: all are stopped first."""
    while True:
        below = descendants()
        if not below:
            return
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in below:
                try:
                    os.kill(pid, number)
                except OSError:
                    continue
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            continue


def descendants() -> list[int]:
    found: list[int] = []
    pending = [os.getpid()]
    while pending:
        pid = pending.pop()
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                    below = list(map(int, file.read().split()))
                found += below
                pending += below
        except OSError:
            continue
    return found


def remove(folder: str) -> None:
    """Remove a tree of any depth, whatever its modes."""
    subprocess.run(["chmod", "-R", "u+rwx", "--", folder], stderr=subprocess.DEVNULL, check=False)
    subprocess.run(["rm", "-rf", "--", folder], stderr=subprocess.DEVNULL, check=False)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
