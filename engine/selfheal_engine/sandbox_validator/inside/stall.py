"""Makes a call or a request against peers that never answer: it must end all the same.

Every connection leads to a stub of our own on loopback that accepts and stays silent. Waiting
with a limit runs twenty times faster, so that a patch with a ten-second timeout shows within
half a second, while a call without a limit waits until the step's time is up.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfheal_engine.sandbox_validator.inside import peers
    from selfheal_engine.sandbox_validator.inside import replay as replaying
    from selfheal_engine.sandbox_validator.inside import request as requesting
else:
    import peers
    import replay as replaying
    import request as requesting

FASTER = 20.0
SHORTEST_S = 0.02
TIMEOUTS = (
    "TimeoutError",
    "OSError",
    "queue.Empty",
    "_queue.Empty",
    "subprocess.TimeoutExpired",
    "concurrent.futures._base.TimeoutError",
    "asyncio.exceptions.TimeoutError",
    "asyncio.TimeoutError",
)
"""A call that gives up in bounded time raises one of these, or a class derived from them."""


def replay(step: replaying.Step, job: replaying.Job) -> replaying.Outcome:
    """Run the call with silent peers; the worker's own time limit tells a stall."""
    peers.silent()
    hasten_limits()
    started = time.perf_counter()
    outcome = requesting.replay(step, job) if step.get("method") else replaying.call(step, job)
    seconds = (time.perf_counter() - started) * FASTER
    if outcome["ended"] == "raised" and gave_up(outcome):
        outcome = {"ended": "returned", "gave_up": outcome["exception"], "value": ""}
    elif outcome.get("status", 0) >= 500:
        outcome = {"ended": "returned", "gave_up": "status {}".format(outcome["status"])}
    outcome["waited_s"] = seconds
    return outcome


def gave_up(outcome: replaying.Outcome) -> bool:
    names = outcome.get("families", [])
    return any(name in TIMEOUTS or "Timeout" in name for name in names)


def hasten_limits() -> None:
    """Shorten every finite limit of the standard library's waiting calls."""

    def sooner(limit: Any) -> Any:
        if isinstance(limit, (int, float)) and limit > 0:
            return max(SHORTEST_S, limit / FASTER)
        return limit

    plain_settimeout = socket.socket.settimeout
    socket.socket.settimeout = (  # type: ignore[method-assign]
        lambda self, value: plain_settimeout(self, sooner(value))
    )
    plain_default = socket.setdefaulttimeout
    socket.setdefaulttimeout = lambda value: plain_default(sooner(value))
    plain_wait = threading.Condition.wait
    threading.Condition.wait = (  # type: ignore[method-assign]
        lambda self, timeout=None: plain_wait(self, sooner(timeout))
    )
    plain_wait_for = threading.Condition.wait_for
    threading.Condition.wait_for = (  # type: ignore[method-assign]
        lambda self, predicate, timeout=None: plain_wait_for(self, predicate, sooner(timeout))
    )
    plain_join = threading.Thread.join
    threading.Thread.join = (  # type: ignore[method-assign]
        lambda self, timeout=None: plain_join(self, sooner(timeout))
    )
    hasten_subprocesses(sooner)
    hasten_asyncio(sooner)
    plain_sleep = time.sleep
    time.sleep = lambda seconds: plain_sleep(float(seconds) / FASTER)


def hasten_subprocesses(sooner: Callable[[Any], Any]) -> None:
    plain_wait, plain_communicate = subprocess.Popen.wait, subprocess.Popen.communicate
    subprocess.Popen.wait = (  # type: ignore[method-assign]
        lambda self, timeout=None: plain_wait(self, sooner(timeout))
    )

    def communicate(self: Any, input: Any = None, timeout: Any = None) -> Any:  # noqa: A002
        return plain_communicate(self, input, sooner(timeout))

    subprocess.Popen.communicate = communicate  # type: ignore[method-assign]


def hasten_asyncio(sooner: Callable[[Any], Any]) -> None:
    plain_wait_for: Any = asyncio.wait_for

    async def wait_for(fut: Any, timeout: Any = None) -> Any:
        return await plain_wait_for(fut, sooner(timeout))

    asyncio.wait_for = wait_for
    if hasattr(asyncio, "timeout"):
        plain_timeout: Any = asyncio.timeout
        asyncio.timeout = lambda delay: plain_timeout(sooner(delay))
