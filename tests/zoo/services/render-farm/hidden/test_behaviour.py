import json
import os
import threading
import urllib.error
import urllib.request
from http.server import ThreadingHTTPServer

from farm import Farm, make_handler

PATIENCE_S = float(os.environ.get("ZOO_PATIENCE_S", "40"))


def test_the_client_is_told_and_the_farm_goes_on():
    server = ThreadingHTTPServer(("127.0.0.1", 0), make_handler(Farm(workers=1)))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/previews"
    try:
        urllib.request.urlopen(f"{url}/huge?pages=900", timeout=PATIENCE_S)
        raise AssertionError("there is no preview of a cancelled job")
    except urllib.error.HTTPError as error:
        assert error.code in (400, 413, 422, 503, 504)
        assert json.loads(error.read())["error"]
    with urllib.request.urlopen(f"{url}/small?pages=2", timeout=PATIENCE_S) as reply:
        assert json.loads(reply.read())["preview"] == "preview of small, 2 pages"
    server.shutdown()


def test_a_long_preview_is_still_waited_for():
    farm = Farm(workers=1)
    assert farm.render("long", 400) == "preview of long, 400 pages"
