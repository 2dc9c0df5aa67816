"""Which of some lines were run: the evidence that a test or a replay says anything of a patch.

On Python 3.12 and later through sys.monitoring, which costs nothing once a line was seen; before,
through a trace function that leaves every frame of another file at once.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from types import CodeType, FrameType
from typing import Any


class Cover:
    """Collects the lines that run, of the files that are asked for."""

    def __init__(self, wanted: Mapping[str, list[int]], root: str) -> None:
        self.wanted = {
            os.path.join(root, path): set(lines) for path, lines in wanted.items() if lines
        }
        self.names = {os.path.join(root, path): path for path in wanted}
        self.seen: dict[str, set[int]] = {path: set() for path in self.wanted}

    def start(self) -> None:
        if not self.wanted:
            return
        monitoring = getattr(sys, "monitoring", None)
        if monitoring is None or monitoring.get_tool(monitoring.COVERAGE_ID) is not None:
            threading.settrace(self._call)
            sys.settrace(self._call)
            return
        monitoring.use_tool_id(monitoring.COVERAGE_ID, "selfheal")
        monitoring.register_callback(
            monitoring.COVERAGE_ID, monitoring.events.LINE, self._line_event
        )
        monitoring.set_events(monitoring.COVERAGE_ID, monitoring.events.LINE)

    def found(self) -> dict[str, list[int]]:
        """Path relative to the project -> lines of those asked for that have run."""
        return {self.names[path]: sorted(lines) for path, lines in self.seen.items() if lines}

    def _line_event(self, code: CodeType, line: int) -> Any:
        wanted = self.wanted.get(code.co_filename)
        if wanted and line in wanted:
            self.seen[code.co_filename].add(line)
        return sys.monitoring.DISABLE  # type: ignore[attr-defined,unused-ignore]

    def _call(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        wanted = self.wanted.get(frame.f_code.co_filename)
        if not wanted:
            return None
        self._line(frame, "line", None)
        return self._line

    def _line(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any]:
        name = frame.f_code.co_filename
        if frame.f_lineno in self.wanted[name]:
            self.seen[name].add(frame.f_lineno)
        return self._line
