"""Previews of documents, rendered by a few worker threads.

    python farm.py PORT
"""

import json
import logging
import queue
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

log = logging.getLogger("farm")

WORKERS = 3
MOST_PAGES = 400


class FarmBusy(Exception):
    """No preview now; the client gets 503 and may try again."""


class Job:
    def __init__(self, name, pages):
        self.name = name
        self.pages = pages
        self.reply = queue.Queue(1)


class Farm:
    def __init__(self, workers=WORKERS):
        self.jobs = queue.Queue(200)
        for number in range(workers):
            threading.Thread(target=self.work, name=f"render-{number}", daemon=True).start()

    def work(self):
        while True:
            job = self.jobs.get()
            if job.pages > MOST_PAGES:
                log.warning("%s: cancelled, %d pages", job.name, job.pages)
                continue
            job.reply.put(self.draw(job))

    def draw(self, job):
        time.sleep(0.0005 * job.pages)
        return f"preview of {job.name}, {job.pages} pages"

    def render(self, name, pages):
        """The preview. Raises FarmBusy."""
        job = Job(name, pages)
        try:
            self.jobs.put(job, timeout=1)
        except queue.Full:
            raise FarmBusy("too many previews at once") from None
        return job.reply.get()


def make_handler(farm):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            url = urlsplit(self.path)
            try:
                pages = int(parse_qs(url.query).get("pages", ["1"])[0])
            except ValueError:
                return self.reply(400, {"error": "pages is a number"})
            try:
                return self.reply(200, {"preview": farm.render(url.path.rsplit("/", 1)[-1], pages)})
            except FarmBusy as why:
                return self.reply(503, {"error": str(why)})

        def reply(self, status, body):
            payload = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *words):
            pass

    return Handler


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    server = ThreadingHTTPServer(("127.0.0.1", port), make_handler(Farm()))
    server.daemon_threads = True
    server.serve_forever()
