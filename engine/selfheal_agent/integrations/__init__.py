"""What the probe adds to each library, right after the service imports it.

The table names our own function by module and name, so that nothing of ours is loaded for a
library that the service does not use.
"""

from __future__ import annotations

import sys

from selfheal_agent import hooks

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from collections.abc import Callable
    from types import ModuleType

    from selfheal_agent.capture import Capture

TABLE = (
    ("logging", "logs", "patch_logging"),
    ("threading", "runtime", "hook_threading"),
    ("asyncio.base_events", "runtime", "hook_loop"),
    ("asyncio.tasks", "runtime", "watch_tasks"),
    ("queue", "waiting_lines", "watch_queue"),
    ("asyncio.queues", "waiting_lines", "watch_queue"),
    ("concurrent.futures.thread", "waiting_lines", "watch_threads"),
    ("concurrent.futures.process", "waiting_lines", "watch_processes"),
    ("flask.app", "web", "patch_flask"),
    ("gunicorn.app.base", "web", "patch_gunicorn"),
    ("gunicorn.app.wsgiapp", "web", "note_gunicorn_app"),
    ("wsgiref.simple_server", "web", "patch_wsgiref"),
    ("werkzeug.serving", "web", "patch_werkzeug"),
    ("waitress.server", "web", "patch_waitress"),
    ("cheroot.wsgi", "web", "patch_cheroot"),
    ("gevent.pywsgi", "web", "patch_pywsgi"),
    ("tornado.web", "own_servers", "patch_tornado"),
    ("starlette._exception_handler", "answers", "patch_starlette"),
    ("django.core.handlers.base", "answers", "patch_django"),
    ("rest_framework.views", "answers", "patch_rest_framework"),
    ("aiohttp.web_app", "answers", "patch_aiohttp"),
    ("falcon.app", "answers", "patch_falcon"),
    ("pyramid.tweens", "answers", "patch_pyramid"),
    ("bottle", "answers", "patch_bottle"),
    ("uvicorn.config", "asgi", "patch_uvicorn"),
    ("hypercorn.utils", "asgi", "patch_hypercorn"),
    ("starlette.applications", "asgi", "patch_starlette"),
    ("starlette.middleware.errors", "asgi", "patch_errors"),
    ("django.core.handlers.asgi", "asgi", "patch_django"),
    ("django.core.handlers.exception", "asgi", "patch_django_errors"),
    ("django.core.handlers.wsgi", "asgi", "patch_django_wsgi"),
    ("aiohttp.web_app", "asgi", "patch_aiohttp"),
    ("subprocess", "outgoing", "patch_subprocess"),
    ("http.client", "outgoing", "patch_http_client"),
    ("httpx._transports.default", "outgoing", "patch_httpx"),
    ("http.server", "workers", "patch_http_server"),
    ("socketserver", "workers", "patch_socketserver"),
    ("socketserver", "connected", "watch_socketserver"),
    ("asyncio.streams", "connected", "watch_streams"),
    ("celery.app.trace", "workers", "patch_celery"),
    ("celery.worker.worker", "workers", "patch_celery_worker"),
    ("rq.worker", "workers", "patch_rq"),
    ("concurrent.futures.thread", "workers", "patch_executor"),
    ("concurrent.futures.process", "workers", "patch_transport"),
    ("multiprocessing.pool", "workers", "patch_transport"),
    ("multiprocessing.process", "workers", "patch_process"),
)
"""(library module, our module, our function)."""


def install(capture: Callable[[], Capture]) -> None:
    """Register every integration; each is loaded only when its library is imported."""

    def later(ours: str, name: str) -> Callable[[ModuleType], None]:
        def integrate(module: ModuleType) -> None:
            path = f"selfheal_agent.integrations.{ours}"
            __import__(path)  # importlib costs more than all of ours
            getattr(sys.modules[path], name)(module, capture())

        return integrate

    for library, ours, name in TABLE:
        hooks.after_import(library, later(ours, name))
