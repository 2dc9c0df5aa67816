"""Stream servers: what their clients said is played again, and what stays open is counted."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from selfheal_agent import recording
from selfheal_engine.diagnosis import diagnose
from selfheal_engine.diagnosis.conversations import imagined
from selfheal_engine.diagnosis.source_file import Sources
from selfheal_engine.model import ConnectionRecord, Occurrence
from selfheal_engine.project import Project
from tests.sandbox_validator.conftest import MakeShop, check

STREAMS = """\
import asyncio


class Relay:
    def __init__(self, spoken):
        self.spoken = spoken
        self.seen = {}

    async def client(self, reader, writer):
        host, port = writer.get_extra_info("peername")
        line = (await reader.readline()).decode()
        if line.strip() not in self.spoken:
            writer.write(b"NO\\n")
            await writer.drain()
            return
        self.seen[line] = port
        writer.close()


async def main():
    server = await asyncio.start_server(Relay({"2"}).client, "127.0.0.1", 0)
    await server.serve_forever()


asyncio.run(main())
"""
HANDLER = """\
import os
import socketserver


class Files(socketserver.StreamRequestHandler):
    def handle(self):
        descriptor = os.open(__file__, os.O_RDONLY)
        line = self.rfile.readline().strip()
        if line not in self.server.allowed:
            self.wfile.write(b"no\\n")
            return
        self.wfile.write(os.read(descriptor, 10))
        os.close(descriptor)


class Server(socketserver.ThreadingTCPServer):
    allowed = (b"readme",)
"""
ACCEPTING = """\
import socket
import threading


class Board:
    def __init__(self):
        self.members = []

    def serve(self, connection, address):
        self.members.append(connection)
        name = connection.recv(100)
        if not name.strip():
            connection.sendall(b"no name\\n")
            return
        connection.sendall(b"hello " + name)
        self.members.remove(connection)
        connection.close()

    def run(self, listening):
        while True:
            connection, address = listening.accept()
            threading.Thread(target=self.serve, args=(connection, address)).start()
"""


@dataclass(frozen=True)
class Case:
    source: str
    before: str
    after: str
    record: ConnectionRecord | None = None


def stand_in(name: str) -> str:
    return f'{{"$":"standin","v":"{name}"}}'


RELAY = (
    '{"$":"object","c":["__main__","Relay"],"state":'
    '{"spoken":{"$":"set","v":["2"]},"seen":{"$":"d","v":{}}}}'
)
PARTS = (stand_in("asyncio.streams.StreamReader"), stand_in("asyncio.streams.StreamWriter"))
SERVER = (
    '{"$":"object","c":["files","Server"],"state":'
    '{"RequestHandlerClass":{"$":"class","v":["files","Files"]}}}'
)
CASES = {
    "a recorded stream": Case(
        STREAMS,
        "            return\n",
        "            writer.close()\n            return\n",
        ConnectionRecord(
            "streams", "", "Relay.client", "__main__", (RELAY, *PARTS), (0,), b"1\n", left_open=True
        ),
    ),
    "a recorded handler class": Case(
        HANDLER,
        '            self.wfile.write(b"no\\n")\n            return\n',
        '            self.wfile.write(b"no\\n")\n            os.close(descriptor)\n'
        "            return\n",
        ConnectionRecord(
            "socketserver",
            "",
            "Files",
            "files",
            (stand_in("socket.socket"), recording.encode(("127.0.0.1", 4)), SERVER),
            (2,),
            b"secrets\n",
        ),
    ),
    "an accept loop of which nothing was heard": Case(
        ACCEPTING,
        "            return\n",
        "            self.members.remove(connection)\n            connection.close()\n"
        "            return\n",
    ),
}


def occurrence_of(file: Path, record: ConnectionRecord | None) -> Occurrence:
    heard = ()
    if record is not None:
        whole = {name: getattr(record, name) for name in record.__slots__}
        heard = (ConnectionRecord(**{**whole, "file": str(file)}),)
    message = "[Errno 24] Too many open files"
    return Occurrence("o1", "exception", 0.0, 1, "OSError", message, (), connections=heard)


@pytest.mark.parametrize("name", CASES)
def test_a_client_that_leaves_something_open_is_played_until_it_shows(
    make_shop: MakeShop, tmp_path: Path, name: str
) -> None:
    case = CASES[name]
    assert case.source.count(case.before) == 1
    root = tmp_path / "service"
    root.mkdir()
    (root / "files.py").write_text(case.source)
    occurrence = occurrence_of(root / "files.py", case.record)
    diagnosis = diagnose(occurrence, Project(root, sys.executable, ()))
    assert diagnosis.bug_type == "resource_cleanup"
    shop = make_shop(
        {"files.py": case.source}, reproducers=diagnosis.reproducers, occurrence=occurrence
    )
    good, bad = shop.judge(
        shop.candidate(case.source.replace(case.before, case.after), "files.py", "good"),
        shop.candidate(case.source + "\nMORE = 1\n", "files.py", "bad"),
    )
    assert check(good, "reproducer").status == "passed", check(good, "reproducer")
    assert check(bad, "reproducer").status == "failed", check(bad, "reproducer")


def test_who_left_it_open_is_the_suspect(tmp_path: Path) -> None:
    (tmp_path / "files.py").write_text(STREAMS)
    record = CASES["a recorded stream"].record
    diagnosis = diagnose(
        occurrence_of(tmp_path / "files.py", record), Project(tmp_path, sys.executable, ())
    )
    assert [(s.function, s.line) for s in diagnosis.suspects] == [("Relay.client", 9)]


@pytest.mark.parametrize(
    ("source", "handlers"),
    [
        (STREAMS, {("streams", "Relay.client")}),
        (HANDLER, {("socketserver", "Files")}),
        (ACCEPTING, {("socket", "Board.serve")}),
        ("def serve(pool):\n    seat, number = pool.accept(), 1\n    use(seat)\n", set()),
    ],
)
def test_handlers_are_read_from_the_source_where_none_was_heard(
    tmp_path: Path, source: str, handlers: set[tuple[str, str]]
) -> None:
    (tmp_path / "files.py").write_text(source)
    (tmp_path / "test_files.py").write_text('def test_it(say):\n    say("HELLO 1")\n')
    found = imagined(Sources(Project(tmp_path, sys.executable, ())))
    assert {(one.way, one.function) for one in found} == handlers
    assert {one.sent for one in found} == ({b"", b"\n", b"HELLO 1\n"} if handlers else set())
