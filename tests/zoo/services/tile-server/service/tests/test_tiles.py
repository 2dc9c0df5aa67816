from wsgiref.util import setup_testing_defaults

import pytest

from tiles.app import TileApp
from tiles.files import NoTile, read_tile


@pytest.fixture
def app(tmp_path):
    return TileApp(tmp_path / "data")


def get(app, path, **headers):
    environ = {"PATH_INFO": path, **headers}
    setup_testing_defaults(environ)
    seen = []
    body = b"".join(app(environ, lambda status, names: seen.append((status[:3], dict(names)))))
    return (*seen[0], body)


def test_a_tile_and_its_etag(app):
    status, headers, body = get(app, "/tiles/1/2")
    assert status == "200"
    assert body.startswith(b"tile 1 2\n")
    assert get(app, "/tiles/1/2", HTTP_IF_NONE_MATCH=headers["ETag"])[0] == "304"


def test_what_is_not_there(app):
    assert get(app, "/tiles/9/9")[0] == "404"
    assert get(app, "/tiles/9")[0] == "400"
    with pytest.raises(NoTile):
        read_tile(app.root, 9, 9)
