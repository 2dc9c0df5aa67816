"""Tiles on disk, read with plain descriptors: no buffering layer is needed for whole files."""

import hashlib
import os

LARGEST = 1 << 20


class NoTile(Exception):
    """There is no such tile."""


def tile_path(root, x, y):
    return os.path.join(root, f"{int(x)}-{int(y)}.tile")


def read_tile(root, x, y, known=None):
    """(etag, content) of a tile; the content is None where the client knows the etag already."""
    try:
        descriptor = os.open(tile_path(root, x, y), os.O_RDONLY)
    except FileNotFoundError:
        raise NoTile(f"{x}/{y}") from None
    content = os.read(descriptor, LARGEST)
    etag = hashlib.sha1(content).hexdigest()[:16]
    if etag == known:
        return etag, None
    os.close(descriptor)
    return etag, content
