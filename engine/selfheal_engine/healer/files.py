"""Writing a source file so that it is whole at every moment and stays the owner's.

The new text goes to a temporary file in the same folder, is synced, takes over mode, owner and
extended attributes, and is renamed over the old one; the folder is synced too. The
modification time always moves by at least a whole second: Python's bytecode cache compares
whole seconds and the size, so a same-size patch in the same second would leave stale code.
A symbolic link stays one; of several hard links only the patched name gets the new text, as
the others belong to other releases or to a package cache.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from contextlib import suppress
from pathlib import Path

from selfheal_engine.errors import PatchConflictError, SelfhealError
from selfheal_engine.project import Project, sha256

_TEMPORARY = re.compile(r"\.selfheal-[0-9a-f]{8}\.tmp$")
_BOM = b"\xef\xbb\xbf"


def place(project: Project, relative: str) -> Path:
    """The file that a patch's path means. Raises SelfhealError when it leaves the project."""
    root = project.root.resolve()
    path = (root / relative).resolve()
    if Path(relative).is_absolute() or not path.is_relative_to(root) or path == root:
        raise SelfhealError(f"the patch names {relative}, which is outside {root}: not applied")
    return path


def content_hash(path: Path) -> str:
    """sha256 of the file's content, "" where there is no file. Raises SelfhealError."""
    try:
        return sha256(path.read_bytes())
    except FileNotFoundError:
        return ""
    except OSError as why:
        raise SelfhealError(f"cannot read {path}: {why.strerror}") from None


def keep_conventions(original: bytes, new: bytes) -> bytes:
    """`new` with the original's byte order mark and, where it had one kind only, line endings."""
    if original.startswith(_BOM) and not new.startswith(_BOM):
        new = _BOM + new
    windows = original.count(b"\r\n")
    if windows and windows == original.count(b"\n"):
        new = new.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return new


def atomic_write(path: Path, content: bytes, *, expected: str) -> None:
    """Replace the file, whose content must have the hash `expected` ("": must not exist).

    Raises PatchConflictError when it has another, SelfhealError when it cannot be written.
    """
    temporary = path.with_name(f".selfheal-{secrets.token_hex(4)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                _take_over(path, file.fileno())
                os.fsync(file.fileno())
            if content_hash(path) != expected:
                raise PatchConflictError(
                    f"{path} is not what the patch was made for any more: nothing was written"
                )
            os.rename(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as why:
        raise SelfhealError(
            f"cannot write {path}: {why.strerror}; check the file's owner, or use "
            "--apply-mode export"
        ) from None


def write_new_file(path: Path, content: bytes) -> None:
    """Make a file that must not exist yet. Raises SelfhealError."""
    if path.exists():
        raise SelfhealError(f"{path} exists already: nothing was written")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        atomic_write(path, content, expected="")
    except PatchConflictError:
        raise SelfhealError(f"{path} exists already: nothing was written") from None


def remove_file(path: Path, *, expected: str) -> None:
    """Take away a file that a patch made, unless someone changed it since."""
    if content_hash(path) != expected:
        raise PatchConflictError(f"{path} was changed after the patch made it: it was left there")
    path.unlink()
    sync_folder(path.parent)


def sweep(folder: Path) -> None:
    """Remove temporary files that a killed engine left."""
    with suppress(OSError):
        for entry in folder.iterdir():
            if _TEMPORARY.search(entry.name):
                entry.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a rename in the folder survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _take_over(path: Path, descriptor: int) -> None:
    """Mode, owner, attributes and a later modification time, from the file that is replaced."""
    try:
        old = os.stat(path)
    except FileNotFoundError:
        os.fchmod(descriptor, 0o666 & ~_umask())
        return
    mine = os.fstat(descriptor)
    if (mine.st_uid, mine.st_gid) != (old.st_uid, old.st_gid):
        os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, old.st_mode & 0o7777)
    with suppress(OSError):  # a file system without attributes
        for name in os.listxattr(path):
            os.setxattr(descriptor, name, os.getxattr(path, name))
    now_ns = time.time_ns()
    later_ns = (old.st_mtime_ns // 1_000_000_000 + 1) * 1_000_000_000
    moved_ns = now_ns if now_ns >= later_ns else later_ns
    os.utime(descriptor, ns=(now_ns, moved_ns))


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current
