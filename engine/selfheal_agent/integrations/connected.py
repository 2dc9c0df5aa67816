"""Servers that hand a connection to the project's code: asyncio's streams and socketserver."""

from __future__ import annotations

import socket
import sys
import weakref
from types import CoroutineType, FunctionType, MethodType

from selfheal_agent import connections
from selfheal_agent.values import type_module_of, type_qualname_of

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from collections.abc import Callable
    from typing import Any

    from selfheal_agent.capture import Capture


# ---------------------------------------------------------------- asyncio.start_server
def watch_streams(module: Any, capture: Capture) -> None:
    """Handlers given to `start_server` and `start_unix_server`."""
    cls = module.StreamReaderProtocol
    made, received, ended = cls.connection_made, cls.data_received, cls.eof_received

    def connection_made(self: Any, transport: Any) -> Any:
        handler = self.__dict__.get("_client_connected_cb")
        if handler is None or not connections.has_room():
            return made(self, transport)

        def call(reader: Any, writer: Any) -> Any:
            result = handler(reader, writer)
            try:
                _note_stream(self, handler, result, reader, writer)
            except Exception:
                capture.beyond += 1
            return result

        self._client_connected_cb = call
        try:
            return made(self, transport)
        finally:
            self._client_connected_cb = handler

    def data_received(self: Any, data: Any) -> Any:
        if connections.live:
            heard = connections.live.get(id(self))
            if heard is not None and heard.is_open():
                heard.keep(data)
        return received(self, data)

    def eof_received(self: Any) -> Any:
        heard = connections.live.get(id(self))
        if heard is not None:
            heard.ended = True
        return ended(self)

    cls.connection_made = connection_made
    cls.data_received = data_received
    cls.eof_received = eof_received


def _note_stream(protocol: Any, handler: Any, result: Any, reader: Any, writer: Any) -> None:
    function, held = _unwrapped(handler)
    if type(result) is CoroutineType:
        scope = result.cr_frame.f_globals if result.cr_frame is not None else {}
        name = result.__qualname__
        place = connections.place_of(result.cr_code, name, scope.get("__name__"))
        given = connections.coroutine_arguments(result, held) if place is not None else None
        is_served = connections.coroutine_runs(result)
    elif function is not None:  # it has begun a task of its own, or answers by callbacks
        scope = function.__globals__
        name = function.__qualname__
        place = connections.place_of(function.__code__, name, scope.get("__name__"))
        given = connections.split([*held, reader, writer], held)
        is_served = bool
    else:
        return
    if place is None or given is None:
        return
    is_open = _transport_open(protocol)
    heard = connections.Heard("streams", place, given[0], given[1], is_served, is_open)
    connections.begin(id(protocol), heard)


def _unwrapped(handler: Any) -> tuple[FunctionType | None, list[Any]]:
    """The function behind a handler, and what is given to it at every connection."""
    held: list[Any] = []
    # functools.partial: one of a keyword is known by its value all the same
    while type_module_of(type(handler)) == "functools" and hasattr(handler, "func"):
        held = [*handler.args, *handler.keywords.values(), *held]
        handler = handler.func
    if type(handler) is MethodType:
        held = [handler.__self__, *held]
        handler = handler.__func__
    return (handler if type(handler) is FunctionType else None), held


def _transport_open(protocol: Any) -> Callable[[], bool]:
    known = weakref.ref(protocol)

    def is_open() -> bool:
        found = known()
        transport = found.__dict__.get("_transport") if found is not None else None
        return transport is not None and not transport.is_closing()

    return is_open


# ---------------------------------------------------------------- socketserver
def watch_socketserver(module: Any, capture: Capture) -> None:
    """Handler classes of the project; the server closes their connections itself."""
    cls = module.BaseServer
    finish = cls.finish_request

    def finish_request(self: Any, request: Any, client_address: Any) -> Any:
        heard = None
        if type(request) is socket.socket and connections.has_room():
            try:
                heard = _note_handler(self, request)
            except Exception:
                capture.beyond += 1
        if heard is None:
            return finish(self, request, client_address)
        try:
            return finish(self, request, client_address)
        finally:
            heard.is_served = bool
            if type(request) is ListenedTo:
                request.__class__ = socket.socket  # type: ignore[assignment]

    cls.finish_request = finish_request


def _note_handler(server: Any, request: Any) -> connections.Heard | None:
    from selfheal_agent.frames import is_own_module

    cls = server.RequestHandlerClass
    if not isinstance(cls, type) or hasattr(cls, "get_environ"):
        return None  # a WSGI server's: its requests are known
    module = sys.modules.get(type_module_of(cls))
    if not is_own_module(module):
        return None
    file = getattr(module, "__file__", "") or ""
    place = (file, type_module_of(cls), type_qualname_of(cls))
    # the connection and its address are there anew when it is played again
    heard = connections.Heard("socketserver", place, ["", "", server], [2], _always, bool)
    request.__class__ = ListenedTo
    connections.begin(id(request), heard)
    return heard


def _always() -> bool:
    return True


class ListenedTo(socket.socket):
    """A socket while it is listened to: what is read from it is kept."""

    __slots__ = ()

    def recv(self, *args: Any) -> bytes:
        part = super().recv(*args)
        _keep(self, part)
        return part

    def recv_into(self, buffer: Any, *args: Any) -> int:
        count = super().recv_into(buffer, *args)
        _keep(self, memoryview(buffer).cast("B")[:count])
        return count

    def __reduce_ex__(self, protocol: Any) -> Any:
        # whoever hands it to another process knows the plain class only
        from multiprocessing.reduction import DupFd

        return _rebuilt, (DupFd(self.fileno()), self.family, self.type, self.proto)


def _rebuilt(handle: Any, family: int, kind: int, proto: int) -> socket.socket:
    return socket.socket(family, kind, proto, fileno=handle.detach())


ListenedTo.__name__ = ListenedTo.__qualname__ = "socket"
ListenedTo.__module__ = "socket"


def _keep(connection: socket.socket, part: Any) -> None:
    heard = connections.live.get(id(connection))
    if heard is None:
        return
    if len(part):
        heard.keep(part)
    else:
        heard.ended = True
