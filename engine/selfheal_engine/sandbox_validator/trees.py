"""A project's tree as one archive that is named by its content, and the trees a worker keeps.

Equal trees give equal archives: names in order, no times, no owners. So an archive is sent to
a worker once, and what was learned about it there holds for as long as it is kept.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import shutil
import tarfile
import tempfile
import time
from pathlib import Path

from selfheal_engine.errors import SelfhealError
from selfheal_engine.project import SKIPPED_FOLDERS, sha256

LARGEST_BYTES = 256 << 20
"""A tree with more in it is not sent anywhere."""
KEPT_AT_MOST = 8
_UNUSED_S = 86400.0
"""A tree is only removed when nobody has asked for it for a day."""


def pack(root: Path) -> tuple[str, bytes]:
    """(sha256 of the archive, the archive). Raises SelfhealError when the tree is too large.

    Virtual environments, caches and version control stay behind, as do sockets, devices and
    links that lead out of the tree. A file that vanishes meanwhile is left out.
    """
    raw = io.BytesIO()
    room = LARGEST_BYTES
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name in _names(root):
            path = root / name
            entry = tarfile.TarInfo(name)
            try:
                entry.mode = 0o755 if os.lstat(path).st_mode & 0o100 else 0o644
                if path.is_symlink():
                    entry.type, entry.linkname, content = tarfile.SYMTYPE, os.readlink(path), b""
                elif path.is_dir():
                    entry.type, entry.mode, content = tarfile.DIRTYPE, 0o755, b""
                else:
                    content = path.read_bytes()
            except OSError:
                continue
            room -= len(content)
            if room < 0:
                raise SelfhealError(
                    f"{root} holds more than {LARGEST_BYTES >> 20} MiB and is not sent to a "
                    "cluster; its patches are tried on this machine"
                )
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    packed = gzip.compress(raw.getvalue(), 1, mtime=0)
    return sha256(packed), packed


def _names(root: Path) -> list[str]:
    """What of the tree is packed, relative, in order; a folder comes before what is in it."""
    found: list[str] = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in SKIPPED_FOLDERS]
        for name in (*folders, *files):
            path = Path(folder, name)
            if path.is_symlink():
                wanted = not os.path.isabs(os.readlink(path)) and _within(path, root)
            else:
                wanted = path.is_dir() or path.is_file()
            if wanted:
                found.append(path.relative_to(root).as_posix())
    return sorted(found)


def _within(link: Path, root: Path) -> bool:
    target = os.path.normpath(os.path.join(link.parent, os.readlink(link)))
    return Path(target).is_relative_to(root)


def _unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """Plain files, folders and links that stay inside. Raises ValueError for anything else."""
    if hasattr(tarfile, "data_filter"):
        archive.extractall(folder, filter="data")
        return
    # Python before 3.11.4 knows no filters: what `pack` writes passes, and nothing else
    for member in archive:
        kept = member.isreg() or member.isdir()
        if member.issym():
            kept = _stays(os.path.join(os.path.dirname(member.name), member.linkname))
        if not kept or not _stays(member.name):
            raise ValueError(f"{member.name} does not belong into a project's tree")
    archive.extractall(folder)


def _stays(name: str) -> bool:
    """Whether a relative name leads nowhere out of the folder it starts from."""
    return not os.path.isabs(name) and os.path.normpath(name).split(os.sep)[0] != os.pardir


class Trees:
    """Unpacked trees on a worker's disk, by the hash of their archive. Safe between processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, digest: str) -> Path | None:
        """The folder of a tree, None when it was never received here."""
        place = self._folder / digest
        if not place.is_dir():
            return None
        with contextlib.suppress(OSError):
            os.utime(place)  # last used now
        return place

    def receive(self, digest: str, packed: bytes) -> Path:
        """Unpack an archive. Raises ValueError when it is not what its name says."""
        if sha256(packed) != digest:
            raise ValueError("the archive was damaged on its way")
        known = self.find(digest)
        if known is not None:
            return known
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = Path(tempfile.mkdtemp(prefix=".part-", dir=self._folder))
        try:
            with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
                _unpack(archive, part)
            part.rename(self._folder / digest)
        except OSError:
            if not (self._folder / digest).is_dir():  # else another process was faster
                raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
        self._forget_old()
        return self._folder / digest

    def _forget_old(self) -> None:
        places = []
        for place in self._folder.iterdir():
            with contextlib.suppress(OSError):
                places.append((place.stat().st_mtime, place))
        for used_s, place in sorted(places)[:-KEPT_AT_MOST]:
            if time.time() - used_s > _UNUSED_S:
                shutil.rmtree(place, ignore_errors=True)
