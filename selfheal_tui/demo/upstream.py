"""A service that others depend on, as a stand-in: it answers, and from some time on it stalls."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[str], object]
"""The JSON value for a path."""


@dataclass(slots=True)
class Upstream:
    """Answers GET requests on a local port; `stall_share` of them wait `stall_s` from
    `stall_after_s` on, counted from the first request."""

    port: int
    answer: Answer
    seed: int = 1
    stall_after_s: float = float("inf")
    stall_share: float = 0.1
    stall_s: float = 30.0
    usual_ms: tuple[float, float] = (15.0, 45.0)
    _first: float = field(default=0.0, init=False)
    _ended: threading.Event = field(default_factory=threading.Event, init=False)
    _server: ThreadingHTTPServer | None = field(default=None, init=False)

    def start(self) -> None:
        """Listen, in threads that end with the process. Raises OSError when the port is taken."""
        self._server = _Server(("127.0.0.1", self.port), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._ended.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        upstream, rng = self, random.Random(self.seed)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                upstream._first = upstream._first or time.monotonic()
                elapsed = time.monotonic() - upstream._first
                if elapsed >= upstream.stall_after_s and rng.random() < upstream.stall_share:
                    upstream._ended.wait(upstream.stall_s)
                upstream._ended.wait(rng.uniform(*upstream.usual_ms) / 1000)
                body = json.dumps(upstream.answer(self.path)).encode()
                try:
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    self.close_connection = True  # the caller gave up meanwhile

            def log_message(self, format: str, *words: object) -> None:
                """Silent: the load's terminal belongs to somebody else."""

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
