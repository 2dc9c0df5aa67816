"""Replays a recorded HTTP request through the service's WSGI or ASGI callable, in process.

Frameworks turn exceptions into responses, so the exceptions that were logged or signalled
while the request ran are collected too: a 500 page alone says little.
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import inspect
import io
import logging
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfheal_engine.sandbox_validator.inside import replay as replaying
else:
    import replay as replaying

BODY_AT_MOST = 1 << 16

Answer = tuple[int, list[tuple[str, str]], bytes]


def replay(step: replaying.Step, job: replaying.Job) -> replaying.Outcome:
    """Serve the request once; the record holds status, headers, body and logged exceptions."""
    app = load(step["app"])
    for kept in step.get("kept", ()):
        replaying.restore(kept["module"], kept["arguments"])
    caught = Caught(job)
    logging.getLogger().addHandler(caught)
    started = time.perf_counter()
    try:
        status, headers, body = serve(app, step)
    except BaseException as why:
        outcome = replaying.raised(why, job)
        outcome["seconds"] = time.perf_counter() - started
        return outcome
    finally:
        logging.getLogger().removeHandler(caught)
    seconds = time.perf_counter() - started
    if caught.records and status >= 500:
        return dict(caught.records[0], status=status, seconds=seconds)
    return {
        "ended": "returned",
        "status": status,
        "headers": sorted(name.lower() for name, _ in headers),
        "type": next((v for n, v in headers if n.lower() == "content-type"), ""),
        "body": base64.b64encode(body[:BODY_AT_MOST]).decode(),
        "logged": caught.records[:5],
        "peer": "" if caught.records else step.get("peer", ""),
        "seconds": seconds,
    }


def serve(app: Any, step: replaying.Step, run: Callable[[Any], Any] = asyncio.run) -> Answer:
    """(status, headers, body) of one request."""
    answer: Answer = run(asgi(app, step)) if is_asgi(app) else wsgi(app, step)
    return answer


def load(path: str) -> Any:
    """The callable that "package.module:name" names; `name()` and `create_app` are called."""
    module_name, _, name = path.partition(":")
    if not module_name:
        raise replaying.UnusableError("the request's application is not known")
    try:
        module = importlib.import_module(module_name)
    except ImportError as why:
        raise replaying.UnusableError(f"{module_name} cannot be imported: {why}") from None
    name = name or "application"
    factory = name.endswith("()")
    app: Any = module
    for part in name[:-2].split(".") if factory else name.split("."):
        app = getattr(app, part, None)
        if app is None:
            raise replaying.UnusableError(f"{path} does not exist")
    return app() if factory else app


def is_asgi(app: Any) -> bool:
    """A single-callable ASGI 3 application is a coroutine function of three arguments."""
    for target in (app, getattr(app, "__call__", None)):  # noqa: B004 - its kind is wanted
        if target is not None and inspect.iscoroutinefunction(target):
            return True
    return False


class Caught(logging.Handler):
    """Collects exceptions that the service logged."""

    def __init__(self, job: replaying.Job) -> None:
        super().__init__(logging.DEBUG)
        self.job = job
        self.records: list[replaying.Outcome] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None and len(self.records) < 20:
            self.records.append(replaying.raised(record.exc_info[1], self.job))


def wsgi(app: Any, step: replaying.Step) -> Answer:
    """(status, headers, body) of a WSGI application (PEP 3333)."""
    body = base64.b64decode(step["body"])
    environ: dict[str, Any] = {
        "REQUEST_METHOD": step["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": step["path"],
        "QUERY_STRING": step["query"],
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "CONTENT_LENGTH": str(len(body)),
    }
    for name, value in step["headers"]:
        key = name.upper().replace("-", "_")
        if key == "CONTENT_TYPE":
            environ[key] = value
        elif key != "CONTENT_LENGTH":
            environ["HTTP_" + key] = value
    started: dict[str, Any] = {}

    def start_response(status: str, headers: list[Any], exc_info: Any = None) -> Any:
        started["status"] = int(status.split(" ", 1)[0])
        started["headers"] = [(str(n), str(v)) for n, v in headers]
        return lambda chunk: None

    answer = app(environ, start_response)
    try:
        content = b"".join(answer)
    finally:
        close = getattr(answer, "close", None)
        if close is not None:
            close()
    return started.get("status", 0), started.get("headers", []), content


async def asgi(app: Any, step: replaying.Step) -> Answer:
    """(status, headers, body) of an ASGI 3 application."""
    sent = [{"type": "http.request", "body": base64.b64decode(step["body"]), "more_body": False}]
    got: dict[str, Any] = {"status": 0, "headers": [], "body": b""}
    finished = asyncio.Event()
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": step["method"],
        "scheme": "http",
        "path": step["path"],
        "raw_path": step["path"].encode(),
        "query_string": step["query"].encode(),
        "root_path": "",
        "headers": [(n.lower().encode(), v.encode()) for n, v in step["headers"]],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
        "state": {},
    }
    if not any(name == b"host" for name, _ in scope["headers"]):
        scope["headers"].append((b"host", b"localhost"))

    async def receive() -> dict[str, Any]:
        if sent:
            return sent.pop()
        await finished.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            got["status"] = message["status"]
            got["headers"] = [(n.decode(), v.decode()) for n, v in message.get("headers", [])]
        elif message["type"] == "http.response.body":
            got["body"] += message.get("body", b"")
            if not message.get("more_body"):
                finished.set()

    await app(scope, receive, send)
    return got["status"], got["headers"], got["body"]
