"""The first run: every test alone, with the lines it reached and how it failed.

Runs inside the sandbox: standard library only, Python 3.9 and later.
"""

from __future__ import annotations

import sys
import time
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfheal_engine.repair.inside.forks import Channel, in_fork
else:
    from forks import Channel, in_fork

Job = dict[str, Any]
Answer = dict[str, Any]


LOCALS_PER_FRAME = 24


class TracedTest:
    """Runs one test and remembers which of the project's lines it reached."""

    def __init__(self, items: Any, name: str, root: str) -> None:
        self.items, self.name, self.root = items, name, root
        self.lines: dict[str, set[int]] = {}

    def __call__(self) -> Answer:
        tool = self._start()
        started = time.process_time()
        try:
            failure = self.items.run(self.name)
        finally:
            self._stop(tool)
        answer = {"cpu_s": time.process_time() - started, "lines": self._covered()}
        if self.name in self.items.broken:
            answer["imported"] = False
        if failure is None:
            return dict(answer, outcome="passed")
        kind, error, text = failure
        answer.update(outcome=kind, text=text)
        if error is not None:
            answer["error"] = describe(error, self.root)
        return answer

    def partial(self) -> Answer:
        return {"outcome": "timeout", "cpu_s": time.process_time(), "lines": self._covered()}

    def _covered(self) -> dict[str, list[int]]:
        return {file: sorted(lines) for file, lines in list(self.lines.items())}

    def _start(self) -> Any:
        monitoring = getattr(sys, "monitoring", None)
        if monitoring is None:
            sys.settrace(self._call)
            return None
        monitoring.use_tool_id(monitoring.COVERAGE_ID, "trials")

        def line(code: types.CodeType, number: int) -> Any:
            if code.co_filename.startswith(self.root):
                self.lines.setdefault(code.co_filename, set()).add(number)
            return monitoring.DISABLE

        monitoring.register_callback(monitoring.COVERAGE_ID, monitoring.events.LINE, line)
        monitoring.set_events(monitoring.COVERAGE_ID, monitoring.events.LINE)
        monitoring.restart_events()
        return monitoring

    def _stop(self, monitoring: Any) -> None:
        if monitoring is None:
            sys.settrace(None)
        else:
            monitoring.set_events(monitoring.COVERAGE_ID, 0)
            monitoring.free_tool_id(monitoring.COVERAGE_ID)

    def _call(self, frame: types.FrameType, event: str, argument: Any) -> Any:
        file = frame.f_code.co_filename
        if not file.startswith(self.root):
            return None
        seen = self.lines.setdefault(file, set())
        seen.add(frame.f_lineno)

        def local(frame: types.FrameType, event: str, argument: Any) -> Any:
            if event == "line":
                seen.add(frame.f_lineno)
            return local

        return local


def describe(error: BaseException, root: str) -> dict[str, Any]:
    """An exception as the engine's records have it: frames with columns and bounded values."""
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", None):
        name = kind.__module__ + "." + name
    frames = []
    step = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        frame: dict[str, Any] = {
            "file": code.co_filename,
            "line": step.tb_lineno,
            "function": getattr(code, "co_qualname", None) or qualified(code, step.tb_frame),
            "module": str(step.tb_frame.f_globals.get("__name__", "")),
            "own": code.co_filename.startswith(root),
            "first_line": code.co_firstlineno,
        }
        if hasattr(code, "co_positions"):
            position = list(code.co_positions())[step.tb_lasti // 2]
            frame.update(end_line=position[1], column=position[2], end_column=position[3])
        if frame["own"]:
            frame["locals"] = pictures(step.tb_frame.f_locals)
        frames.append(frame)
        step = step.tb_next
    if isinstance(error, SyntaxError) and error.filename:
        frames.append(place_of(error, root))
    try:
        message = str(error)[:2000]
    except Exception:  # noqa: BLE001 - the error's own __str__ is broken
        message = ""
    return {"exception": name, "message": message, "frames": frames[-40:]}


def place_of(error: SyntaxError, root: str) -> dict[str, Any]:
    """The place that the parser names, as the innermost frame: the file itself never ran."""
    return {
        "file": error.filename,
        "line": error.lineno or 1,
        "function": "<module>",
        "own": str(error.filename).startswith(root),
        "column": max(0, (error.offset or 1) - 1),
        "source_line": (error.text or "").strip()[:400],
    }


def qualified(code: types.CodeType, frame: types.FrameType) -> str:
    owner = frame.f_locals.get("self")
    if owner is not None and code.co_argcount and code.co_varnames[0] == "self":
        for kind in type(owner).__mro__:
            found = kind.__dict__.get(code.co_name)
            if found is not None and getattr(found, "__code__", None) is code:
                return str(found.__qualname__)
    return code.co_name


def pictures(variables: Any) -> list[Any]:
    try:
        from selfheal_agent.values import picture_all
    except ImportError:
        return []
    return picture_all(dict(list(variables.items())[:LOCALS_PER_FRAME]))


def first_run(job: Job, items: Any, channel: Channel) -> None:
    root = job["root"].rstrip("/") + "/"
    found = [*items.items, *items.broken]
    names = [n for n in found if not job.get("only") or n in job["only"]]
    channel.say(what="collected", tests=names)
    for name in names[: job["most_tests"]]:
        work = TracedTest(items, name, root)
        answer, seconds = in_fork(work, job["limit_s"], job["memory_bytes"])
        channel.say(what="test", id=name, seconds=seconds, **answer)
