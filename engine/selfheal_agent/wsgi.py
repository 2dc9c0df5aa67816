"""WSGI: the wrapper that counts a request, sees its body and ends it with its answer."""

from __future__ import annotations

from _thread import get_ident

from selfheal_agent.requests import InFlight, end, in_flight

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from collections.abc import Callable, Iterator
    from typing import Any

FLAG = "selfheal.request"
"""Where the environment of a counted request holds it."""
_OVER = -1
"""Key of a request whose answer was sent and counted."""


def is_counted(environ: Any, app: Any, route_of: Callable[[dict[str, Any]], str] | None) -> bool:
    """Whether a wrapper further out counts this request; if so it is told whose it is."""
    known = environ.get(FLAG)
    if known is None:
        return False
    if route_of is not None:
        known.route_of = route_of
        known.app = app
    return True


def wrap(
    call: Callable[..., Any],
    app: Any = None,
    route_of: Callable[[dict[str, Any]], str] | None = None,
    on_error: Callable[[BaseException], None] | None = None,
) -> Callable[..., Any]:
    """`call(environ, start_response)` that counts. Only the outermost wrapper counts."""

    def counted(environ: Any, start_response: Any) -> Any:
        if FLAG in environ and is_counted(environ, app, route_of):
            return call(environ, start_response)
        key = get_ident()
        request = InFlight("wsgi", environ, key)
        request.route_of = route_of
        request.app = app
        request.server_start = start_response
        environ[FLAG] = request
        in_flight[key] = request
        length = environ.get("CONTENT_LENGTH")
        if (length and length != "0") or "HTTP_TRANSFER_ENCODING" in environ:
            environ["wsgi.input"] = _Tee(environ["wsgi.input"], request)

        try:
            body = call(environ, request.start)
        except BaseException as why:
            if on_error is not None:
                on_error(why)
            end(request, True)
            raise
        if type(body) in (list, tuple) or request.status == 0:
            if request.status:
                end(request, False)
                return body
        elif isinstance(body, environ.get("wsgi.file_wrapper") or ()):
            end(request, False)
            return body
        return _Body(body, request, on_error)

    return counted


class _Body:
    """The response while it is sent: the request ends with its last part."""

    __slots__ = ("_body", "_iterator", "_on_error", "_request")

    def __init__(self, body: Any, request: InFlight, on_error: Any) -> None:
        self._body = body
        self._request = request
        self._on_error = on_error
        self._iterator: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._body
        except Exception as why:  # not the GeneratorExit of a server that stops reading
            if self._on_error is not None:
                self._on_error(why)
            self._request.status = 500
            raise
        # Not at `close`: Werkzeug does not come to it where the connection was reset, and what
        # failed may keep us alive until a collection.
        if self._request.key != _OVER:
            self._over()

    def __next__(self) -> bytes:
        if self._iterator is None:
            self._iterator = iter(self)
        return next(self._iterator)

    def __len__(self) -> int:
        return len(self._body)

    def close(self) -> None:
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            if self._request.key != _OVER:
                self._over()

    def __del__(self) -> None:
        if self._request.key != _OVER:
            self._over()  # of a server that neither sent it whole nor closed it

    def _over(self) -> None:
        end(self._request, False)
        self._request.key = _OVER


class _Tee:
    """wsgi.input that remembers the first part of what the application read."""

    __slots__ = ("_input", "_request")

    def __init__(self, stream: Any, request: InFlight) -> None:
        self._input = stream
        self._request = request

    def read(self, *size: Any) -> Any:
        part = self._input.read(*size)
        self._request.keep_body(part)
        return part

    def readline(self, *size: Any) -> Any:
        part = self._input.readline(*size)
        self._request.keep_body(part)
        return part

    def readlines(self, *hint: Any) -> Any:
        parts = self._input.readlines(*hint)
        for part in parts:
            self._request.keep_body(part)
        return parts

    def __iter__(self) -> Iterator[Any]:
        for part in self._input:
            self._request.keep_body(part)
            yield part

    def __getattr__(self, name: str) -> Any:
        return getattr(self._input, name)
