"""A listener on loopback for what services already send: Sentry envelopes and OTLP/HTTP.

A client is answered as soon as its body has been read: what it says is looked at later, by
the engine. So an engine that is busy or hung costs a service nothing: the queue fills, what
is too much is dropped and counted. Bodies, connections and the queue are bounded; pages in a
browser may not post here.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MAX_BODY = 4_000_000
MAX_INFLATED = 20_000_000
MAX_QUEUED_BYTES = 24_000_000
MAX_QUEUED = 2_000
MAX_CONNECTIONS = 64
CLIENT_S = 5.0
"""A client that neither sends nor reads for so long is hung up on."""
LOOPBACK = "127.0.0.1"
_SENTRY = re.compile(r"/(?:[\w.-]+/)*api/[\w-]+/(?P<what>envelope|store)/?$")
_OTLP = re.compile(r"/v1/(?P<what>traces|logs|metrics)/?$")
_ENCODINGS = ("", "identity", "gzip", "x-gzip", "deflate")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One body as it came."""

    what: str
    """envelope, store, traces, logs or metrics."""
    body: bytes
    content_type: str
    encoding: str
    time_s: float

    def content(self) -> bytes:
        """The body unpacked. Raises ValueError when it is damaged or too large."""
        if self.encoding in ("", "identity"):
            return self.body
        window = zlib.MAX_WBITS if self.encoding == "deflate" else zlib.MAX_WBITS | 16
        inflate = zlib.decompressobj(window)
        try:
            content = inflate.decompress(self.body, MAX_INFLATED)
        except zlib.error as why:
            raise ValueError(f"not {self.encoding}: {why}") from None
        if inflate.unconsumed_tail:
            raise ValueError(f"more than {MAX_INFLATED} bytes when unpacked")
        return content


class Sink:
    """The listener in its own threads; `take` is for the engine."""

    def __init__(self, port: int, *, reads_protobuf: bool = False) -> None:
        """Listens on loopback; port 0 chooses a free one. Raises OSError."""
        self._queue: deque[Delivery] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self.drops = 0
        """Deliveries that found the queue full."""
        self.reads_protobuf = reads_protobuf
        self._server = _Server((LOOPBACK, port), self)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.2,), name="selfheal-sink", daemon=True
        )
        self._thread.start()

    def put(self, delivery: Delivery) -> bool:
        """Queue a delivery; False when there is no room."""
        with self._lock:
            size = len(delivery.body)
            if len(self._queue) >= MAX_QUEUED or self._bytes + size > MAX_QUEUED_BYTES:
                self.drops += 1
                return False
            self._queue.append(delivery)
            self._bytes += size
            return True

    def take(self) -> Delivery | None:
        """The oldest delivery that nobody has looked at yet."""
        with self._lock:
            if not self._queue:
                return None
            delivery = self._queue.popleft()
            self._bytes -= len(delivery.body)
            return delivery

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], sink: Sink) -> None:
        self.sink = sink
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread could be started
            self._free.release()
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news, and standard error is the terminal's screen."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = CLIENT_S
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        refusal = self._refusal()
        if refusal is not None:
            self.close_connection = True
            self._answer(*refusal)
            return
        match = _SENTRY.match(self._path()) or _OTLP.match(self._path())
        assert match is not None
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if len(body) < int(self.headers["Content-Length"]):
            self.close_connection = True
            return
        delivery = Delivery(
            match["what"],
            body,
            self.headers.get("Content-Type", ""),
            self.headers.get("Content-Encoding", "").strip().lower(),
            time.time(),
        )
        if self.server.sink.put(delivery):
            self._accept(delivery)
        else:
            self._answer(429, {"detail": "the queue is full"}, {"Retry-After": "5"})

    def do_GET(self) -> None:
        self._answer(200, {"detail": "selfheal-tui takes Sentry envelopes and OTLP/HTTP here"})

    def _refusal(self) -> tuple[int, dict[str, str]] | None:
        length = self.headers.get("Content-Length", "")
        encoding = self.headers.get("Content-Encoding", "").strip().lower()
        if self.headers.get("Origin"):
            return 403, {"detail": "pages in a browser may not post here"}
        if not _SENTRY.match(self._path()) and not _OTLP.match(self._path()):
            return 404, {"detail": "post to /api/ID/envelope/ or /v1/traces, /v1/logs, /v1/metrics"}
        if not length.isdigit():
            return 411, {"detail": "a Content-Length is needed"}
        if int(length) > MAX_BODY:
            return 413, {"detail": f"at most {MAX_BODY} bytes"}
        if encoding not in _ENCODINGS:
            return 415, {"detail": f"no {encoding} here: use gzip"}
        protobuf = "protobuf" in self.headers.get("Content-Type", "")
        if protobuf and not self.server.sink.reads_protobuf:
            return 415, {"detail": "protobuf needs selfheal-tui[otlp]; http/json needs nothing"}
        return None

    def _accept(self, delivery: Delivery) -> None:
        if delivery.what in ("envelope", "store"):
            self._answer(200, {"id": ""})
        elif "protobuf" in delivery.content_type:
            self._send(200, b"", "application/x-protobuf")  # an empty message is a full success
        else:
            self._answer(200, {})

    def _answer(
        self, status: int, content: dict[str, str], headers: dict[str, str] | None = None
    ) -> None:
        self._send(status, json.dumps(content).encode(), "application/json", headers)

    def _send(
        self, status: int, body: bytes, content_type: str, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        if self.close_connection:
            self._let_go()

    def _let_go(self) -> None:
        """Read on for a moment, so that a refusal is not lost in a reset (RFC 9112, 9.6)."""
        try:
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(0.5)
            for _ in range(64):
                if not self.connection.recv(65_536):
                    return
        except OSError:
            return

    def _path(self) -> str:
        return self.path.partition("?")[0]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Requests are not worth a line on standard error."""


def drain(sink: Sink, take: Callable[[Delivery], None], most_s: float) -> None:
    """Hand over what is queued, for at most so many seconds."""
    end = time.monotonic() + most_s
    while time.monotonic() < end:
        delivery = sink.take()
        if delivery is None:
            return
        take(delivery)
