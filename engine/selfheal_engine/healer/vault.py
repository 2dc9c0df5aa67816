"""Originals, kept by the hash of their content: what a roll-back restores from."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Container
from pathlib import Path

from selfheal_engine.errors import SelfhealError
from selfheal_engine.healer.files import sync_folder
from selfheal_engine.project import sha256


def keep(vault: Path, content: bytes) -> str:
    """Store `content`, on the disk when this returns; its hash. Raises SelfhealError."""
    digest = sha256(content)
    path = _path(vault, digest)
    if path.exists():
        os.utime(path)  # used again: `forget_old` counts from now
        return digest
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_name(f"{digest}.{secrets.token_hex(4)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
        sync_folder(path.parent)
    except OSError as why:
        raise SelfhealError(
            f"cannot keep the original in {vault}: {why.strerror}; nothing was applied"
        ) from None
    return digest


def fetch(vault: Path, digest: str) -> bytes:
    """The content with this hash. Raises SelfhealError when it is lost or damaged."""
    try:
        content = _path(vault, digest).read_bytes()
    except OSError as why:
        raise SelfhealError(f"the kept original {digest[:12]} cannot be read: {why}") from None
    if sha256(content) != digest:
        raise SelfhealError(f"the kept original {digest[:12]} in {vault} is damaged")
    return content


def forget_old(vault: Path, older_than_s: float, kept: Container[str]) -> int:
    """Remove what was stored longer ago and is not among the hashes `kept`; how many went."""
    gone = 0
    limit_s = time.time() - older_than_s
    for path in vault.glob("??/*"):
        if path.name not in kept and path.stat().st_mtime < limit_s:
            path.unlink(missing_ok=True)
            gone += 1
    return gone


def _path(vault: Path, digest: str) -> Path:
    return vault / digest[:2] / digest
