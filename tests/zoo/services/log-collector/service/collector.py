"""Collects log batches: the web side queues them, one thread counts them.

    python collector.py PORT
"""

import json
import logging
import queue
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

log = logging.getLogger("collector")
LONGEST_QUEUE = 5000


class Tally(threading.Thread):
    """Counts lines by host and level."""

    def __init__(self):
        super().__init__(name="tally", daemon=True)
        self.batches = queue.Queue(LONGEST_QUEUE)
        self.counts = Counter()
        self.rejected = 0

    def submit(self, batch):
        """Queue a batch; False when there is no room."""
        try:
            self.batches.put_nowait(batch)
        except queue.Full:
            log.warning("queue is full, batch of %s dropped", batch.get("host"))
            self.rejected += 1
            return False
        return True

    def take(self, batch):
        host = batch["host"]
        for line in batch["lines"]:
            self.counts[host, line["level"].lower()] += 1

    def run(self):
        while True:
            batch = self.batches.get()
            if batch is None:
                return
            self.take(batch)
            self.batches.task_done()


def make_handler(tally):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            if self.path == "/health":
                behind = tally.batches.qsize()
                # the balancer takes us out when we fall behind
                self.reply(503 if behind > 60 else 200, {"behind": behind})
            elif self.path == "/counts":
                self.reply(200, {f"{host}/{level}": n for (host, level), n in tally.counts.items()})
            else:
                self.reply(404, {"error": "no such page"})

        def do_POST(self):
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                batch = json.loads(raw)
            except ValueError:
                return self.reply(400, {"error": "not JSON"})
            if not isinstance(batch, dict) or "host" not in batch or "lines" not in batch:
                return self.reply(400, {"error": "a batch has a host and lines"})
            accepted = tally.submit(batch)
            return self.reply(202 if accepted else 503, {"accepted": accepted})

        def reply(self, status, body):
            payload = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, format, *words):
            log.debug(format, *words)

    return Handler


def main(port):
    logging.basicConfig(level=logging.WARNING)
    tally = Tally()
    tally.start()
    server = ThreadingHTTPServer(("127.0.0.1", port), make_handler(tally))
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
