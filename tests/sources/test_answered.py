"""A crash that an error handler turns into a failed answer is told; a deliberate answer is not."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from selfheal_agent import frames, good_calls, requests
from selfheal_agent.capture import Capture
from selfheal_agent.integrations.asgi import wrap_asgi
from tests.sources.conftest import Start

SHOP = """
    import sys
    from flask import Flask, abort, jsonify

    app = Flask(__name__)


    class Missing(Exception):
        pass


    def zip_of(order):
        return order["address"]["zip"]


    @app.errorhandler(Missing)
    def missing(error):
        return "none", 404


    @app.errorhandler(Exception)
    def failed(error):
        return jsonify(error=str(error)), getattr(error, "code", 500)


    @app.get("/crash")
    def crash():
        return zip_of({"address": None})


    @app.get("/missing")
    def not_there():
        raise Missing


    @app.get("/busy")
    def busy():
        abort(503)


    app.run(port=int(sys.argv[1]))
"""


@pytest.mark.e2e
def test_what_a_handler_answers_for_is_a_crash_when_the_answer_failed(start: Start) -> None:
    service = start({"shop.py": SHOP}, sys.executable, "{project}/shop.py", "{port}")
    service.until(lambda: service.get("/missing") == 404)
    assert service.get("/busy") == 503
    assert service.get("/crash") == 500
    service.until(lambda: service.seen)
    [seen] = service.seen
    crash, request = seen.crash, seen.request
    assert crash is not None
    assert request is not None
    assert crash.source_line == 'return order["address"]["zip"]'
    assert (request.path, request.route) == ("/crash", "GET /crash")


class HTTPException(Exception):  # noqa: N818 - as Starlette names it
    __module__ = "starlette.exceptions"


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    taken: list[dict[str, Any]] = []
    capture = Capture(taken.append, good_calls.entry_arguments)
    monkeypatch.setattr(requests, "report", capture.exception)
    monkeypatch.setattr(frames, "is_own", lambda file: file == __file__)
    requests.watch_asyncio(asyncio)
    yield taken
    requests.finished.clear()
    requests.in_flight.clear()


def serve(app: Any) -> Capture:
    """One request through our wrapper."""
    capture = Capture(lambda record: None, good_calls.entry_arguments)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: dict[str, Any]) -> None:
        pass

    scope = {"type": "http", "method": "GET", "path": "/crash", "headers": []}
    asyncio.run(wrap_asgi(app, app, capture)(scope, receive, send))
    return capture


def answering(exc: Exception, status: int) -> Any:
    """An application whose error handler works in a task of its own, as middlewares' do."""

    async def inner(send: Any) -> None:
        try:
            raise exc
        except Exception as why:  # noqa: BLE001 - as the handler of a framework
            assert requests.serving()
            requests.suspect(why, "starlette")
            await send({"type": "http.response.start", "status": status})

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.create_task(inner(send))

    return app


@pytest.mark.parametrize(
    ("exc", "status", "told"),
    [
        (KeyError("zip"), 500, ["KeyError"]),
        (KeyError("zip"), 404, []),
        (HTTPException("busy"), 503, []),
    ],
)
def test_only_a_crash_that_is_answered_as_a_failure_is_told(
    watch: list[dict[str, Any]], exc: Exception, status: int, told: list[str]
) -> None:
    serve(answering(exc, status))
    assert [record["exception"] for record in watch] == told
    assert [record["request"]["path"] for record in watch] == ["/crash"] * len(told)
    assert not requests.in_flight


def test_a_task_that_outlives_its_request_serves_none(watch: list[dict[str, Any]]) -> None:
    late: list[bool] = []

    async def straggler() -> None:
        await asyncio.sleep(0)
        late.append(requests.serving())

    async def main() -> None:
        tasks = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            tasks.append(asyncio.create_task(straggler()))

        capture = Capture(lambda record: None, good_calls.entry_arguments)
        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        await wrap_asgi(app, app, capture)(scope, None, None)
        await tasks[0]

    asyncio.run(main())
    assert late == [False]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups came with 3.11")
def test_each_member_of_a_group_is_a_crash_at_its_own_place() -> None:
    taken: list[dict[str, Any]] = []
    capture = Capture(taken.append, good_calls.entry_arguments)

    async def fails(error: type[Exception]) -> None:
        raise error

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for error in (KeyError, ValueError):
                group.create_task(fails(error))

    try:
        asyncio.run(main())
    except BaseException as why:  # noqa: BLE001 - a group is what is wanted
        capture.exception(why, "test")
        capture.exception(why, "again")
    assert sorted(record["exception"] for record in taken) == ["KeyError", "ValueError"]
    assert {record["frames"][-1]["function"].rpartition(".")[2] for record in taken} == {"fails"}
    assert capture.total == 2
