import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from labels.app import app, label_for
from labels.partner import Partner, PartnerDown


@pytest.fixture
def partner(monkeypatch):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path.endswith("20095") else 503)
            self.end_headers()
            self.wfile.write(b'{"town": "Hamburg"}')

        def log_message(self, *words):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{server.server_port}"
    monkeypatch.setattr("labels.app.partner", Partner(address))
    yield Partner(address)
    server.shutdown()
    server.server_close()


def test_a_checked_label(partner):
    assert label_for(20095) == {"code": 20095, "checked": True, "town": "Hamburg"}


def test_an_unchecked_label(partner):
    assert label_for(11111) == {"code": 11111, "checked": False}
    with pytest.raises(PartnerDown):
        partner.look_up(11111)


def test_tariffs():
    assert app.test_client().get("/tariffs/1001").get_json()["cents"] == 595
