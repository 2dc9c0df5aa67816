import json
from wsgiref.util import setup_testing_defaults

from board.app import application


def get(path, query=""):
    environ = {"PATH_INFO": path, "QUERY_STRING": query}
    setup_testing_defaults(environ)
    seen = []
    body = b"".join(application(environ, lambda status, headers: seen.append(status)))
    return int(seen[0][:3]), json.loads(body)


def test_open_tickets_have_their_owners_name():
    status, body = get("/tickets", "state=open")
    assert status == 200
    assert [row["owner"] for row in body["tickets"]] == ["Anna Nowak", "Boris Lind"]


def test_a_ticket_without_owner_can_be_opened():
    status, body = get("/tickets/105")
    assert status == 200
    assert body["owner"] is None


def test_what_is_not_there():
    assert get("/tickets/7")[0] == 404
    assert get("/tickets/x")[0] == 400
    assert get("/nothing")[0] == 404
