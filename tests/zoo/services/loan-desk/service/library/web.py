"""The WSGI application."""

import json
import logging

from library.loans import Loans, NoSuchLoan

log = logging.getLogger(__name__)
loans = Loans()
for weeks in range(1, 6):
    loans.lend(f"starter {weeks}", 7 * weeks)


def respond(environ):
    method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "/")
    if (method, path) == ("POST", "/loans"):
        body = json.loads(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        return "201 Created", {"loan": loans.lend(body["book"], int(body["days"]))}
    if (method, path) == ("GET", "/overdue"):
        return "200 OK", {"overdue": loans.overdue_loans()}
    if method == "GET" and path.startswith("/loans/"):
        return "200 OK", loans.show(int(path.rsplit("/", 1)[-1]))
    return "404 Not Found", {"error": "no such page"}


def application(environ, start_response):
    try:
        status, body = respond(environ)
    except NoSuchLoan:
        status, body = "404 Not Found", {"error": "no such loan"}
    payload = json.dumps(body).encode()
    start_response(status, [("Content-Length", str(len(payload)))])
    return [payload]
