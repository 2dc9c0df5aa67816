"""Requests are counted once, whatever the server does with the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from selfheal_agent import requests, wsgi

kept: list[object] = []
ENVIRON = {"REQUEST_METHOD": "GET", "PATH_INFO": "/"}


def application(environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [])
    return iter([b"one", b"two"])


def serve_whole(body: Any) -> None:
    assert b"".join(body) == b"onetwo"
    body.close()


def serve_and_close_twice(body: Any) -> None:
    serve_whole(body)
    body.close()


def serve_and_keep(body: Any) -> None:
    """As where the connection is reset before the server closes, and what failed holds frames."""
    kept.append(body)
    assert b"".join(body) == b"onetwo"


def serve_without_closing(body: Any) -> None:
    assert next(iter(body)) == b"one"


SERVERS = [serve_whole, serve_and_close_twice, serve_and_keep, serve_without_closing]


@pytest.mark.parametrize("serve", SERVERS)
def test_a_request_ends_once_with_its_body(serve: Callable[[Any], None]) -> None:
    requests.finished.clear()
    kept.clear()
    serve(wsgi.wrap(application)(dict(ENVIRON), lambda *_: None))
    assert [(route, failed) for route, _, failed in requests.finished] == [("GET /", False)]
    assert not requests.in_flight
    requests.finished.clear()
