"""Frameworks that are their own server: Tornado.

It serves a request in one coroutine, which has the request before and the status after. Sanic
compiles its own methods anew from their source, so none of them can be replaced.
"""

from __future__ import annotations

from selfheal_agent import requests

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from typing import Any

    from selfheal_agent.capture import Capture


def patch_tornado(module: Any, _capture: Capture) -> None:
    requests.framework = requests.framework or "tornado"
    original = module.RequestHandler._execute

    async def _execute(self: Any, *args: Any, **kwargs: Any) -> Any:
        asked = self.request
        request = _begin(asked.method, asked.path, asked.query, asked.headers.get_all())
        request.route = f"{asked.method} {requests.plain_path(asked.path)}"
        token = requests.inherit(request)
        try:
            return await original(self, *args, **kwargs)
        finally:
            requests.disown(token)
            request.status = int(self.get_status())
            requests.end(request, False)

    module.RequestHandler._execute = _execute


def _begin(method: str, path: str, query: str, headers: Any) -> requests.InFlight:
    environ = {
        "method": method,
        "path": path,
        "query_string": (query or "").encode("latin-1", "replace"),
        "headers": [
            (name.encode("latin-1", "replace"), value.encode("latin-1", "replace"))
            for name, value in list(headers)[:60]
        ],
    }
    request = requests.InFlight("asgi", environ, requests.task_key())
    request.task = requests.current_task()
    requests.in_flight[request.key] = request
    return request
