"""What the connections of stream servers sent, kept for the day on which something runs out."""

from __future__ import annotations

import asyncio
import base64
import json
import multiprocessing.reduction
import socket
import socketserver
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from selfheal_agent import connections
from selfheal_agent.capture import Capture
from selfheal_agent.integrations import connected
from selfheal_agent.scrub import scrub_lines
from tests.agent.conftest import MakeModule

RELAY = """
    import socketserver


    class Relay:
        def __init__(self):
            self.names = {"a": 1}

        async def client(self, reader, writer):
            line = await reader.readline()
            if line.startswith(b"OLD"):
                return
            writer.close()


    async def plain(reader, writer, prefix):
        await reader.readline()


    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            self.server.last = self.rfile.readline()
            self.server.known = type(self.request).__name__
"""


@pytest.fixture(autouse=True)
def hooked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    streams, servers = asyncio.StreamReaderProtocol, socketserver.BaseServer
    for cls, names in (
        (streams, ("connection_made", "data_received", "eof_received")),
        (servers, ("finish_request",)),
    ):
        for name in names:
            monkeypatch.setattr(cls, name, cls.__dict__[name])
    capture = Capture(lambda raw: None, lambda tb: None)
    connected.watch_streams(asyncio.streams, capture)
    connected.watch_socketserver(socketserver, capture)
    connections.forget()
    yield
    assert capture.beyond == 0
    connections.forget()


def told() -> list[dict[str, Any]]:
    record = {"kind": "exception", "exception": "OSError", "message": "Too many open files"}
    return connections.for_record(record)


def sent(one: dict[str, Any]) -> bytes:
    return base64.b64decode(one["sent"]["b64"])


def talk(handler: Any, *lines: bytes) -> list[dict[str, Any]]:
    """Each line over a connection of its own, which the client leaves open."""

    async def run() -> list[dict[str, Any]]:
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        clients = []
        for line in lines:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            clients.append(writer)
            writer.write(line)
            await asyncio.sleep(0.05)
        found = told()
        for writer in clients:
            writer.close()
        server.close()
        return found

    return asyncio.run(run())


def test_a_connection_that_its_handler_left_open_comes_first(make_module: MakeModule) -> None:
    relay = make_module("relay_a", RELAY)
    found = talk(relay.Relay().client, b"NEW 1\n", b"OLD 1\n", b"NEW password=hunter22\n")
    assert [(sent(one)[:3], one["left_open"]) for one in found] == [
        (b"OLD", True),
        (b"NEW", False),
    ]
    assert found[0]["function"] == "Relay.client"
    assert b"hunter22" not in b"".join(map(sent, found))
    assert json.loads(found[0]["arguments"][0])["state"]["names"] == {"$": "d", "v": {"a": 1}}
    assert found[0]["lasting"] == [0]
    assert "StreamReader" in found[0]["arguments"][1]


def test_what_a_lambda_hands_on_is_known_by_what_it_calls(make_module: MakeModule) -> None:
    relay = make_module("relay_b", RELAY)
    found = talk(lambda r, w: relay.plain(r, w, "x"), b"hello\n")
    assert [one["function"] for one in found] == ["plain"]
    assert found[0]["arguments"][2] == '"x"'


def test_handlers_that_are_not_the_projects_and_calm_days_are_left_alone(
    make_module: MakeModule,
) -> None:
    async def foreign(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    assert talk(foreign, b"x\n") == []
    relay = make_module("relay_c", RELAY)
    assert talk(relay.Relay().client, b"x\n")
    calm = {"kind": "exception", "exception": "KeyError", "message": "'x'"}
    assert connections.for_record(calm) == []


def test_no_more_than_a_first_part_is_kept(make_module: MakeModule) -> None:
    relay = make_module("relay_d", RELAY)
    found = talk(relay.Relay().client, b"x" * 3 * connections.MAX_SENT + b"\n")
    assert found[0]["truncated"]
    assert len(sent(found[0])) == connections.MAX_SENT


def test_a_handler_class_is_heard_and_its_socket_is_a_plain_one_again(
    make_module: MakeModule,
) -> None:
    relay = make_module("relay_e", RELAY)
    with socketserver.TCPServer(("127.0.0.1", 0), relay.Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with socket.create_connection(server.server_address) as client:
            client.sendall(b"GET 7\n")
            thread.join(5)
        found = told()
        assert (server.last, server.known) == (b"GET 7\n", "socket")  # type: ignore[attr-defined]
    assert [(one["way"], one["function"], sent(one)) for one in found] == [
        ("socketserver", "Handler", b"GET 7\n")
    ]


def test_a_socket_that_is_listened_to_can_be_handed_to_another_process() -> None:
    one, other = socket.socketpair()
    with one, other:
        one.__class__ = connected.ListenedTo  # type: ignore[assignment]
        rebuild, given = one.__reduce_ex__(2)
        assert rebuild is connected._rebuilt
        assert isinstance(given[0], multiprocessing.reduction.DupFd(0).__class__)


@pytest.mark.parametrize(
    "line",
    [
        "Authorization: Digest hunter22",
        "Cookie: id=hunter22; theme=hunter22",
        "x-api-key: hunter22",
        "PASS hunter22",
        "LOGIN bob hunter22",
        "a1 login bob hunter22",
        "AUTH PLAIN hunter22",
        "password = hunter22",
    ],
)
def test_a_line_that_names_a_secret_is_scrubbed_and_its_neighbours_are_kept(line: str) -> None:
    text = scrub_lines(f"HELLO 2\r\n{line}\r\ntemp 21.5\r\n")
    assert "hunter22" not in text
    assert text.startswith("HELLO 2\r\n")
    assert text.endswith("[scrubbed]\r\ntemp 21.5\r\n")
