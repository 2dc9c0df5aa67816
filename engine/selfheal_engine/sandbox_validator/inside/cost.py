"""What good calls cost: bytecodes run, and what stays behind when they are repeated.

Bytecode counts are free of noise: the same code on the same input runs the same number, on
however busy a machine. CPU time is compared by `duel`; here it only says how often to repeat.
Memory, descriptors, threads and children are read after each of eight segments of repetitions.
Quick calls are repeated with other input each time as well, for what grows with new keys only: so
often that a cache with a usual bound is full before the segments that count.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfheal_engine.sandbox_validator.inside import (
        allocation_sites,
        growth,
        repeating,
        variation,
    )
    from selfheal_engine.sandbox_validator.inside import replay as replaying
else:
    import allocation_sites
    import growth
    import repeating
    import replay as replaying
    import variation

Call = Callable[[int], object]

CALLS_AT_MOST = 6
ROUNDS = 3
SEGMENTS = 8
SECONDS_AT_MOST = 0.2
REPEATS_AT_MOST = 400
SOON = 6
"""Calls between two of the first readings, which look for what soon runs out."""
SOON_OF_SLOW, SLOW_S = 2, 5e-3
"""The same for calls that take so long, in CPU seconds."""
ROUND_AT_MOST_S = 0.06
"""Wall seconds for one round of all calls: each round is run some dozen times."""
VARIED_SEGMENT = 400
"""Calls with other input between two readings; three segments hold more than most caches."""
VARIED_AT_MOST_S = 0.1e-3
"""CPU seconds of a call that can be repeated so often."""


def replay(step: replaying.Step, job: replaying.Job) -> replaying.Outcome:
    """Count and repeat the calls; those that fail are left out."""
    measured = chosen(step)
    usable = [step["calls"][number] for number in measured]
    if not usable:
        return {"ended": "unknown", "why": "no good call can be repeated"}
    opcodes = sum(counted(one) for one in usable)
    rounds = [timed(usable) for _ in range(ROUNDS)]
    # by CPU time, so that a busy machine repeats as often as an idle one
    repeats = int(SECONDS_AT_MOST / SEGMENTS / max(1e-6, min(rounds)))
    repeats = max(1, min(repeats, REPEATS_AT_MOST))
    gc.freeze()  # what is there already need not be looked through after each segment
    repeated: Call = lambda number: timed(usable)  # noqa: E731 - one of several such calls
    place = ""
    soon = SOON if min(rounds) / len(usable) < SLOW_S else SOON_OF_SLOW
    slopes = growing(max(1, soon // len(usable)), repeated, len(usable))
    keeper: Call | None = None
    if scarce(slopes):
        # so many calls more use up what a process may have of these: the place first
        place, slopes = located(repeated, slopes, len(usable), job)
    if not scarce(slopes):
        slopes = growing(repeats, repeated, len(usable))
        keeper = repeated if rises(slopes) else None
    if not rises(slopes) and min(rounds) / len(usable) < VARIED_AT_MOST_S:
        for call in filter(None, map(varied_call, usable[:2])):
            with_keys = growing(VARIED_SEGMENT, call, 1)
            keeper = call if rises(with_keys) else keeper
            slopes = {what: max(slopes[what], with_keys[what]) for what in slopes}
    if keeper is not None and step.get("all"):  # of the unpatched code nobody asks the place
        place, _ = located(keeper, slopes, 1, job)
    return {
        "ended": "returned",
        "calls": len(usable),
        "measured": measured,
        "opcodes": opcodes,
        "slopes": slopes,
        "place": place,
    }


def chosen(step: replaying.Step) -> list[int]:
    """Places of the calls that are measured: those that go, as many as can be repeated soon.

    Somebody waits: of calls that take long, fewer say as much.
    """
    found: list[int] = []
    begun = time.perf_counter()
    for number, one in enumerate(step["calls"][:CALLS_AT_MOST]):
        if found and not step.get("all") and time.perf_counter() - begun > ROUND_AT_MOST_S:
            break
        if works(one):
            found.append(number)
    return found


def rises(slopes: dict[str, float]) -> dict[str, float]:
    """What grows by more than the allocator's noise."""
    return {what: slope for what, slope in slopes.items() if slope > growth.LEAST[what]}


def scarce(slopes: dict[str, float]) -> dict[str, float]:
    """What grows of that of which a process may have some hundreds only."""
    return {what: slope for what, slope in rises(slopes).items() if "bytes" not in what}


def located(
    call: Call, slopes: dict[str, float], calls: int, job: replaying.Job
) -> tuple[str, dict[str, float]]:
    """The line that keeps it, and the growth a call while it was looked for.

    Where the calls came to fail, what they leave has run out: that is what grew.
    """
    before, made = growth.held(), [0]

    def counted_call(number: int) -> None:
        call(number)
        made[0] += calls

    first = SEGMENTS * VARIED_SEGMENT
    place = allocation_sites.line_that_keeps(counted_call, first, rises(slopes), job["root"])
    after = growth.held()
    grown = {what: (after[what] - before[what]) / max(1, made[0]) for what in before}
    return place, {**slopes, **{what: grown[what] for what in scarce(slopes)}}


def growing(size: int, call: Call, calls: int) -> dict[str, float]:
    """Growth a call over the later segments of `size` repetitions, of so many calls each.

    Over those there are, where the calls come to fail: what they leave behind has run out.
    """
    readings = [(0, growth.held())]
    for segment in range(SEGMENTS):
        number = segment * size
        try:
            for number in range(segment * size, (segment + 1) * size):
                call(number)
        except Exception:
            readings.append((max(1, number) * calls, growth.held()))
            slopes = growth.slopes_of(readings)
            if segment < 2 and not scarce(slopes):
                raise
            return slopes
        readings.append(((segment + 1) * size * calls, growth.held()))
    return growth.slopes_of(readings[3:])


def varied_call(one: replaying.Step) -> Callable[[int], None] | None:
    """The call with other input for each number; None where nothing in it can be varied.

    Methods are left out: what they put into an object that stays is there to be kept.
    """
    function = replaying.resolve(one["module"], one["function"])
    args, kwargs = replaying.arguments(one["arguments"], function, one["module"])
    if args and not isinstance(args[0], (str, int, float, dict, list, tuple, type(None))):
        return None

    def try_one(value: list[Any]) -> None:
        replaying.settle(function(*value[0], **value[1]))

    leaves = repeating.leaves_that_go([args, kwargs], try_one)
    if not leaves:
        return None
    return lambda number: try_one(variation.varied([args, kwargs], leaves, number + 1))


def works(one: replaying.Step) -> bool:
    try:
        run(one)
    except BaseException:  # it says so in the good calls' own check
        return False
    return True


def run(one: replaying.Step) -> None:
    function = replaying.resolve(one["module"], one["function"])
    args, kwargs = replaying.arguments(one["arguments"], function, one["module"])
    replaying.settle(function(*args, **kwargs), replaying.runner(one))


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
        replaying.settle(function(*args, **kwargs), replaying.runner(one))
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
