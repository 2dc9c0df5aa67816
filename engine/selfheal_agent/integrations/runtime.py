"""The interpreter's own ways to report an exception: the hooks of sys, threading and asyncio."""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Iterator
from typing import Any

from selfheal_agent import requests
from selfheal_agent.capture import Capture
from selfheal_agent.hooks import Integration

loops: weakref.WeakSet[Any] = weakref.WeakSet()
"""Event loops that run or ran."""


def integrations(capture: Capture) -> Iterator[tuple[str, Integration]]:
    _hook_sys(capture)
    yield "threading", lambda module: _hook_threading(module, capture)
    yield "asyncio.base_events", lambda module: _hook_loop(module, capture)
    yield "asyncio.tasks", requests.watch_asyncio


def _hook_sys(capture: Capture) -> None:
    before = sys.excepthook

    def excepthook(cls: Any, exc: Any, tb: Any) -> Any:
        from selfheal_agent import probe

        capture.exception(exc, "excepthook", tb=tb)
        probe.flush(0.5)
        return before(cls, exc, tb)

    sys.excepthook = excepthook
    unraisable_before = sys.unraisablehook

    def unraisablehook(unraisable: Any) -> Any:
        capture.exception(unraisable.exc_value, "unraisable", tb=unraisable.exc_traceback)
        return unraisable_before(unraisable)

    sys.unraisablehook = unraisablehook
    exit_now = os._exit

    def _exit(status: int) -> Any:
        from selfheal_agent import probe

        probe.goodbye()
        exit_now(status)

    os._exit = _exit


def _hook_threading(threading: Any, capture: Capture) -> None:
    before = threading.excepthook

    def excepthook(args: Any) -> Any:
        capture.exception(args.exc_value, "threading", kind="thread_death", tb=args.exc_traceback)
        return before(args)

    threading.excepthook = excepthook


def _hook_loop(base_events: Any, capture: Capture) -> None:
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
