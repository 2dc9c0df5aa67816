"""A fresh set of namespaces for one job of the zygote: made by fork, in a few milliseconds.

The zygote already lives behind the whole outer wall. Each of its jobs gets, on top of that, its
own user, mount, pid, network, IPC, host-name and cgroup namespaces, its own sized tmpfs, its
own overlay over the project, its own limits; then every capability is dropped and the system
call filter is loaded, before anything of the project is imported.
"""

from __future__ import annotations

import base64
import ctypes
import fcntl
import json
import os
import resource
import select
import signal
import socket
import stat
import struct
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfheal_engine.sandbox_validator.inside import kernel
else:
    import kernel

BASE = "/tmp"
CHANGED_AT_MOST = 400
_PR_SET_SECCOMP, _FILTER = 22, 2
CAPABILITY_VERSION_3 = 0x20080522
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1
_POOR_BYTES = 256 * 1024

Job = dict[str, Any]


def enter(job: Job) -> None:
    """Shut this process's future children into namespaces of their own. Raises OSError."""
    kernel.enter_user_namespace(
        kernel.CLONE_NEWNS
        | kernel.CLONE_NEWPID
        | kernel.CLONE_NEWNET
        | kernel.CLONE_NEWIPC
        | kernel.CLONE_NEWUTS
        | kernel.CLONE_NEWCGROUP,
        os.geteuid(),
        os.getegid(),
    )


def furnish(job: Job) -> int:
    """In the new namespaces: mounts, files, limits; returns a descriptor of the overlay's layer."""
    root = job["root"]
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    flags = kernel.MS_NOSUID | kernel.MS_NODEV
    space = "size={},nr_inodes={},mode=0755".format(job["disk_bytes"], job["inodes"])
    home = os.environ.get("HOME", "")
    # folders that the mounts below will hide are held open
    inside = root.startswith(BASE + "/")
    held = kernel.open_tree(root)
    needed = [(place, kernel.open_tree(place)) for place in hidden_folders(root)]
    kernel.mount("tmpfs", BASE, "tmpfs", flags, space)
    for name in ("lower", "up", "work", "tmp", "shm", "home"):
        os.mkdir(os.path.join(BASE, name), 0o755)
    kernel.move_mount(held, BASE + "/lower")
    layers = f"lowerdir={BASE}/lower,upperdir={BASE}/up,workdir={BASE}/work"
    if inside:
        os.makedirs(os.path.join(BASE, "tmp", os.path.relpath(root, BASE)))
    written = os.open(BASE + "/up", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    place = os.path.join(BASE, "tmp", os.path.relpath(root, BASE)) if inside else root
    try:
        kernel.mount("overlay", place, "overlay", flags, layers + ",userxattr")
    except OSError:
        kernel.mount("overlay", place, "overlay", flags, layers)
    for folder, tree in needed:
        inner = os.path.join(BASE, "tmp", os.path.relpath(folder, BASE))
        os.makedirs(inner, exist_ok=True)
        kernel.move_mount(tree, inner)
    kernel.mount(BASE + "/shm", "/dev/shm", "", kernel.MS_BIND)
    if home and os.path.isdir(home):
        kernel.mount(BASE + "/home", home, "", kernel.MS_BIND)
    kernel.mount(BASE + "/tmp", BASE, "", kernel.MS_BIND | kernel.MS_REC)
    try:
        kernel.mount("proc", "/proc", "proc", flags)
    except OSError:
        # where the kernel shows only part of /proc, the outer sandbox's stays: no process of
        # it can be signalled or read from here, since the user namespace is another
        pass
    raise_loopback()
    write_files(root, job["files"])
    for name, value in job["rlimits"].items():
        limit = getattr(resource, name)
        hard = resource.getrlimit(limit)[1]
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (allowed, allowed))
    return written


def hidden_folders(root: str) -> list[str]:
    """Folders that the zygote sees below BASE besides the project: an interpreter may lie there."""
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        places = [line.split()[4].encode().decode("unicode_escape") for line in table]
    found: list[str] = []
    for place in sorted(set(places)):
        apart = not (place + "/").startswith(root + "/") and not root.startswith(place + "/")
        nested = any(place.startswith(outer + "/") for outer in found)
        if place.startswith(BASE + "/") and apart and not nested and os.path.isdir(place):
            found.append(place)
    return found


def raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))


def write_files(root: str, files: dict[str, str]) -> None:
    """Patched contents, with a modification time that no compiled file was made from."""
    for relative, encoded in files.items():
        target = os.path.normpath(os.path.join(root, relative))
        folder = os.path.realpath(os.path.dirname(target))
        if not (folder + "/").startswith(root + "/"):
            raise OSError(f"{relative} lies outside the project")
        os.makedirs(folder, exist_ok=True)
        try:
            before = os.lstat(target)
            os.unlink(target)
        except FileNotFoundError:
            before = None
        with open(target, "wb") as file:
            file.write(base64.b64decode(encoded))
        if before is not None:
            os.chmod(target, stat.S_IMODE(before.st_mode))
            moved = before.st_mtime_ns + 2_000_000_000
            os.utime(target, ns=(moved, moved))


class CapabilityHeader(ctypes.Structure):
    """struct __user_cap_header_struct, capget(2)."""

    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class FilterProgram(ctypes.Structure):
    """struct sock_fprog, seccomp(2)."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def lock(filter_code: bytes) -> None:
    """Give up every capability for good and load the system call filter."""
    for capability in range(64):
        if kernel.libc.prctl(kernel.PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) < 0:
            break  # beyond the last one that this kernel knows
    header = CapabilityHeader(CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    kernel.check(kernel.libc.capset(ctypes.byref(header), ctypes.byref(nothing)), "capset")
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    load_filter(filter_code)


def load_filter(filter_code: bytes) -> None:
    """Load the system call filter; needs no_new_privs."""
    code = ctypes.create_string_buffer(filter_code, len(filter_code))
    program = FilterProgram(len(filter_code) // 8, ctypes.addressof(code))
    kernel.check(
        kernel.libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_FILTER), ctypes.byref(program), 0, 0),
        "seccomp",
    )


def serve(job: Job, out: int) -> None:
    """Run one job in a cell of its own and write its records, then a closing line, to `out`.

    Called in a fork of the zygote; never returns.
    """
    try:
        kernel.die_with_parent(job["parent"])
        enter(job)
        kernel.die_with_parent(job["parent"])  # new credentials may have taken it back
        watched, held = os.pipe()
        first = os.fork()
        if first:
            os.close(out)
            os.waitpid(first, 0)
            os._exit(0)
        os.close(held)
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if select.select([watched], [], [], 0)[0]:
            os._exit(0)  # who should hold the other end was killed before that took effect
        os.close(watched)
        written = furnish(job)
        lock(base64.b64decode(job["filter"]))
    except (OSError, ValueError) as why:
        write_all(out, json.dumps({"cell": "failed", "why": str(why)}).encode() + b"\n")
        os._exit(0)
    run_script(job, out)
    space = os.statvfs(BASE)
    closing = {
        "cell": "ended",
        "changed": changed(written, job["files"]),
        "full": space.f_bavail * space.f_frsize < _POOR_BYTES or space.f_favail == 0,
    }
    write_all(out, json.dumps(closing).encode() + b"\n")
    os._exit(0)


def run_script(job: Job, out: int) -> None:
    import importlib
    import random

    random.seed()  # or every fork would draw the zygote's numbers
    importlib.invalidate_caches()
    os.environ.update(job["env"])
    try:
        importlib.import_module(job["script"]).supervise(job["body"], out)
    except Exception as why:  # the records that are missing speak for themselves
        print(f"the job broke off: {why!r}", file=sys.stderr)


def changed(layer: int, files: dict[str, str]) -> list[str]:
    """What the job wrote or removed in the project, without the files it was given."""
    found: list[str] = []
    pending = [""]
    given = {os.path.normpath(name) for name in files}
    while pending and len(found) < CHANGED_AT_MOST:
        folder = pending.pop()
        try:
            handle = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=layer)
        except OSError:
            found.append(folder)
            continue
        try:
            with os.scandir(handle) as entries:
                for entry in entries:
                    name = os.path.join(folder, entry.name)
                    if entry.is_dir(follow_symlinks=False) and len(name) < 3000:
                        pending.append(name)
                    elif name not in given or not same(layer, name, files):
                        found.append(name)
        finally:
            os.close(handle)
    return found[:CHANGED_AT_MOST]


def same(layer: int, relative: str, files: dict[str, str]) -> bool:
    try:
        handle = os.open(relative, os.O_RDONLY, dir_fd=layer)
    except OSError:
        return False
    with os.fdopen(handle, "rb") as file:
        encoded = next(v for name, v in files.items() if os.path.normpath(name) == relative)
        return file.read() == base64.b64decode(encoded)


def write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]
