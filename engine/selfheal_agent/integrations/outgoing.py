"""Calls to other services: how long their answers take to begin.

http.client carries urllib, requests, urllib3 and botocore; httpx has transports of its own.
Application threads append one number for each call; the probe's thread sums them.
"""

from __future__ import annotations

from collections import deque
from functools import wraps
from time import perf_counter

from selfheal_agent.capture import Capture
from selfheal_agent.ended_waits import heard

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from typing import Any

MOST_WAITING = 10_000

_ended: deque[float] = deque(maxlen=MOST_WAITING)
"""Seconds of calls that are not summed yet."""
_sums = [0, 0.0]


def sums() -> tuple[int, float]:
    """(calls, their seconds) since the process began; for the probe's thread."""
    while _ended:
        _sums[0] += 1
        _sums[1] += _ended.popleft()
    return int(_sums[0]), _sums[1]


def patch_http_client(module: Any, _capture: Capture) -> None:
    module.HTTPConnection.getresponse = heard(_timed(module.HTTPConnection.getresponse))


def patch_subprocess(module: Any, _capture: Capture) -> None:
    """Children that are run to their end; whoever keeps one and waits for it may supervise it."""
    module.Popen.communicate = heard(module.Popen.communicate)
    module.call = heard(module.call)


def patch_httpx(module: Any, _capture: Capture) -> None:
    module.HTTPTransport.handle_request = _timed(module.HTTPTransport.handle_request)
    original = module.AsyncHTTPTransport.handle_async_request

    @wraps(original)
    async def handle_async_request(*args: Any, **kwargs: Any) -> Any:
        began = perf_counter()
        try:
            return await original(*args, **kwargs)
        finally:
            _ended.append(perf_counter() - began)

    module.AsyncHTTPTransport.handle_async_request = handle_async_request


def _timed(original: Any) -> Any:
    @wraps(original)
    def timed(*args: Any, **kwargs: Any) -> Any:
        began = perf_counter()
        try:
            return original(*args, **kwargs)
        finally:
            _ended.append(perf_counter() - began)

    return timed
