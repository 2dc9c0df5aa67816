"""Stands in for the peers that a service talks to: the sandbox has no network.

Every connection of the process is led to a stub on loopback. What the stub does decides which
recorded fault can happen again: it stays silent, answers with an HTTP status, or hangs up.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

FAMILIES = (socket.AF_INET, socket.AF_INET6)


def lead_to(place: Any) -> None:
    """Lead every connection and every name to one address."""
    plain_connect, plain_connect_ex = socket.socket.connect, socket.socket.connect_ex

    def answer(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        number = port if isinstance(port, int) else 80
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", number))]

    def led(plain: Callable[..., Any]) -> Callable[..., Any]:
        def connect(self: socket.socket, address: Any) -> Any:
            return plain(self, place if self.family in FAMILIES else address)

        return connect

    socket.getaddrinfo = answer
    socket.gethostbyname = lambda name: "127.0.0.1"
    socket.socket.connect = led(plain_connect)  # type: ignore[method-assign]
    socket.socket.connect_ex = led(plain_connect_ex)  # type: ignore[method-assign]


def listen() -> socket.socket:
    stub = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    stub.bind(("127.0.0.1", 0))
    stub.listen(128)
    socket._stub_of_replay = stub  # type: ignore[attr-defined]  # open as long as we live
    return stub


def silent() -> None:
    """Peers that take the connection and never say anything."""
    lead_to(listen().getsockname())


def answering(status: int, body: bytes = b"unavailable") -> None:
    """Peers that answer every HTTP request with one status."""
    head = "HTTP/1.1 {} Stub\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n"
    text = (head + "Connection: close\r\n\r\n").format(status, len(body)).encode() + body

    def talk(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(text)
        connection.close()

    serve(talk)


def hanging_up() -> None:
    """Peers that reset every connection (SO_LINGER with no time, socket(7))."""

    def talk(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    serve(talk)


def serve(talk: Callable[[socket.socket], None]) -> None:
    stub = listen()
    lead_to(stub.getsockname())

    def accept() -> None:
        while True:
            connection, _ = stub.accept()
            try:
                talk(connection)
            except OSError:
                continue  # the service hung up first

    threading.Thread(target=accept, daemon=True).start()


def stand_in(peer: str, status: int) -> None:
    """Set up the peers that a step asks for."""
    if peer == "http":
        answering(status)
    elif peer == "garbled":
        answering(200, b"<html>not what was asked for</html>")
    elif peer == "reset":
        hanging_up()
    elif peer == "silent":
        silent()
