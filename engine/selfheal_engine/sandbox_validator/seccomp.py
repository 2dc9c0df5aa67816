"""The seccomp filter of the wall, as BPF machine code for `bwrap --seccomp`.

A deny list over what namespaces alone do not close: kernel interfaces with a record of
privilege escalation, keyrings, clocks, tracing, terminal injection, socket families that are
not bound to the network namespace. Refused calls get EPERM, or ENOSYS where callers probe for
a newer call and fall back. Written by hand because libseccomp is not everywhere; the format is
Documentation/userspace-api/seccomp_filter.rst of the kernel.
"""

from __future__ import annotations

import errno
import platform
import struct

_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_KILL = 0x80000000

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000

# offsets in struct seccomp_data; the low halves of 64-bit arguments on little-endian machines
_NUMBER, _ARCH = 0, 4


def _argument(index: int) -> int:
    return 16 + 8 * index


_NAMESPACE_FLAGS = 0x7E020000
"""CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}."""

_DENIED = {
    # name: (x86_64, aarch64); calls newer than 2019 share their number
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "lookup_dcookie": (212, 18),
    "fanotify_init": (300, 262),
    "mbind": (237, 235),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    "set_mempolicy": (238, 237),
    "iopl": (172, -1),
    "ioperm": (173, -1),
    "modify_ldt": (154, -1),
    "uselib": (134, -1),
    "ustat": (136, -1),
    "sysfs": (139, -1),
}
_ABSENT = {
    # callers fall back when these say "no such call"
    "clone3": (435, 435),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
}
_WITHOUT_NAMESPACES = {
    # what a network and an IPC namespace would have kept apart
    "connect": (42, 203),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
}
_CLONE = (56, 220)
_IOCTL = (16, 29)
_SOCKET = (41, 198)
_PERSONALITY = (135, 92)

_TERMINAL_INJECTION = (0x5412, 0x541C)
"""TIOCSTI, TIOCLINUX."""
_SOCKET_FAMILIES = (1, 2, 10)
"""AF_UNIX, AF_INET, AF_INET6: all bound to the network namespace, which has no way out."""
_NETLINK = 16
"""AF_NETLINK with protocol 0 (routes) answers getifaddrs(); everything else is refused."""
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)


def _statement(code: int, value: int) -> bytes:
    return struct.pack("<HBBI", code, 0, 0, value & 0xFFFFFFFF)


def _jump(code: int, value: int, then: int, otherwise: int) -> bytes:
    return struct.pack("<HBBI", code, then, otherwise, value & 0xFFFFFFFF)


def _refuse(number: int) -> bytes:
    return _statement(_RETURN, _ERRNO | number)


def supported(machine: str = "") -> bool:
    """Whether the filter knows this architecture's call numbers."""
    return (machine or platform.machine()) in _AUDIT_ARCH


def program(machine: str = "", *, namespaces: bool = True) -> bytes:
    """The filter for this machine (or the one named): struct sock_filter after another.

    Without `namespaces` it also closes what these would have kept apart: sockets but for unix
    ones, connecting at all, System V IPC.
    """
    machine = machine or platform.machine()
    column = list(_AUDIT_ARCH).index(machine)
    code = [
        _statement(_LOAD, _ARCH),
        _jump(_JUMP_EQUAL, _AUDIT_ARCH[machine], 1, 0),
        _statement(_RETURN, _KILL),
        _statement(_LOAD, _NUMBER),
    ]
    if machine == "x86_64":
        code += [_jump(_JUMP_GREATER_EQUAL, _X32_BIT, 0, 1), _refuse(errno.ENOSYS)]
    denied = _DENIED if namespaces else {**_DENIED, **_WITHOUT_NAMESPACES}
    for table, number in ((denied, errno.EPERM), (_ABSENT, errno.ENOSYS)):
        for numbers in table.values():
            if numbers[column] >= 0:
                code += [_jump(_JUMP_EQUAL, numbers[column], 0, 1), _refuse(number)]
    code += _when(
        _CLONE[column],
        [
            _statement(_LOAD, _argument(0)),
            _jump(_JUMP_SET, _NAMESPACE_FLAGS, 0, 1),
            _refuse(errno.EPERM),
            _statement(_RETURN, _ALLOW),
        ],
    )
    code += _when(_IOCTL[column], _only_not(1, _TERMINAL_INJECTION))
    code += _when(_PERSONALITY[column], _only(0, _PERSONALITIES, errno.EPERM))
    families = _SOCKET_FAMILIES if namespaces else _SOCKET_FAMILIES[:1]
    code += _when(_SOCKET[column], _sockets(families))
    code.append(_statement(_RETURN, _ALLOW))
    return b"".join(code)


def _when(number: int, body: list[bytes]) -> list[bytes]:
    """Run `body`, which returns on every path, for one call."""
    return [_jump(_JUMP_EQUAL, number, 0, len(body)), *body]


def _only(argument: int, allowed: tuple[int, ...], number: int) -> list[bytes]:
    body = [_statement(_LOAD, _argument(argument))]
    for value in allowed:
        body += [_jump(_JUMP_EQUAL, value, 0, 1), _statement(_RETURN, _ALLOW)]
    return [*body, _refuse(number)]


def _only_not(argument: int, denied: tuple[int, ...]) -> list[bytes]:
    body = [_statement(_LOAD, _argument(argument))]
    for value in denied:
        body += [_jump(_JUMP_EQUAL, value, 0, 1), _refuse(errno.EPERM)]
    return [*body, _statement(_RETURN, _ALLOW)]


def _sockets(families: tuple[int, ...]) -> list[bytes]:
    body = [_statement(_LOAD, _argument(0))]
    for family in families:
        body += [_jump(_JUMP_EQUAL, family, 0, 1), _statement(_RETURN, _ALLOW)]
    return [
        *body,
        _jump(_JUMP_EQUAL, _NETLINK, 0, 3),
        _statement(_LOAD, _argument(2)),
        _jump(_JUMP_EQUAL, 0, 0, 1),
        _statement(_RETURN, _ALLOW),
        _refuse(errno.EAFNOSUPPORT),
    ]
