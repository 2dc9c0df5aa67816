"""The WSGI application: routes by hand, JSON out."""

import json
from urllib.parse import parse_qs

from board import views

REASONS = {200: "200 OK", 400: "400 Bad Request", 404: "404 Not Found", 405: "405 Method Not Allowed"}


def application(environ, start_response):
    status, body = route(environ)
    payload = json.dumps(body).encode()
    start_response(
        REASONS[status],
        [("Content-Type", "application/json"), ("Content-Length", str(len(payload)))],
    )
    return [payload]


def route(environ):
    if environ["REQUEST_METHOD"] != "GET":
        return 405, {"error": "read only"}
    parts = [part for part in environ.get("PATH_INFO", "/").split("/") if part]
    if parts == ["tickets"]:
        return views.list_tickets(parse_qs(environ.get("QUERY_STRING", "")))
    if len(parts) == 2 and parts[0] == "tickets":
        if not parts[1].isdigit():
            return 400, {"error": "a ticket has a number"}
        return views.show_ticket(int(parts[1]))
    return 404, {"error": "no such page"}
