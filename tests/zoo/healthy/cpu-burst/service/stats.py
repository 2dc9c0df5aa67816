"""Values in, statistics out; summed up every twenty seconds.

    python stats.py PORT
"""

import json
import logging
import sys
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

EVERY_S = 20
values = deque(range(1000), maxlen=1000)
summary = {"sum": 0, "spread": 0}


def sum_up(seconds=1.5):
    """The spread by repeated sampling: all the processor for a moment."""
    until = time.monotonic() + seconds
    spread = 0
    while time.monotonic() < until:
        known = sorted(values)
        spread = known[-1] - known[0] if known else 0
    summary.update(sum=sum(values), spread=spread)


def sum_up_for_ever():
    while True:
        time.sleep(EVERY_S)
        sum_up()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.reply(200, summary)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        values.append(int(body["value"]))
        self.reply(201, {})

    def reply(self, status, body):
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *words):
        pass


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    threading.Thread(target=sum_up_for_ever, name="sums", daemon=True).start()
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    server.serve_forever()
