import os

from tiles.app import TileApp
from tiles.files import read_tile


def test_known_tiles_keep_no_descriptor(tmp_path):
    app = TileApp(tmp_path / "data")
    etag, _ = read_tile(app.root, 1, 1)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        read_tile(app.root, 1, 1, etag)
    assert len(os.listdir("/proc/self/fd")) == before
