import threading
import urllib.error
import urllib.request
from http.server import ThreadingHTTPServer

import pytest

import app
from importer import prices


@pytest.fixture
def url():
    prices.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), app.Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/prices"
    server.shutdown()
    server.server_close()


def post(url, body):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=5) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        return error.code


def test_an_upload_in_another_encoding_is_refused_or_read_right(url):
    status = post(url, "name;price\nGrütze;3.50\n".encode("latin-1"))
    assert status == 200 and prices == {"Grütze": "3.50"} or 400 <= status < 500 and prices == {}


def test_the_list_is_never_taken_in_part(url):
    status = post(url, b"name;price\nSalt;1\nGr\xfctze;3.50\n")
    if status == 200:
        assert prices == {"Salt": "1", "Grütze": "3.50"}
    else:
        assert 400 <= status < 500
        assert prices == {}


def test_utf_8_is_read_as_ever(url):
    assert post(url, "name;price\nKäse;1\n".encode()) == 200
    assert prices == {"Käse": "1"}
