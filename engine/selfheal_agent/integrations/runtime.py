"""What threading and asyncio do with an exception that nobody handled."""

from __future__ import annotations

import weakref

from selfheal_agent import requests
from selfheal_agent.capture import Capture

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from typing import Any

loops: weakref.WeakSet[Any] = weakref.WeakSet()
"""Event loops that run or ran."""


def hook_threading(threading: Any, capture: Capture) -> None:
    before = threading.excepthook

    def excepthook(args: Any) -> Any:
        capture.exception(args.exc_value, "threading", kind="thread_death", tb=args.exc_traceback)
        return before(args)

    threading.excepthook = excepthook


def watch_tasks(module: Any, _capture: Capture) -> None:
    """From now on requests are kept by task where a loop runs."""
    requests.watch_asyncio(module)


def hook_loop(base_events: Any, capture: Capture) -> None:
    original = base_events.BaseEventLoop.call_exception_handler

    def call_exception_handler(self: Any, context: Any) -> Any:
        exc = context.get("exception") if type(context) is dict else None
        if exc is not None:
            capture.exception(exc, "asyncio")
        return original(self, context)

    base_events.BaseEventLoop.call_exception_handler = call_exception_handler
    setup = base_events.BaseEventLoop._check_running

    def _check_running(self: Any) -> Any:
        loops.add(self)  # called once, when the loop begins to run
        return setup(self)

    base_events.BaseEventLoop._check_running = _check_running
