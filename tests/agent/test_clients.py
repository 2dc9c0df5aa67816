"""Who is waited for: the client of a connection that was accepted, or somebody we asked."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

import pytest

from selfheal_agent.clients import accepted, listening_ports, waits_for_client
from selfheal_agent.frames import stack_entries
from selfheal_agent.stalls import task_entries

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc/net")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """(the end that was accepted, the end that connected), the listener still there."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as asking,
    ):
        served, _ = listener.accept()
        with served:
            yield served, asking


def test_the_end_that_was_accepted_is_told_from_the_one_that_connected(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    served, asking = pair
    assert served.getsockname()[1] in listening_ports()
    assert accepted(served)
    assert not accepted(asking)


@pytest.mark.parametrize(("end", "waits"), [(0, True), (1, False)])
def test_a_thread_that_reads_is_judged_by_the_end_it_reads_from(
    pair: tuple[socket.socket, socket.socket], end: int, waits: bool
) -> None:
    stream = pair[end].makefile("rb")
    thread = threading.Thread(target=stream.readline, daemon=True)
    thread.start()

    def entries() -> list[tuple[FrameType, int, int]]:
        return stack_entries(sys._current_frames().get(thread.ident or 0))

    deadline = time.monotonic() + 20
    while not any(f.f_code.co_name == "readinto" for f, _, _ in entries()):
        assert time.monotonic() < deadline
    assert waits_for_client(entries()) is waits
    pair[1 - end].sendall(b"done\n")
    thread.join(10)


def test_a_task_that_awaits_its_client_is_known_too() -> None:
    async def judged() -> list[bool]:
        found = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        asking = asyncio.create_task(reader.readline())
        for _ in range(100):
            await asyncio.sleep(0)
        others = asyncio.all_tasks() - {asyncio.current_task(), asking}
        found += [waits_for_client(task_entries(task)) for task in others]
        found.append(waits_for_client(task_entries(asking)))
        writer.write(b"done\n")
        await asking
        writer.close()
        server.close()
        return found

    assert asyncio.run(judged()) == [True, False]
