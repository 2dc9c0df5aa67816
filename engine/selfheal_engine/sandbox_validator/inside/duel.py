"""CPU time of good calls, old code against new, block by block in turn.

Two resident forks of one process hold the project, one with the files as they were before the
patch. They run blocks of calls in the order old, new, new, old (and the reverse), so that what
drifts on the machine meets both alike; a group of four blocks gives one log ratio of thread time.
The interval of the ratios' median is a percentile bootstrap (Efron 1979). The patch is slower
when the lower bound passes ALARM in two pairs of forks: where one pair's memory happens to lie
can cost more than that.
"""

from __future__ import annotations

import base64
import gc
import importlib.machinery
import json
import math
import os
import random
import signal
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfheal_engine.sandbox_validator.inside import cost
    from selfheal_engine.sandbox_validator.inside import replay as replaying
else:
    import cost
    import replay as replaying

ALARM = math.log(1.02)
"""What is told as slower: a lower bound beyond this log ratio."""
LOOKS = (10, 20, 40)
"""Groups of four blocks after which the interval is looked at."""
TAIL = 0.005
"""Chance left on either side of the interval at each look."""
RESAMPLES = 500
BLOCK_S = 0.003
ROUNDS_AT_MOST = 200
CPU_AT_MOST_S, WALL_AT_MOST_S = 1.0, 4.0
"""For a pair of forks; two pairs at most are made."""
BLOCKS = 4
"""Of a group: each side twice."""
TOO_SLOW = "the calls take too long to be compared"
OLD, NEW = 0, 1


def replay(step: replaying.Step, job: replaying.Job) -> replaying.Outcome:
    """Compare: the log ratio with its interval, further seconds a call, whether it is slower."""
    before = {
        os.path.join(job["root"], name): base64.b64decode(text)
        for name, text in step["before"].items()
    }
    loaded = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    if loaded & set(before):
        return {"ended": "unknown", "why": "the changed files were loaded before they could be"}
    outcome = pair(step["calls"], before)
    if not outcome.get("slower"):
        return outcome
    again = pair(step["calls"], before)
    again["cpu_s"] = again.get("cpu_s", 0.0) + outcome["cpu_s"]
    return again


def pair(calls: list[replaying.Step], before: Mapping[str, bytes]) -> replaying.Outcome:
    """One pair of resident forks, compared until the answer is clear or the time is up."""
    sides = [Resident(calls, before), Resident(calls, {})]
    try:
        usable = sorted(set(sides[OLD].ask()) & set(sides[NEW].ask()))
        if not usable:
            return {"ended": "unknown", "why": "no good call can be repeated on both sides"}
        first = [side.block(1, usable) for side in sides for _ in range(3)]
        slowest = max(min(wall for _, wall, _ in half) for half in (first[:3], first[3:]))
        if slowest * BLOCKS * LOOKS[0] > WALL_AT_MOST_S:
            return {"ended": "unknown", "why": TOO_SLOW, "cpu_s": 0.0}
        rounds = max(1, min(ROUNDS_AT_MOST, int(BLOCK_S / max(1e-7, slowest))))
        return compared(sides, rounds, usable)
    except (OSError, ValueError):
        return {"ended": "unknown", "why": "the calls ended one of the processes"}
    finally:
        for side in sides:
            side.end()


def compared(sides: Sequence[Resident], rounds: int, usable: list[int]) -> replaying.Outcome:
    ratios: list[float] = []
    excess: list[float] = []
    walls = [math.inf, math.inf]
    spent, last = 0.0, time.monotonic() + WALL_AT_MOST_S
    for look in LOOKS:
        while len(ratios) < look and spent < CPU_AT_MOST_S and time.monotonic() < last:
            order = (OLD, NEW, NEW, OLD) if len(ratios) % 2 else (NEW, OLD, OLD, NEW)
            taken: list[list[float]] = [[], []]
            for which in order:
                cpu, wall, whole = sides[which].block(rounds, usable)
                taken[which].append(max(cpu, 1e-9))
                walls[which] = min(walls[which], wall / rounds)
                spent += whole
            old, new = (math.log(times[0] * times[1]) / 2 for times in taken)
            ratios.append(new - old)
            excess.append((sum(taken[NEW]) - sum(taken[OLD])) / (2 * rounds * len(usable)))
        if len(ratios) < LOOKS[0]:
            return {"ended": "unknown", "why": TOO_SLOW}
        low, high = interval(ratios)
        if low > ALARM or high < ALARM or len(ratios) < look:
            break
    return {
        "ended": "returned",
        "ratio": statistics.median(ratios),
        "low": low,
        "high": high,
        "groups": len(ratios),
        "excess_s": statistics.median(excess),
        "wall_s": walls,
        "cpu_s": spent,
        "slower": low > ALARM,
    }


def interval(ratios: Sequence[float]) -> tuple[float, float]:
    """Percentile bootstrap of the median; the same numbers always give the same interval."""
    draw = random.Random(len(ratios))
    medians = sorted(
        statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES)
    )
    place = int(TAIL * RESAMPLES)
    return medians[place], medians[-1 - place]


class Resident:
    """A fork that holds one version of the project and runs blocks of calls on demand."""

    def __init__(self, calls: list[replaying.Step], before: Mapping[str, bytes]) -> None:
        down_read, self._down = os.pipe()
        up_read, up_write = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(self._down)
                stay(calls, before, down_read, up_write)
            finally:
                os._exit(0)
        os.close(down_read)
        os.close(up_write)
        self._up = os.fdopen(up_read, "r")

    def ask(self) -> Any:
        """The next answer. Raises ValueError when the fork is gone."""
        return json.loads(self._up.readline())

    def block(self, rounds: int, usable: list[int]) -> tuple[float, float, float]:
        """(CPU, wall) seconds of so many rounds of the calls, and CPU with their preparation."""
        os.write(self._down, (json.dumps([rounds, usable]) + "\n").encode())
        cpu, wall, whole = self.ask()
        return cpu, wall, whole

    def end(self) -> None:
        os.close(self._down)
        self._up.close()
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def stay(
    calls: list[replaying.Step], before: Mapping[str, bytes], orders: int, answers: int
) -> None:
    """In the fork: load, say which calls work, then run a block for each order."""
    read_instead(before)
    usable = [number for number, one in enumerate(calls) if cost.works(one)]
    os.write(answers, (json.dumps(usable) + "\n").encode())
    gc.freeze()
    with os.fdopen(orders, "r") as lines:
        for line in lines:
            rounds, chosen = json.loads(line)
            taken = block([calls[number] for number in chosen], rounds)
            os.write(answers, (json.dumps(taken) + "\n").encode())


def block(calls: list[replaying.Step], rounds: int) -> tuple[float, float, float]:
    """Arguments are made anew for each call, since calls may change them, and are not timed."""
    begun = time.thread_time()
    prepared = []
    for one in calls:
        function = replaying.resolve(one["module"], one["function"])
        run = replaying.runner(one)
        prepared += [
            (function, run, *replaying.arguments(one["arguments"], function, one["module"]))
            for _ in range(rounds)
        ]
    wall, cpu = time.perf_counter(), time.thread_time()
    for function, run, args, kwargs in prepared:
        replaying.settle(function(*args, **kwargs), run)
    done = time.thread_time()
    return done - cpu, time.perf_counter() - wall, done - begun


def read_instead(before: Mapping[str, bytes]) -> None:
    """Let imports of this process find these contents at these paths."""
    loader: Any = importlib.machinery.SourceFileLoader
    usual = loader.get_data

    def get_data(self: Any, path: str) -> bytes:
        return before[path] if path in before else bytes(usual(self, path))

    loader.get_data = get_data
