"""Plays the upstream too: from the bug's time on every fourth call of it fails."""

import json
import random
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from selfheal_tui.demo.driver import Moment, Request, options, play

chosen = options(sys.argv[1:])
rng = random.Random(chosen.seed)
first: list[float] = []


class Upstream(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        first.append(time.monotonic())
        if time.monotonic() - first[0] > chosen.bug_after_s and rng.random() < 0.25:
            self.send_error(503)
            return
        body = json.dumps({"rate": 1.1}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *words: object) -> None:
        return


server = ThreadingHTTPServer(("127.0.0.1", chosen.upstream_port), Upstream)
threading.Thread(target=server.serve_forever, daemon=True).start()


def plan(moment: Moment) -> Request:
    pair = moment.rng.choice(["EUR-USD", "EUR-GBP", "USD-JPY", "EUR-XXX"])
    return Request("GET", f"/convert/{pair}?amount={moment.rng.randint(1, 500)}", bad=moment.bug_on)


play(plan, chosen)
