import io
import json
from wsgiref.util import setup_testing_defaults

from jobs.board import Board
from jobs.web import make_app


def test_the_oldest_job_comes_first(tmp_path):
    board = Board(tmp_path)
    board.add("one")
    board.add("two")
    assert board.claim("w1") == (1, "one")
    assert board.claim("w1") == (2, "two")
    assert board.claim("w1") is None


def test_a_released_job_waits_again(tmp_path):
    board = Board(tmp_path)
    board.add("one")
    board.release(*board.claim("w1"))
    assert board.waiting() == 1


def test_over_http(tmp_path):
    app = make_app(Board(tmp_path))

    def post(path, body):
        raw = json.dumps(body).encode()
        environ = {"REQUEST_METHOD": "POST", "PATH_INFO": path, "CONTENT_LENGTH": str(len(raw))}
        environ["wsgi.input"] = io.BytesIO(raw)
        setup_testing_defaults(environ)
        return json.loads(b"".join(app(environ, lambda *words: None)))

    assert post("/jobs", {"what": "x"}) == {"number": 1}
    assert post("/claims", {"worker": "w"}) == {"job": [1, "x"]}
    assert post("/claims", {"worker": "w"}) == {"job": None}
