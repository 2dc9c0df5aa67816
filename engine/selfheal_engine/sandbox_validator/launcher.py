"""Builds the outer half of the wall around one run, then starts bwrap in it and reports.

Runs as a program of its own (`python -I -S launcher.py FD`) in the engine's interpreter, so
that unsharing never touches the engine. FD gives the specification as JSON and takes nothing
back; reports go to the specification's `report` descriptor, one JSON object a line, together
with bwrap's own status lines:

    {"stage": "failed", "why": ...}      the wall could not be built
    {"child-pid": N} {"exit-code": N}    bwrap's
    {"stage": "ended", "changed": [...], "free": bytes, "free_files": n}

bwrap's --die-with-parent does not hold when the parent dies before bwrap asks for it. So bwrap
runs in one more pid namespace, whose first process (`keep`) watches the engine and the launcher
and leaves when either is gone or time is up: the kernel then kills everything in it, and nothing
inside can see that process, let alone keep it.

Private user and mount namespaces hold a sized tmpfs over /tmp; on it an overlay with the
project as its lower layer takes every write. Nothing is left on the machine when the process
ends, however it ends: the mounts live and die with the namespace.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import sys
from base64 import b64decode
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfheal_engine.sandbox_validator.inside import kernel
else:  # a plain script, without the engine's package: found beside this file
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "inside"))
    import kernel

BASE = "/tmp"
MERGED = BASE + "/merged"
CHANGED_AT_MOST = 400
OVERDUE, WITHOUT_ENGINE = 3, 4
"""Exit codes of the namespace's first process."""


def main(descriptor: int) -> int:
    with os.fdopen(descriptor, "rb") as file:
        spec = json.load(file)
    kernel.die_with_parent(spec["parent"])
    engine = kernel.hold_parent(spec["parent"])
    report = os.fdopen(spec["report"], "w", buffering=1, closefd=False)
    try:
        bwrap = build(spec)
        status = run(bwrap, spec, engine)
    except OSError as why:
        print(json.dumps({"stage": "failed", "why": str(why)}), file=report)
        return 0
    if status != 0:
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == OVERDUE:
            late = "time: the run went on for longer than it may"
            print(json.dumps({"stage": "stopped", "why": late}), file=report)
        return 0
    space = os.statvfs(BASE)
    ended = {
        "stage": "ended",
        "changed": changed(spec) if spec["overlay"] else [],
        "free": space.f_bavail * space.f_frsize,
        "free_files": space.f_favail,
    }
    print(json.dumps(ended), file=report)
    return 0


def build(spec: dict[str, Any]) -> str:
    """Unshare, mount, write the patched files; returns the path of bwrap to execute."""
    uid = os.geteuid()
    sources = [spec["project"]] if spec["project"] else []
    sources += spec["read_only"]
    if uid == 0:
        uid = spec["drop_to"]
        kernel.unshare(kernel.CLONE_NEWNS)
        prepare(spec, sources, uid)
        become(uid)
        kernel.enter_user_namespace(kernel.CLONE_NEWNS, 0, 0)
        kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    else:
        kernel.enter_user_namespace(kernel.CLONE_NEWNS, 0, 0)
        prepare(spec, sources, None)
    if spec["overlay"]:
        overlay()
        write_files(spec["files"])
    return str(spec["bwrap_inside"])


def prepare(spec: dict[str, Any], sources: list[str], uid: int | None) -> None:
    """The tmpfs over /tmp, with the sources attached below /tmp/m by their number.

    The sources are taken hold of first, since some may lie below /tmp. With `uid` (started as
    root) their owner is shown as that user, so that files which only their owner may read are
    readable, and a folder's closed parents do not matter.
    """
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    trees = []
    spaces: dict[tuple[int, int], int] = {}
    for source in sources + spec["bwrap_folders"]:
        owner = os.stat(source)
        tree = kernel.open_tree(source)
        if uid is not None:
            show_as(uid, tree, owner, spaces)
        trees.append((tree, stat.S_ISDIR(owner.st_mode)))
    kernel.mount(
        "tmpfs",
        BASE,
        "tmpfs",
        kernel.MS_NOSUID | kernel.MS_NODEV,
        "size={},nr_inodes={},mode=0755{}".format(
            spec["disk_bytes"],
            spec["inodes"],
            "" if uid is None else f",uid={uid},gid={uid}",
        ),
    )
    for name in ("m", "up", "work", "merged", "b", "private", "private/tmp", "private/shm"):
        make_folder(f"{BASE}/{name}", uid)
    for name in ("private/home",):
        make_folder(f"{BASE}/{name}", uid)
    targets = [f"{BASE}/m/{number}" for number in range(len(sources))]
    targets += [f"{BASE}/b/{os.path.basename(folder)}" for folder in spec["bwrap_folders"]]
    for (tree, is_folder), target in zip(trees, targets, strict=True):
        if is_folder:
            make_folder(target, uid)
        else:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        kernel.move_mount(tree, target)
        os.close(tree)


def make_folder(path: str, uid: int | None) -> None:
    os.mkdir(path, 0o755)
    if uid is not None:
        os.chown(path, uid, uid)


def show_as(uid: int, tree: int, owner: os.stat_result, spaces: dict[tuple[int, int], int]) -> None:
    """Let the owner's files be `uid`'s; where the file system cannot, modes decide as they are."""
    key = (owner.st_uid, owner.st_gid)
    try:
        if key not in spaces:
            spaces[key] = kernel.owner_namespace(*key, uid)
        kernel.map_owner(tree, spaces[key])
    except OSError:
        return


def become(uid: int) -> None:
    """Give up root for good; the kernel then forgets two settings, which are made again."""
    parent = os.getppid()
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
    kernel.die_with_parent(parent)


def overlay() -> None:
    """The project below, the tmpfs on top; `userxattr` is what user namespaces may use."""
    layers = f"lowerdir={BASE}/m/0,upperdir={BASE}/up,workdir={BASE}/work"
    flags = kernel.MS_NOSUID | kernel.MS_NODEV
    try:
        kernel.mount("overlay", MERGED, "overlay", flags, layers + ",userxattr")
    except OSError:
        kernel.mount("overlay", MERGED, "overlay", flags, layers)


def write_files(files: dict[str, str]) -> None:
    """Patched contents, with a modification time that no compiled file was made from."""
    for relative, encoded in files.items():
        target = os.path.normpath(os.path.join(MERGED, relative))
        folder = os.path.realpath(os.path.dirname(target))
        if not (folder + "/").startswith(MERGED + "/"):
            raise OSError(f"{relative} lies outside the project")
        os.makedirs(folder, exist_ok=True)
        try:
            before = os.lstat(target)
            os.unlink(target)
        except FileNotFoundError:
            before = None
        with open(target, "wb") as file:
            file.write(b64decode(encoded))
        if before is not None:
            os.chmod(target, stat.S_IMODE(before.st_mode))
            moved = before.st_mtime_ns + 2_000_000_000
            os.utime(target, ns=(moved, moved))


def run(bwrap: str, spec: dict[str, Any], engine: int) -> int:
    """Run bwrap in a pid namespace of its own; the wait status of that one's first process.

    Once that process is waited for, the kernel has ended all others of the namespace.
    """
    launcher = kernel.pidfd_open(os.getpid())
    kernel.unshare(kernel.CLONE_NEWPID)
    first = os.fork()
    if first == 0:
        code = 1
        try:
            code = keep(bwrap, spec, [engine, launcher])
        except OSError as why:
            failed(spec, str(why))
        finally:
            os._exit(code)
    for descriptor in (0, 1, 2):  # readers must see the end when the run's own copies close
        os.close(descriptor)
    return os.waitpid(first, 0)[1]


def keep(bwrap: str, spec: dict[str, Any], outside: list[int]) -> int:
    """In the namespace's first process: start bwrap and stay while it runs and is wanted.

    Returning ends everything in the namespace. `outside` are the processes that want the run.
    bwrap looks its own child up in /proc, so that has to show this namespace.
    """
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)  # quicker, where it holds
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("proc", "/proc", "proc", flags)
    child = os.fork()
    if child == 0:
        execute(bwrap, spec)
    handle = kernel.pidfd_open(child)
    kernel.close_others({*outside, handle})
    for descriptor in (0, 1, 2):
        os.close(descriptor)
    gone = kernel.first_gone([*outside, handle], spec["overdue_s"])
    if gone is None:
        return OVERDUE
    return 0 if gone == handle else WITHOUT_ENGINE


def execute(bwrap: str, spec: dict[str, Any]) -> None:
    """Become bwrap, under the limits; never returns."""
    try:
        for name, wanted in spec["rlimits"].items():
            limit = getattr(resource, name)
            hard = resource.getrlimit(limit)[1]
            value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(limit, (value, value))
        for kept in spec["pass"]:
            os.set_inheritable(kept, True)
        os.execve(bwrap, spec["argv"], {"PATH": os.defpath})
    except OSError as why:
        failed(spec, f"{bwrap}: {why}")
    finally:
        os._exit(1)


def failed(spec: dict[str, Any], why: str) -> None:
    os.write(spec["report"], (json.dumps({"stage": "failed", "why": why}) + "\n").encode())


def changed(spec: dict[str, Any]) -> list[str]:
    """What the run itself wrote or removed in the project, relative, bounded.

    Walked by hand: the run decides how deep and how odd the tree is.
    """
    found: list[str] = []
    given = {os.path.normpath(name): content for name, content in spec["files"].items()}
    pending = [""]
    while pending and len(found) < CHANGED_AT_MOST:
        folder = pending.pop()
        try:
            entries = list(os.scandir(os.path.join(BASE, "up", folder)))
        except OSError:
            found.append(folder)
            continue
        for entry in entries:
            name = os.path.join(folder, entry.name)
            if entry.is_dir(follow_symlinks=False) and len(name) < 3000:
                pending.append(name)
            elif name not in given or not same(name, given[name]):
                found.append(name)
    return found[:CHANGED_AT_MOST]


def same(relative: str, encoded: str) -> bool:
    try:
        with open(os.path.join(BASE, "up", relative), "rb") as file:
            return file.read() == b64decode(encoded)
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
