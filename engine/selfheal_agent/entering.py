"""What a process has made before the probe came into it: applications, loops, queues.

Integrations change what libraries make from now on. A service that was entered while it runs
has made its application and its queues long ago, so those are looked for once, among all
objects that the garbage collector knows, and treated as if they had just been made.
"""

from __future__ import annotations

import gc
import sys

from selfheal_agent import queues, wsgi
from selfheal_agent.capture import Capture
from selfheal_agent.values import type_mro_of

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from typing import Any


def catch_up(capture: Capture) -> None:
    """Find what is there already. Never raises."""
    try:
        _catch_up(capture)
    except Exception as why:
        from selfheal_agent.notes import note

        note(f"looking for what was there: {type(why).__name__}: {why}")


def _catch_up(capture: Capture) -> None:
    kinds = {id(cls): work for names, work in _KINDS if (cls := _loaded(*names)) is not None}
    if not kinds:
        return
    by_type: dict[int, list[Any]] = {}
    types: list[type] = []  # kept, so that no id is given again
    for value in gc.get_objects():
        cls = type(value)
        todo = by_type.get(id(cls))
        if todo is None:
            types.append(cls)
            bases = [id(base) for base in type_mro_of(cls)]
            todo = by_type[id(cls)] = [kinds[base] for base in bases if base in kinds]
        for work in todo:
            work(value, capture)


def _loaded(module: str, name: str) -> Any:
    return getattr(sys.modules.get(module), name, None)


def _worker(worker: Any, capture: Capture) -> None:
    """gunicorn's worker keeps the WSGI callable that it calls."""
    from selfheal_agent.integrations import web

    def count() -> None:
        app = worker.__dict__.get("wsgi")
        if app is not None:
            worker.wsgi = web.counted(app, capture)

    def run() -> None:
        count()
        run_uncounted()

    if "wsgi" in worker.__dict__:
        count()
    else:  # it may be in the middle of loading its application, past where we change that
        run_uncounted = worker.run
        worker.run = run


def _uvicorn(config: Any, capture: Capture) -> None:
    """Each uvicorn protocol takes the application from the server's configuration."""
    from selfheal_agent.integrations import asgi

    if config.__dict__.get("loaded", False):
        asgi.count_uvicorn(config, capture)


def _wsgiref(server: Any, capture: Capture) -> None:
    app = server.__dict__.get("application")
    if app is not None:
        server.application = wsgi.wrap(app, app, None, _reporter(capture))


def _aiohttp(server: Any, _capture: Capture) -> None:
    """aiohttp's server keeps the bound method of the application that answers."""
    handler = server.__dict__.get("request_handler")
    app = getattr(handler, "__self__", None)
    if app is not None and getattr(handler, "__name__", "") == "_handle":
        server.request_handler = app._handle


def _reporter(capture: Capture) -> Any:
    return lambda why: capture.exception(why, "wsgi")


def _queue(made: Any, _capture: Capture) -> None:
    if all(base.__name__ != "LifoQueue" for base in type_mro_of(type(made))):
        queues.queues_made.add(made)


def _executor(made: Any, _capture: Capture) -> None:
    queues.executors_made.add(made)


def _loop(made: Any, _capture: Capture) -> None:
    from selfheal_agent.integrations import runtime

    runtime.loops.add(made)


_KINDS = (
    (("gunicorn.workers.base", "Worker"), _worker),
    (("uvicorn.config", "Config"), _uvicorn),
    (("wsgiref.simple_server", "WSGIServer"), _wsgiref),
    (("aiohttp.web_server", "Server"), _aiohttp),
    (("queue", "Queue"), _queue),
    (("asyncio.queues", "Queue"), _queue),
    (("concurrent.futures.thread", "ThreadPoolExecutor"), _executor),
    (("concurrent.futures.process", "ProcessPoolExecutor"), _executor),
    (("asyncio.base_events", "BaseEventLoop"), _loop),
)
