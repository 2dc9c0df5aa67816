"""What good calls cost: bytecodes run, CPU time, and what stays behind when they are repeated.

Bytecode counts are free of noise: the same code on the same input runs the same number, on
however busy a machine. CPU time is the least of several rounds, for slowness outside Python.
Memory, descriptors and threads are read after each of eight segments of repetitions.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfheal_engine.sandbox_validator.inside import growth
    from selfheal_engine.sandbox_validator.inside import replay as replaying
else:
    import growth
    import replay as replaying

CALLS_AT_MOST = 6
ROUNDS = 3
SEGMENTS = 8
SECONDS_AT_MOST = 0.2
REPEATS_AT_MOST = 400


def replay(step: replaying.Step, job: replaying.Job) -> replaying.Outcome:
    """Count, time and repeat the calls; those that fail are left out."""
    usable = [one for one in step["calls"][:CALLS_AT_MOST] if works(one)]
    if not usable:
        return {"ended": "unknown", "why": "no good call can be repeated"}
    opcodes = sum(counted(one) for one in usable)
    rounds = [timed(usable) for _ in range(ROUNDS)]
    # by CPU time, so that a busy machine repeats as often as an idle one
    repeats = int(SECONDS_AT_MOST / SEGMENTS / max(1e-6, min(rounds)))
    repeats = max(1, min(repeats, REPEATS_AT_MOST))
    gc.freeze()  # what is there already need not be looked through after each segment
    readings = [(0, growth.held())]
    for segment in range(1, SEGMENTS + 1):
        for _ in range(repeats):
            timed(usable)
        readings.append((segment * repeats * len(usable), growth.held()))
    return {
        "ended": "returned",
        "calls": len(usable),
        "opcodes": opcodes,
        "cpu_s": min(rounds),
        "slopes": growth.slopes_of(readings[2:]),
    }


def works(one: replaying.Step) -> bool:
    try:
        run(one)
    except BaseException:  # it says so in the good calls' own check
        return False
    return True


def run(one: replaying.Step) -> None:
    function = replaying.resolve(one["module"], one["function"])
    args, kwargs = replaying.arguments(one["arguments"], function, one["module"])
    replaying.settle(function(*args, **kwargs))


def timed(calls: list[replaying.Step]) -> float:
    """CPU seconds of this thread for one round of all calls."""
    begun = time.thread_time()
    for one in calls:
        run(one)
    return time.thread_time() - begun


def counted(one: replaying.Step) -> int:
    """Bytecodes that one call runs, in every Python frame below it."""
    function = replaying.resolve(one["module"], one["function"])
    args, kwargs = replaying.arguments(one["arguments"], function, one["module"])
    counter = [0]
    with (monitored if hasattr(sys, "monitoring") else traced)(counter):
        replaying.settle(function(*args, **kwargs))
    return counter[0]


@contextmanager
def monitored(counter: list[int]) -> Iterator[None]:
    """Count with sys.monitoring (PEP 669): from Python 3.12 on, traced frames miss opcodes."""
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined, unused-ignore]
    tool = next(number for number in range(6) if monitoring.get_tool(number) is None)

    def instruction(code: CodeType, offset: int) -> None:
        counter[0] += 1

    monitoring.use_tool_id(tool, "cost")
    monitoring.register_callback(tool, monitoring.events.INSTRUCTION, instruction)
    monitoring.set_events(tool, monitoring.events.INSTRUCTION)
    try:
        yield
    finally:
        monitoring.set_events(tool, 0)
        monitoring.register_callback(tool, monitoring.events.INSTRUCTION, None)
        monitoring.free_tool_id(tool)


@contextmanager
def traced(counter: list[int]) -> Iterator[None]:
    """Count with sys.settrace, for Python 3.9 to 3.11."""

    def local(frame: FrameType, event: str, argument: Any) -> Any:
        counter[0] += event == "opcode"
        return local

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return local

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(None)
