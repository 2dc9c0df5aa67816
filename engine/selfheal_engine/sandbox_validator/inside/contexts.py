"""Which functions of the project each test runs: it tells the tests that a patch touches.

The idea is that of coverage's dynamic contexts, kept to functions: that is enough to choose
tests by. On Python 3.12 and later through sys.monitoring, where a function costs something at
its first call in a test only; before, through a profile function, which about doubles what
calls cost, so that only a run whose results are known already is watched.
"""

from __future__ import annotations

import os
import sys
import threading
from types import CodeType, FrameType
from typing import Any


class Contexts:
    """Collects the functions that run, test by test."""

    def __init__(self, root: str) -> None:
        self._root = os.path.join(os.path.realpath(root), "")
        self._codes: set[CodeType] = set()
        self._restart: Any = None
        self._tests: list[str] = []
        self._runs: dict[str, list[int]] = {}

    def start(self) -> None:
        """Watch this process from now on."""
        monitoring = getattr(sys, "monitoring", None)
        if monitoring is None or monitoring.get_tool(monitoring.PROFILER_ID) is not None:
            threading.setprofile(self._call)
            sys.setprofile(self._call)
            return
        monitoring.use_tool_id(monitoring.PROFILER_ID, "selfheal")
        starts = monitoring.events.PY_START
        monitoring.register_callback(monitoring.PROFILER_ID, starts, self._start_event)
        monitoring.set_events(monitoring.PROFILER_ID, starts)
        self._restart = monitoring.restart_events

    def begin(self) -> None:
        """A test begins."""
        self._codes = set()
        if self._restart is not None:
            self._restart()

    def end(self, test: str) -> None:
        """It has ended: what has run since it began is its context."""
        codes, self._codes = self._codes, set()
        own = [code for code in codes if code.co_filename.startswith(self._root)]
        if not own:
            return
        number = len(self._tests)
        self._tests.append(test)
        for name in {f"{c.co_filename[len(self._root) :]}:{c.co_name}" for c in own}:
            self._runs.setdefault(name, []).append(number)

    def found(self) -> dict[str, Any]:
        """`tests`: ids of those that run any, in order; `runs`: "path:function" -> places there."""
        return {"tests": self._tests, "runs": self._runs}

    def _start_event(self, code: CodeType, _offset: int) -> Any:
        self._codes.add(code)
        return sys.monitoring.DISABLE  # type: ignore[attr-defined,unused-ignore]

    def _call(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call":
            self._codes.add(frame.f_code)
