"""The WSGI application."""

import json
import logging

log = logging.getLogger(__name__)


def make_app(board):
    def application(environ, start_response):
        try:
            status, body = route(board, environ)
        except Exception:
            log.exception("%s failed", environ.get("PATH_INFO"))
            status, body = "500 Internal Server Error", {"error": "internal error"}
        payload = json.dumps(body).encode()
        start_response(status, [("Content-Length", str(len(payload)))])
        return [payload]

    return application


def route(board, environ):
    method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "/")
    if (method, path) == ("GET", "/jobs"):
        return "200 OK", {"waiting": board.waiting()}
    if method != "POST":
        return "404 Not Found", {"error": "no such page"}
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = json.loads(environ["wsgi.input"].read(length) or b"{}")
    if path == "/jobs":
        return "201 Created", {"number": board.add(body.get("what", ""))}
    if path == "/claims":
        job = board.claim(body.get("worker", "?"))
        return "200 OK", {"job": job}
    return "404 Not Found", {"error": "no such page"}
