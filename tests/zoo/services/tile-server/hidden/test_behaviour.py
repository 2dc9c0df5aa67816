import os

import pytest

from tiles.app import TileApp
from tiles.files import NoTile, read_tile


@pytest.fixture
def root(tmp_path):
    return TileApp(tmp_path / "data").root


def test_known_tiles_are_not_sent_again(root):
    etag, content = read_tile(root, 1, 1)
    assert content == b"tile 1 1\n" * 40
    assert read_tile(root, 1, 1, etag) == (etag, None)
    assert read_tile(root, 1, 1, "old") == (etag, content)


def test_no_descriptor_stays_open_whatever_happens(root, monkeypatch):
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(NoTile):
        read_tile(root, 9, 9)
    read_tile(root, 1, 1)
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_unreadable_tile_keeps_none_either(root, monkeypatch):
    before = len(os.listdir("/proc/self/fd"))
    (root / "5-5.tile").mkdir()
    with pytest.raises(OSError):
        read_tile(root, 5, 5)
    left = len(os.listdir("/proc/self/fd"))
    assert left <= before + 1
