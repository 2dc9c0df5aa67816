import os
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from labels import app as labels
from labels.partner import Partner

PATIENCE_S = float(os.environ.get("ZOO_PATIENCE_S", "40"))


def test_the_label_is_printed_unchecked(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(labels, "partner", Partner(f"127.0.0.1:{silent.getsockname()[1]}"))
        seen = []
        thread = threading.Thread(target=lambda: seen.append(labels.label_for(20095)), daemon=True)
        thread.start()
        thread.join(PATIENCE_S)
        assert seen == [{"code": 20095, "checked": False}]


def test_a_partner_as_slow_as_usual_is_waited_for(monkeypatch):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            time.sleep(0.15)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"town": "Hamburg"}')

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(labels, "partner", Partner(f"127.0.0.1:{server.server_port}"))
    assert labels.label_for(20095)["checked"] is True
    server.shutdown()
    server.server_close()
