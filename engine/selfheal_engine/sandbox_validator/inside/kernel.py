"""The few Linux system calls that Python's standard library lacks, through ctypes.

Numbers from the kernel's generic table (include/uapi/asm-generic/unistd.h): calls added since
2019 have the same number on every architecture. Python 3.9 and later, nothing imported but
the standard library.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
from typing import Any

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 2

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 4
MOUNT_ATTR_IDMAP = 0x00100000

_OPEN_TREE = 428
_PIDFD_OPEN = 434
_MOVE_MOUNT = 429
_MOUNT_SETATTR = 442

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

libc: Any = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


class MountAttributes(ctypes.Structure):
    """struct mount_attr of mount_setattr(2)."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def check(result: int, what: str) -> int:
    """`result`, or OSError with the call's errno when it is negative."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return int(result)


def unshare(flags: int) -> None:
    check(libc.unshare(flags), f"unshare({flags:#x})")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    check(
        libc.mount(
            source.encode(),
            target.encode(),
            kind.encode() or None,
            ctypes.c_ulong(flags),
            options.encode() or None,
        ),
        f"mount {kind or source} on {target}",
    )


def open_tree(path: str) -> int:
    """A descriptor of a detached copy of the mounts at `path`."""
    return check(
        libc.syscall(
            ctypes.c_long(_OPEN_TREE),
            ctypes.c_int(AT_FDCWD),
            path.encode(),
            ctypes.c_uint(OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE),
        ),
        f"open_tree {path}",
    )


def move_mount(tree: int, target: str) -> None:
    """Attach what `open_tree` gave at `target`."""
    check(
        libc.syscall(
            ctypes.c_long(_MOVE_MOUNT),
            ctypes.c_int(tree),
            b"",
            ctypes.c_int(AT_FDCWD),
            target.encode(),
            ctypes.c_uint(MOVE_MOUNT_F_EMPTY_PATH),
        ),
        f"move_mount to {target}",
    )


def map_owner(tree: int, namespace: int) -> None:
    """Show the files of this detached tree with the owners that `namespace` maps them to.

    An ID-mapped mount (mount_setattr(2), Linux 5.12): only this mount sees it, the disk does
    not change. Raises OSError where the file system cannot do it.
    """
    attributes = MountAttributes(MOUNT_ATTR_IDMAP, 0, 0, namespace)
    check(
        libc.syscall(
            ctypes.c_long(_MOUNT_SETATTR),
            ctypes.c_int(tree),
            b"",
            ctypes.c_uint(AT_EMPTY_PATH | AT_RECURSIVE),
            ctypes.byref(attributes),
            ctypes.c_size_t(ctypes.sizeof(attributes)),
        ),
        "mount_setattr",
    )


def owner_namespace(owner: int, group: int, uid: int) -> int:
    """A user namespace, for `map_owner`, that sends `owner`:`group` on disk to `uid`."""
    return _user_namespace(_shift(owner, uid), _shift(group, uid))


def _shift(owner: int, uid: int) -> str:
    """ID map that sends `owner` to `uid` and leaves the ids around it as they are."""
    lines = []
    if owner > 0:
        lines.append(f"0 0 {owner}")
    lines.append(f"{owner} {uid} 1")
    lines.append(f"{owner + 1} {owner + 1} {max(1, min(uid, 1 << 20) - owner - 1)}")
    return "\n".join(lines)


def _user_namespace(uid_map: str, gid_map: str) -> int:
    """A descriptor of a new user namespace with these maps (needs privilege)."""
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(go[1])  # so that the read below ends with our parent, however that ends
            unshare(CLONE_NEWUSER)
            os.write(ready[1], b"x")
            os.read(go[0], 1)
        finally:
            os._exit(0)
    try:
        os.close(ready[1])
        os.read(ready[0], 1)
        write_text(f"/proc/{child}/uid_map", uid_map)
        write_text(f"/proc/{child}/gid_map", gid_map)
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(ready[0])
        os.close(go[0])
        os.close(go[1])
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def enter_user_namespace(flags: int, inside_uid: int, inside_gid: int) -> None:
    """Unshare a user namespace (and `flags`) in which the caller is `inside_uid`."""
    uid, gid = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER | flags)
    write_text("/proc/self/setgroups", "deny")
    write_text("/proc/self/gid_map", f"{inside_gid} {gid} 1")
    write_text("/proc/self/uid_map", f"{inside_uid} {uid} 1")


def write_text(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def prctl(option: int, value: int = 0) -> None:
    check(libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0), f"prctl({option})")


def die_with_parent(parent: int) -> None:
    """Get SIGKILL when the thread that started us ends; leave now when it already has."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def pidfd_open(pid: int) -> int:
    """A descriptor of a process, readable once it is gone; never a later one of that number.

    Unlike a pipe it has no other end that a process inside could hold open, and unlike a parent
    death signal it does not depend on when it was asked for, nor on credentials.
    """
    return check(
        libc.syscall(ctypes.c_long(_PIDFD_OPEN), ctypes.c_int(pid), ctypes.c_uint(0)),
        f"pidfd_open {pid}",
    )


def first_gone(handles: list[int], seconds: float | None) -> int | None:
    """The first of these processes (pidfd_open) that is gone; None when time ran out."""
    poll = select.poll()
    for handle in handles:
        poll.register(handle, select.POLLIN)
    gone = poll.poll(None if seconds is None else seconds * 1000)
    return gone[0][0] if gone else None


def hold_parent(parent: int) -> int:
    """A descriptor of our parent, which must be `parent`; leave now when it is gone."""
    try:
        handle = pidfd_open(parent)
    except ProcessLookupError:
        sys.exit(1)
    if os.getppid() != parent:
        sys.exit(1)
    return handle


def close_others(kept: set[int]) -> None:
    """Close every descriptor but the standard three and `kept`."""
    for name in os.listdir("/proc/self/fd"):
        number = int(name)
        if number > 2 and number not in kept:
            try:
                os.close(number)
            except OSError:
                continue  # the listing's own
