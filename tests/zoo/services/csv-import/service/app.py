"""python app.py PORT: price lists in CSV."""

import json
import logging
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from importer import ImportRefused, import_prices, prices

log = logging.getLogger("prices")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(200, {"prices": dict(sorted(prices.items()))})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            count = import_prices(body)
        except ImportRefused as why:
            log.info("refused: %s", why)
            return self.answer(422, {"refused": str(why), "line": why.line})
        return self.answer(200, {"imported": count})

    def answer(self, status, body):
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *words):
        pass


def main():
    logging.basicConfig(level=logging.WARNING)
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main()
