"""Plays what a client sent through the handler of a stream server, over a real connection.

The handler runs as its server runs it: on an event loop that goes on from one connection to the
next, as asyncio's streams do, or in a call of its own, as socketserver and accept loops do. The
client says what was recorded and reads what comes back. On an event loop it leaves it to the
service to end the connection, as long as the handler ends without more: one that nobody closes
is gone at once where its client hangs up first.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import json
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfheal_engine.sandbox_validator.inside import replay as replaying
else:
    import replay as replaying

PATIENCE_S = 1.5
"""A handler that goes on so long after its client has said all is ended."""
HINT_S = 0.3
"""After this time without an end the client says that it is done, from then on at once."""
CLOSES_S = 0.02
"""A handler's connection that was closed is closed at the other end within this time."""
UNENDING = "no end"
CHUNK = 1 << 16
Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]
STREAMS = ("asyncio.streams.StreamReader", "asyncio.streams.StreamWriter")
SERVER = 2
"""Position of the server among what a handler class is given."""
_loops: list[asyncio.AbstractEventLoop] = []
_patient: list[Client] = []
"""Clients that go on waiting for the service to end their connection."""


def sender(step: dict[str, Any]) -> Callable[[bytes], str]:
    """Sends bytes once over a new connection and says how that ended."""
    target = replaying.resolve(step["module"], step["function"])
    shared = Shared(step, target)
    client_ends: set[bytes] = set()
    """What was sent by clients that have to say that they are done."""

    def run(sent: bytes) -> str:
        try:
            if step["way"] == "streams":
                return _streams(target, shared, sent, client_ends)
            serve = {"socketserver": _handled, "socket": _accepted}[step["way"]]
            return serve(target, shared, sent)
        except Exception as why:
            if replaying.unusable(why):
                raise
            return replaying.exception_name(type(why))

    return run


class Shared:
    """What the handler is given: some of it anew for each connection, some of it for all."""

    def __init__(self, step: dict[str, Any], target: Any) -> None:
        self.module: str = step["module"]
        self._texts: list[str] = list(step["arguments"])
        self._lasting: dict[int, Any] = {}
        owner = _owner(step) if step["way"] != "socketserver" else None
        lasting = list(step["lasting"])
        if not self._texts and step["way"] == "streams":
            lasting = [0] if owner is not None else []
            self._texts = ["" for _ in lasting] + [_stand_in(name) for name in STREAMS]
        for place in lasting:
            self._lasting[place] = self._decoded(place, owner if place == 0 else None)

    def _decoded(self, place: int, owner: type | None) -> Any:
        try:
            return replaying.decoded(self._texts[place], self.module)
        except replaying.UnusableError:
            if owner is None:
                raise
            return _new(owner)

    def lasting(self, place: int) -> Any:
        """What all connections share at a position; None where nothing was recorded."""
        return self._lasting.get(place)

    def arguments(self, live: dict[str, Any]) -> list[Any]:
        """The arguments of one call; `live` holds what belongs to the connection, by class."""
        found = []
        for place, text in enumerate(self._texts):
            if place in self._lasting:
                found.append(self._lasting[place])
            else:
                found.append(decoded_with(text, self.module, live))
        return found


def decoded_with(text: str, module: str, live: dict[str, Any]) -> Any:
    """The value of a recording, in which the stand-ins of these classes are what they stand for."""
    from selfheal_agent import replaying as agent

    class Decoder(agent.Decoder):
        def _read_standin(self, node: Any) -> Any:
            if node["v"] in live:
                return live[node["v"]]
            return super()._read_standin(node)

    if not text:
        raise replaying.UnusableError("what the handler was given was not recorded")
    try:
        return Decoder({"__main__": module}).decode(json.loads(text))
    except ValueError as why:
        raise replaying.UnusableError(str(why)) from None


def _stand_in(name: str) -> str:
    return json.dumps({"$": "standin", "v": name})


def _owner(step: dict[str, Any]) -> type | None:
    """The class of which the handler is a method."""
    before = step["function"].rpartition(".")[0]
    found = replaying.resolve(step["module"], before) if before else None
    return found if isinstance(found, type) else None


def _new(owner: type) -> Any:
    try:
        return owner()
    except TypeError as why:
        raise replaying.UnusableError(f"no {owner.__qualname__} was recorded: {why}") from None


def pair() -> tuple[socket.socket, socket.socket]:
    """(ours, the client's) of one connection: of TCP, so that each has an address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        client = socket.create_connection(listening.getsockname())
        ours, _ = listening.accept()
    return ours, client


# ---------------------------------------------------------------- on an event loop
def _streams(target: Any, shared: Shared, sent: bytes, client_ends: set[bytes]) -> str:
    if not _loops:
        _loops.append(asyncio.new_event_loop())
    return _loops[0].run_until_complete(_converse(target, shared, sent, client_ends))


async def _converse(target: Any, shared: Shared, sent: bytes, client_ends: set[bytes]) -> str:
    loop = asyncio.get_running_loop()
    ours, theirs = pair()
    begun: list[asyncio.Task[Any]] = []
    failed: list[BaseException] = []

    def connected(reader: Any, writer: Any) -> None:
        try:
            result = target(*shared.arguments(dict(zip(STREAMS, (reader, writer)))))
        except BaseException as why:
            failed.append(why)
            return
        if inspect.iscoroutine(result):
            begun.append(loop.create_task(result))

    def protocol() -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(), connected)

    ours.setblocking(False)
    transport, _ = await loop.connect_accepted_socket(protocol, ours)
    reader, writer = await asyncio.open_connection(sock=theirs)
    del ours, theirs
    writer.write(sent)
    listening = loop.create_task(_read(reader))
    pending = set(begun)
    if sent not in client_ends and pending:
        _, pending = await asyncio.wait(pending, timeout=HINT_S)
    if pending or not begun:  # a handler that is no coroutine has not ended by returning
        client_ends.add(sent)
        with contextlib.suppress(OSError):
            writer.write_eof()
    if pending:
        _, pending = await asyncio.wait(pending, timeout=PATIENCE_S)
    for task in pending:
        task.cancel()
    if pending:
        await asyncio.wait(pending, timeout=PATIENCE_S)
    ending = UNENDING if pending else ""
    failed += [e for task in begun if (e := _raised_by(task)) is not None]
    if failed:
        transport.close()  # as the streams of 3.11 and later do
    # the transport is the service's own: held by us, it would not close itself where it does
    closing = transport.is_closing()
    del transport, pending
    begun.clear()
    await _leave((reader, writer), listening, waits=not closing and sent not in client_ends)
    for why in failed:
        raise why
    return ending


def _raised_by(task: asyncio.Task[Any]) -> BaseException | None:
    return task.exception() if task.done() and not task.cancelled() else None


async def _leave(client: Client, listening: asyncio.Task[None], waits: bool) -> None:
    """The client hangs up, unless it waits for the service to do so and that does not."""
    if waits:
        gc.collect()  # from 3.13 on a stream that nobody holds closes itself
    # what is on its way is read first: hanging up on it would be a reset
    await asyncio.wait([listening], timeout=CLOSES_S)
    stays = waits and not listening.done()
    listening.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await listening
    if stays:
        _patient.append(client)
    gone = [client] if not stays else []
    gone += [one for one in _patient if one[0].at_eof()]
    _patient[:] = [one for one in _patient if one not in gone]
    for _, writer in gone:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    for _ in range(3):  # a connection that was closed is gone after the loop's next rounds
        await asyncio.sleep(0)


async def _read(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(OSError):
        while await reader.read(CHUNK):
            continue


# ---------------------------------------------------------------- in a call of its own
def _handled(target: Any, shared: Shared, sent: bytes) -> str:
    def serve(ours: socket.socket) -> None:
        address = ours.getpeername()
        server = shared.lasting(SERVER)
        if not hasattr(type(server), "finish_request"):
            with ours:
                target(ours, address, server)
            return
        try:
            server.finish_request(ours, address)
        finally:
            server.shutdown_request(ours)

    return _talk(serve, sent)


def _accepted(target: Any, shared: Shared, sent: bytes) -> str:
    def serve(ours: socket.socket) -> None:
        live = {"socket.socket": ours, "address": ours.getpeername()}
        replaying.settle(target(*shared.arguments(live)))

    return _talk(serve, sent)


def _talk(serve: Callable[[socket.socket], None], sent: bytes) -> str:
    """Serve one client that has said all before the handler begins."""
    ours, theirs = pair()
    ours.settimeout(None)
    with theirs:
        theirs.sendall(sent)
        theirs.shutdown(socket.SHUT_WR)
        listening = threading.Thread(target=_drain, args=(theirs,), daemon=True)
        listening.start()
        kept = [ours]
        del ours
        try:
            serve(kept.pop())
        finally:
            with contextlib.suppress(OSError):
                theirs.shutdown(socket.SHUT_RD)
            listening.join()
    return ""


def _drain(client: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while client.recv(CHUNK):
            continue
