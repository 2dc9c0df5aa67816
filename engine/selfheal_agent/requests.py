"""Requests: how long each took, how it ended, and what the one in flight looks like.

Application threads append one small tuple for each request to a deque; the probe's thread
turns them into counts and histograms by route. The request in flight is kept by thread (and
by asyncio task), so that a crash record can carry it.
"""

from __future__ import annotations

import sys
import time
from _thread import get_ident
from collections import deque
from contextvars import ContextVar

from selfheal_agent import histogram, recent
from selfheal_agent.scrub import SCRUBBED, is_secret_name, scrub_text
from selfheal_agent.values import type_module_of, type_mro_of, type_name_of

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from collections.abc import Callable
    from typing import Any

MAX_BODY = 65_536
MAX_ROUTES = 200
clock = time.perf_counter

finished: deque[tuple[str, float, bool]] = deque()
"""(route, seconds, failed) of requests that ended and are not counted yet."""
in_flight: dict[int, InFlight] = {}
"""By thread, or by id of the asyncio task."""
framework = ""
server_app = ""
"""Import path of the callable as the server was told: "shop.wsgi:app"."""
report: Callable[..., None] | None = None
"""`Capture.exception`, once there is one."""
_inherited: ContextVar[InFlight | None] = ContextVar("selfheal request", default=None)
"""Tasks and threads that a request's task starts serve it too."""

_current_task: Callable[[], Any] | None = None
_ENDED: dict[str, Any] = {}


class InFlight:
    """One request that is being served.

    What few requests need stands in the class: each attribute set costs all of them.
    """

    status = 0
    route = ""
    route_of: Callable[[dict[str, Any]], str] | None = None
    body: list[bytes] | None = None
    """The parts that were read, up to `MAX_BODY`."""
    body_size = 0
    app: Any = None
    stall_told = False
    served = False
    server_start: Any = None
    """The server's start_response, of WSGI."""
    suspect: tuple[Any, Any, str] | None = None
    """Exception, traceback and name of the error handler that may answer for it."""
    task: Any = None
    """The asyncio task that serves it."""

    def __init__(self, kind: str, environ: dict[str, Any], key: int) -> None:
        self.kind = kind
        self.environ = environ
        self.key = key
        self.thread = get_ident()
        self.started = clock()

    def start(self, status: str, *rest: Any) -> Any:
        """WSGI's start_response."""
        self.status = int(status[:3])
        if self.suspect is not None:
            _answer_for(self)
        if self.route_of is not None:  # frameworks forget the route when they clean up
            self.route = self.route_of(self.environ)
        return self.server_start(status, *rest)

    def keep_body(self, part: bytes) -> None:
        if self.body_size < MAX_BODY:
            if self.body is None:
                self.body = []
            self.body.append(part)
        self.body_size += len(part)


def task_key() -> int:
    """Key of the running asyncio task, or of the thread where there is none."""
    task = current_task() if _current_task is not None else None
    return id(task) if task is not None else get_ident()


def current_task() -> Any:
    """The running asyncio task; None where there is none."""
    try:
        return _current_task() if _current_task is not None else None
    except RuntimeError:
        return None


def current() -> InFlight | None:
    """The request that the running thread or task serves."""
    if not in_flight:
        return None
    found = in_flight.get(task_key()) or in_flight.get(get_ident())
    if found is None:
        found = _inherited.get()
        if found is not None and in_flight.get(found.key) is not found:
            return None  # it is over, what it started is not
    return found


def serving() -> bool:
    """Whether the running thread or task is serving a request."""
    return current() is not None


def inherit(request: InFlight) -> Any:
    """What the running task starts from now on serves this request, until `disown`."""
    return _inherited.set(request)


def disown(token: Any) -> None:
    _inherited.reset(token)


def suspect(exc: BaseException, caught_by: str) -> None:
    """An error handler is about to answer for this one: a failed answer makes it a crash."""
    request = current()
    if request is not None and not _is_answer(exc):
        request.suspect = (exc, exc.__traceback__, caught_by)


_FRAMEWORKS = frozenset(("aiohttp", "bottle", "cherrypy", "django", "falcon", "fastapi", "flask"))
_FRAMEWORKS |= {"pyramid", "quart", "rest_framework", "sanic", "starlette", "tornado", "werkzeug"}


def _is_answer(exc: BaseException) -> bool:
    """Whether it is a framework's way to answer, such as `abort(503)`, and no crash."""
    return any(
        type_module_of(base).partition(".")[0] in _FRAMEWORKS
        and type_name_of(base).startswith(("HTTP", "Http", "API", "Sanic"))
        for base in type_mro_of(type(exc))[:-3]  # without Exception, BaseException and object
    )


def suspected() -> BaseException | None:
    """What the running request's error handler is answering for just now."""
    request = current()
    found = request.suspect if request is not None else None
    return found[0] if found is not None else None


def answered(request: InFlight, status: int) -> None:
    """The answer begins; what failed and was answered for is reported."""
    request.status = status
    if request.suspect is not None:
        _answer_for(request)


def _answer_for(request: InFlight) -> None:
    exc, tb, caught_by = request.suspect  # type: ignore[misc]
    request.suspect = None
    if request.status >= 500 and report is not None:
        report(exc, caught_by, tb=tb)


def watch_asyncio(asyncio_tasks: Any) -> None:
    """From now on requests are kept by task where a loop runs."""
    global _current_task
    _current_task = asyncio_tasks.current_task


def end(request: InFlight, failed: bool) -> None:
    """The request is over."""
    route = request.route
    if not route:
        find = request.route_of
        route = find(request.environ) if find is not None else _collapsed(request)
    now = clock()
    finished.append((route, now - request.started, failed or request.status >= 500))
    if now >= recent.due.get((route, request.status), 0.0):
        recent.note(request, route, now)
    if in_flight.get(request.key) is request:
        del in_flight[request.key]
    request.environ = _ENDED  # they held each other, and all of the request until a collection


def _collapsed(request: InFlight) -> str:
    environ = request.environ
    if request.kind == "asgi":
        return f"{environ.get('method', '')} {plain_path(environ.get('path', ''))}".strip()
    return f"{environ.get('REQUEST_METHOD', '')} {plain_path(environ.get('PATH_INFO', ''))}"


def plain_path(path: str) -> str:
    """A path whose numbers and long ids are replaced, so that one route has one name."""
    if not any(c.isdigit() for c in path):
        return path
    parts = []
    for part in path.split("/"):
        digits = sum(c.isdigit() for c in part)
        parts.append("<id>" if digits and (digits == len(part) or len(part) > 15) else part)
    return "/".join(parts)


class Totals:
    """Cumulative counts of this process, built by the probe's thread."""

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.routes: dict[str, RouteTotals] = {}

    def collect(self) -> None:
        """Count what ended since the last time."""
        for _ in range(len(finished)):
            try:
                route, seconds, failed = finished.popleft()
            except IndexError:
                return
            self.requests += 1
            self.errors += failed
            totals = self.routes.get(route)
            if totals is None:
                if len(self.routes) >= MAX_ROUTES:
                    route = "(other)"
                totals = self.routes.setdefault(route, RouteTotals())
            totals.add(seconds, failed)

    def plain(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "errors": self.errors,
            "routes": {route: [t.requests, t.errors, t.counts] for route, t in self.routes.items()},
        }


class RouteTotals:
    """Counts of one route."""

    __slots__ = ("counts", "errors", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.counts: dict[int, int] = {}

    def add(self, seconds: float, failed: bool) -> None:
        self.requests += 1
        self.errors += failed
        index = histogram.bucket(seconds)
        self.counts[index] = self.counts.get(index, 0) + 1


# ---------------------------------------------------------------- for crash records
def current_record() -> dict[str, Any] | None:
    """The request that the running thread or task serves, scrubbed and bounded."""
    request = current()
    return None if request is None or request.kind == "task" else record_of(request)


def record_of(request: InFlight) -> dict[str, Any]:
    """A `model.RequestRecord` as plain JSON."""
    import base64

    body = b"".join(request.body or ())[:MAX_BODY]
    made: dict[str, Any] = {
        "body": {"b64": base64.b64encode(scrub_body(body)).decode("ascii")},
        "body_truncated": request.body_size > MAX_BODY,
        "app": app_path(request.app),
        "route": request.route or (request.route_of(request.environ) if request.route_of else ""),
        "status": request.status,
        "framework": framework,
    }
    environ = request.environ
    if request.kind == "asgi":
        pairs = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in environ.get("headers", ())
        ]
        made["method"] = environ.get("method", "")
        made["path"] = environ.get("path", "")
        made["query"] = scrub_text(environ.get("query_string", b"").decode("latin-1"))
    else:
        pairs = [
            (key[5:].replace("_", "-").title(), value)
            for key, value in environ.items()
            if type(key) is str and key.startswith("HTTP_") and type(value) is str
        ]
        if environ.get("CONTENT_TYPE"):
            pairs.append(("Content-Type", environ["CONTENT_TYPE"]))
        made["method"] = environ.get("REQUEST_METHOD", "")
        made["path"] = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        made["query"] = scrub_text(environ.get("QUERY_STRING", ""))
    made["headers"] = [
        [name, SCRUBBED if is_secret_name(name) else scrub_text(value[:1000])]
        for name, value in pairs[:60]
    ]
    return made


def scrub_body(body: bytes) -> bytes:
    """Secrets in a JSON or form body replaced; its structure stays, so that it can be replayed."""
    import re

    text = body.decode("latin-1")

    def hide(found: re.Match[str]) -> str:
        if is_secret_name(found.group(2)):
            return f"{found.group(1)}{SCRUBBED}"
        return found.group()

    text = re.sub(r'("([\w-]{2,60})"\s*:\s*")((?:[^"\\]|\\.)*)', hide, text)
    text = re.sub(r"((?:^|&)?\b([\w-]{2,60})=)([^&\s\"<>]+)", hide, text)
    return text.encode("latin-1")


_app_paths: dict[int, str] = {}


def app_path(app: Any) -> str:
    """How to import the callable again: as the server was told, else where it is bound."""
    if server_app:
        return server_app
    if app is None:
        return ""
    known = _app_paths.get(id(app))
    if known is None:
        known = _app_paths[id(app)] = _find_app(app)
    return known


def _find_app(app: Any) -> str:
    from selfheal_agent.frames import is_own

    for module_name, module in list(sys.modules.items()):
        scope = getattr(module, "__dict__", None)
        if type(scope) is not dict or not is_own(str(scope.get("__file__") or "<none>")):
            continue
        for name, value in list(scope.items()):
            if value is app:
                return f"{module_name}:{name}"
    return ""
