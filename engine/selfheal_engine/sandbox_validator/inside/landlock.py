"""Landlock: a process gives up access to every path, port and signal that it does not list.

Documentation/userspace-api/landlock.rst of the kernel. Version 6 (Linux 6.12) is the oldest that
keeps signals and abstract sockets inside as well.
"""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING or __package__:
    from selfheal_engine.sandbox_validator.inside import kernel
else:
    import kernel

OLDEST = 6
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_GET_VERSION = 1
_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_TRUNCATE, _IOCTL_DEVICE = 1 << 14, 1 << 15
_MAKE_DEVICES = 1 << 6 | 1 << 11
_ALL = (1 << 16) - 1
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE
_TCP = 0b11
_SCOPES = 0b11

READ = _EXECUTE | _READ_FILE | _READ_DIR
WRITE = _ALL & ~_MAKE_DEVICES & ~_IOCTL_DEVICE


class Ruleset(ctypes.Structure):
    """struct landlock_ruleset_attr."""

    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scopes", ctypes.c_uint64),
    )


class Beneath(ctypes.Structure):
    """struct landlock_path_beneath_attr."""

    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """The kernel's Landlock version, 0 where there is none."""
    found = kernel.libc.syscall(ctypes.c_long(_CREATE), None, ctypes.c_size_t(0), _GET_VERSION)
    return max(0, int(found))


def restrict(readable: list[str], writable: list[str]) -> None:
    """Keep only these paths; no TCP, no signals or abstract sockets beyond our own processes.

    For good, for this process and all its children. Needs no_new_privs. Raises OSError.
    """
    attributes = Ruleset(_ALL, _TCP, _SCOPES)
    ruleset = kernel.check(
        kernel.libc.syscall(
            ctypes.c_long(_CREATE),
            ctypes.byref(attributes),
            ctypes.c_size_t(ctypes.sizeof(attributes)),
            0,
        ),
        "landlock_create_ruleset",
    )
    for paths, rights in ((readable, READ), (writable, WRITE)):
        for path in paths:
            allow(ruleset, path, rights)
    kernel.check(kernel.libc.syscall(ctypes.c_long(_RESTRICT), ruleset, 0), "landlock_restrict")
    os.close(ruleset)


def allow(ruleset: int, path: str, rights: int) -> None:
    """Missing paths are left out: there is nothing to reach."""
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        wanted = rights if os.path.isdir(path) else rights & _ON_FILES
        rule = Beneath(wanted, place)
        kernel.check(
            kernel.libc.syscall(ctypes.c_long(_ADD), ruleset, _PATH_BENEATH, ctypes.byref(rule), 0),
            f"landlock_add_rule {path}",
        )
    finally:
        os.close(place)
