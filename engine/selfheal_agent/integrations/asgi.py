"""ASGI servers and frameworks: uvicorn, Starlette, FastAPI, Django, hypercorn."""

from __future__ import annotations

from types import ModuleType

from selfheal_agent import requests, wsgi
from selfheal_agent.capture import Capture

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from collections.abc import Callable
    from typing import Any

_SCOPE_FLAG = "selfheal.request"


def wrap_asgi(
    call: Callable[..., Any],
    app: Any,
    capture: Capture,
    route_of: Callable[[dict[str, Any]], str] | None = None,
) -> Callable[..., Any]:
    """`call(scope, receive, send)` that counts; only the outermost wrapper counts."""

    async def counted(scope: Any, receive: Any, send: Any) -> Any:
        if scope.get("type") != "http":
            return await call(scope, receive, send)
        known = scope.get(_SCOPE_FLAG)
        if known is not None:
            known.app = app
            if route_of is not None:
                known.route_of = route_of
            return await call(scope, receive, send)
        request = requests.InFlight("asgi", scope, requests.task_key())
        request.app = app
        request.task = requests.current_task()
        request.route_of = route_of
        scope[_SCOPE_FLAG] = request
        requests.in_flight[request.key] = request

        async def receive_kept() -> Any:
            message = await receive()
            body = message.get("body")
            if body:
                request.keep_body(body)
            return message

        async def send_seen(message: Any) -> Any:
            if message["type"] == "http.response.start":
                requests.answered(request, message["status"])
            return await send(message)

        failed = True
        token = requests.inherit(request)
        try:
            result = await call(scope, receive_kept, send_seen)
            failed = False
            return result
        except Exception as why:
            capture.exception(why, "asgi")
            raise
        finally:
            requests.disown(token)
            if not request.route and request.route_of is not None:
                request.route = request.route_of(scope)
            requests.end(request, failed)

    return counted


def patch_uvicorn(module: Any, capture: Capture) -> None:
    original = module.Config.load

    def load(self: Any) -> Any:
        result = original(self)
        count_uvicorn(self, capture)
        return result

    module.Config.load = load


def count_uvicorn(config: Any, capture: Capture) -> None:
    """Put the counter around the application that a loaded configuration holds."""
    spec = getattr(config, "app", None)
    if type(spec) is str:
        requests.server_app = spec
    loaded = config.loaded_app
    if getattr(config, "interface", "").startswith("asgi3") or _takes_three(loaded):
        config.loaded_app = wrap_asgi(loaded, _innermost(loaded), capture, starlette_route)


def _takes_three(app: Any) -> bool:
    code = getattr(getattr(app, "__call__", app), "__code__", None)  # noqa: B004 - the method's code
    return code is not None and code.co_argcount >= 3


def _innermost(app: Any) -> Any:
    for _ in range(10):
        inner = getattr(app, "__dict__", {}).get("app")
        if inner is None or not callable(inner):
            return app
        app = inner
    return app


def patch_hypercorn(module: Any, capture: Capture) -> None:
    original = module.load_application

    def load_application(path: Any, *args: Any, **kwargs: Any) -> Any:
        if type(path) is str:
            requests.server_app = path
        loaded = original(path, *args, **kwargs)
        app = loaded.app
        if type(loaded).__name__ == "ASGIWrapper":
            loaded.app = wrap_asgi(app, _innermost(app), capture, starlette_route)
        else:
            loaded.app = wsgi.wrap(app, app, None, lambda e: capture.exception(e, "wsgi"))
        return loaded

    module.load_application = load_application


def starlette_route(scope: dict[str, Any]) -> str:
    """`GET /items/{id}`: the template that Starlette or FastAPI matched."""
    method = scope.get("method", "")
    route = scope.get("route")
    path = getattr(route, "path", None)
    if type(path) is str:
        return f"{method} {path}"
    parameters = scope.get("path_params")
    path = str(scope.get("path", ""))
    if type(parameters) is dict:
        for name, value in parameters.items():
            if type(value) in (str, int) and str(value):
                path = path.replace(f"/{value}", f"/{{{name}}}", 1)
    return f"{method} {requests.plain_path(path)}"


def patch_starlette(module: Any, capture: Capture) -> None:
    requests.framework = "starlette"
    original = module.Starlette.__call__
    calls: dict[int, Any] = {}

    async def __call__(self: Any, scope: Any, receive: Any, send: Any) -> None:  # noqa: N807
        call = calls.get(id(self))
        if call is None:
            call = calls[id(self)] = wrap_asgi(
                lambda s, r, w: original(self, s, r, w), self, capture, starlette_route
            )
        await call(scope, receive, send)

    module.Starlette.__call__ = __call__


def patch_errors(module: Any, capture: Capture) -> None:
    """The middleware that turns an exception into a 500 page still raises it afterwards."""
    requests.framework = requests.framework or "starlette"


def patch_django(module: Any, capture: Capture) -> None:
    original = module.ASGIHandler.__call__
    calls: dict[int, Any] = {}

    async def __call__(self: Any, scope: Any, receive: Any, send: Any) -> None:  # noqa: N807
        call = calls.get(id(self))
        if call is None:
            call = calls[id(self)] = wrap_asgi(
                lambda s, r, w: original(self, s, r, w), self, capture, _django_asgi_route
            )
        await call(scope, receive, send)

    module.ASGIHandler.__call__ = __call__


def patch_django_wsgi(module: Any, capture: Capture) -> None:
    original = module.WSGIHandler.__call__
    calls: dict[int, Any] = {}

    def __call__(self: Any, environ: Any, start_response: Any) -> Any:  # noqa: N807
        if wsgi.is_counted(environ, self, _django_route):
            return original(self, environ, start_response)
        call = calls.get(id(self))
        if call is None:
            call = calls[id(self)] = wsgi.wrap(
                lambda e, s: original(self, e, s), self, _django_route
            )
        return call(environ, start_response)

    module.WSGIHandler.__call__ = __call__


_django_requests: dict[int, Any] = {}


def patch_django_errors(module: Any, capture: Capture) -> None:
    requests.framework = "django"
    original = module.response_for_exception

    def response_for_exception(request: Any, exc: Any) -> Any:
        response = original(request, exc)
        if getattr(response, "status_code", 500) >= 500:
            capture.exception(exc, "django")
        return response

    module.response_for_exception = response_for_exception
    _remember_routes()


def _remember_routes() -> None:
    """Django resolves the route on its request object: keep it where the counter can see it."""
    from selfheal_agent import hooks

    def patch(base: ModuleType) -> None:
        original = base.BaseHandler.resolve_request

        def resolve_request(self: Any, request: Any) -> Any:
            match = original(self, request)
            current = requests.in_flight.get(requests.task_key())
            route = getattr(match, "route", None)
            if current is not None and type(route) is str:
                current.route = f"{getattr(request, 'method', '')} /{route.lstrip('/')}"
            return match

        base.BaseHandler.resolve_request = resolve_request

    hooks.after_import("django.core.handlers.base", patch)


def _django_route(environ: dict[str, Any]) -> str:
    flag = environ.get("selfheal.request")
    if flag is not None and flag.route:
        return str(flag.route)
    return f"{environ.get('REQUEST_METHOD', '')} (no route)"


def _django_asgi_route(scope: dict[str, Any]) -> str:
    flag = scope.get(_SCOPE_FLAG)
    if flag is not None and flag.route:
        return str(flag.route)
    return f"{scope.get('method', '')} (no route)"


def patch_aiohttp(module: Any, capture: Capture) -> None:
    """aiohttp.web serves by itself: each request goes through its application's `_handle`."""
    requests.framework = "aiohttp"
    original = module.Application._handle

    async def _handle(self: Any, message: Any) -> Any:
        key = requests.task_key()
        if key in requests.in_flight:  # an application inside another
            return await original(self, message)
        path = message.rel_url
        environ = {
            "type": "http",
            "method": message.method,
            "path": path.path,
            "query_string": path.raw_query_string.encode("latin-1", "replace"),
            "headers": message.raw_headers,
        }
        request = requests.InFlight("asgi", environ, key)
        request.task = requests.current_task()
        request.app = self
        requests.in_flight[key] = request
        failed = True
        token = requests.inherit(request)
        try:
            answer = await original(self, message)
            requests.answered(request, int(getattr(answer, "status", 0) or 0))
            failed = False
            return answer
        except Exception as why:
            status = getattr(why, "status", None)  # its HTTP errors are answers
            failed = type(status) is not int or status >= 500
            if failed:
                capture.exception(why, "aiohttp")
            raise
        finally:
            requests.disown(token)
            request.route = _aiohttp_route(message)
            requests.end(request, failed)

    module.Application._handle = _handle


def _aiohttp_route(message: Any) -> str:
    resource = getattr(getattr(message.match_info, "route", None), "resource", None)
    template = getattr(resource, "canonical", None)
    if type(template) is str:
        return f"{message.method} {template}"
    return f"{message.method} (no route)"
