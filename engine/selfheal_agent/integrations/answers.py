"""Error handlers of frameworks: an exception that one turns into a failed answer is a crash.

What the service's own handler answers for is never raised again, so the frameworks are asked
where they look for the handler. Whether the answer failed (a status of 500 or above) shows when
it begins; `requests.answered` reports then.
"""

from __future__ import annotations

from functools import update_wrapper

from selfheal_agent import requests

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from collections.abc import Callable
    from typing import Any

    from selfheal_agent.capture import Capture


def _suspects(owner: Any, name: str, place: int, by: str) -> None:
    """The method or function `name` is called with the exception as its argument `place`."""
    original = getattr(owner, name)

    def handle(*args: Any, **kwargs: Any) -> Any:
        exc = args[place] if len(args) > place else kwargs.get("exc", kwargs.get("exception"))
        if exc is not None and issubclass(type(exc), BaseException):
            requests.suspect(exc, by)
        return original(*args, **kwargs)

    setattr(owner, name, update_wrapper(handle, original))


def patch_django(module: Any, _capture: Capture) -> None:
    _suspects(module.BaseHandler, "process_exception_by_middleware", 1, "django")


def patch_rest_framework(module: Any, _capture: Capture) -> None:
    _suspects(module.APIView, "handle_exception", 1, "django")


def patch_falcon(module: Any, _capture: Capture) -> None:
    _suspects(module.App, "_handle_exception", 3, "falcon")


def patch_pyramid(module: Any, _capture: Capture) -> None:
    _suspects(module, "_error_handler", 1, "pyramid")


def patch_bottle(module: Any, _capture: Capture) -> None:
    _suspects(module.HTTPError, "__init__", 3, "bottle")


def patch_starlette(module: Any, _capture: Capture) -> None:
    find_handler = module._lookup_exception_handler

    # no frame of ours may stand around the handling: the service's tracebacks would show it
    def _lookup_exception_handler(handlers: Any, exc: Any) -> Any:
        handler = find_handler(handlers, exc)
        if handler is not None:
            requests.suspect(exc, "starlette")
        return handler

    module._lookup_exception_handler = _lookup_exception_handler


def patch_aiohttp(module: Any, _capture: Capture) -> None:
    """Middlewares of the service stand around the handler."""
    seen: dict[int, Any] = {}

    def seen_once(handler: Any) -> Any:
        known = seen.get(id(handler))
        if known is None or known.__wrapped__ is not handler:
            if len(seen) >= 1_000:
                seen.clear()
            known = seen[id(handler)] = update_wrapper(_seen(handler, "aiohttp"), handler)
        return known

    for name in ("_cached_build_middleware", "_build_middlewares"):
        build = getattr(module, name, None)
        if build is not None:

            def build_around(handler: Any, apps: Any, build: Any = build) -> Any:
                return build(seen_once(handler), apps)

            setattr(module, name, build_around)


def _seen(call: Callable[..., Any], by: str) -> Callable[..., Any]:
    async def seen(*args: Any) -> Any:
        try:
            return await call(*args)
        except Exception as why:
            requests.suspect(why, by)
            raise

    return seen
