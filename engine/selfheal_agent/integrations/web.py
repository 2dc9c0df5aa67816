"""WSGI servers and frameworks: Flask, gunicorn, wsgiref, werkzeug."""

from __future__ import annotations

import inspect
from types import ModuleType

from selfheal_agent import requests, wsgi
from selfheal_agent.capture import Capture

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from collections.abc import Callable
    from typing import Any


def _reporter(capture: Capture) -> Callable[[BaseException], None]:
    def report(exc: BaseException) -> None:
        capture.exception(exc, "wsgi")

    return report


def patch_flask(module: ModuleType, capture: Capture) -> None:
    requests.framework = "flask"
    flask = module.Flask
    own_call, handle = flask.__call__, flask.handle_exception
    calls: dict[int, Any] = {}

    # It stands for Flask's own where that only asks wsgi_app: a frame that was added would be
    # kept, with all its values, by the traceback of each failure.
    def __call__(self: Any, environ: Any, start_response: Any) -> Any:  # noqa: N807
        known = environ.get(wsgi.FLAG)
        if known is not None:
            known.app = self
            known.route_of = _flask_route
            return self.wsgi_app(environ, start_response)
        call = calls.get(id(self))
        if call is None:
            call = calls[id(self)] = wsgi.wrap(
                lambda env, start: own_call(self, env, start), self, _flask_route
            )
        return call(environ, start_response)

    def handle_exception(self: Any, e: Any) -> Any:
        capture.exception(e, "flask")
        return handle(self, e)

    find_handler = flask._find_error_handler

    # asked where the handler is looked up: a frame of ours around the handling itself would
    # stand in every traceback that the service logs
    def _find_error_handler(self: Any, e: Any, *rest: Any) -> Any:
        handler = find_handler(self, e, *rest)
        if handler is not None:
            requests.suspect(e, "flask")
        return handler

    flask._find_error_handler = _find_error_handler
    flask.__call__ = __call__
    flask.handle_exception = handle_exception


def _flask_route(environ: dict[str, Any]) -> str:
    request = environ.get("werkzeug.request")
    rule = getattr(request, "url_rule", None)
    path = getattr(rule, "rule", None)
    method = environ.get("REQUEST_METHOD", "")
    if type(path) is str:
        return f"{method} {path}"
    return f"{method} (no route)"


def patch_gunicorn(module: ModuleType, capture: Capture) -> None:
    original = module.BaseApplication.wsgi

    def wsgi(self: Any) -> Any:
        return counted(original(self), capture)

    module.BaseApplication.wsgi = wsgi


def counted(app: Any, capture: Capture) -> Any:
    """The WSGI callable of a gunicorn worker, counting; any other callable as it is."""
    if getattr(app, "__selfheal__", False) or _takes_scope(app):
        return app  # an ASGI worker's own configuration sees to its application
    wrapped = wsgi.wrap(app, app, None, _reporter(capture))
    wrapped.__selfheal__ = True  # type: ignore[attr-defined]
    return wrapped


def _takes_scope(app: Any) -> bool:
    """Whether the callable takes ASGI's scope, receive and send instead of WSGI's two."""
    for call in (app, getattr(type(app), "__call__", None)):  # noqa: B004 - its code is wanted
        code = getattr(call, "__code__", None)
        if code is None:
            continue
        if code.co_flags & inspect.CO_COROUTINE:
            return True
        names = code.co_varnames[: code.co_argcount]
        if names[-3:] == ("scope", "receive", "send"):
            return True
    return False


def note_gunicorn_app(module: ModuleType, _capture: Capture) -> None:
    original = module.WSGIApplication.load_wsgiapp

    def load_wsgiapp(self: Any) -> Any:
        uri = getattr(self, "app_uri", None)
        if type(uri) is str:
            requests.server_app = uri if ":" in uri else f"{uri}:application"
        return original(self)

    module.WSGIApplication.load_wsgiapp = load_wsgiapp


def patch_wsgiref(module: ModuleType, capture: Capture) -> None:
    original = module.WSGIServer.set_app

    def set_app(self: Any, application: Any) -> Any:
        if application is not None:
            application = wsgi.wrap(application, application, None, _reporter(capture))
        return original(self, application)

    module.WSGIServer.set_app = set_app


def patch_werkzeug(module: ModuleType, capture: Capture) -> None:
    _count_what_is_served(module.BaseWSGIServer, "app", capture)


def patch_waitress(module: ModuleType, capture: Capture) -> None:
    _count_what_is_served(module.BaseWSGIServer, "application", capture)


def patch_cheroot(module: ModuleType, capture: Capture) -> None:
    _count_what_is_served(module.Server, "wsgi_app", capture)


def patch_pywsgi(module: ModuleType, capture: Capture) -> None:
    _count_what_is_served(module.WSGIServer, "application", capture)


def _count_what_is_served(server: Any, attribute: str, capture: Capture) -> None:
    """Once made, a server of this class keeps the WSGI callable as an attribute."""
    original = server.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        original(self, *args, **kwargs)
        app = self.__dict__.get(attribute)
        if app is not None:
            setattr(self, attribute, wsgi.wrap(app, app, None, _reporter(capture)))

    server.__init__ = __init__
