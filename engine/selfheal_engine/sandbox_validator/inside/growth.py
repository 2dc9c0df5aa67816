"""Repeats good calls or a request and measures what stays behind.

Growth that depends on new keys shows only with new keys: leaves of the input that can be
changed without changing how the call ends are varied from call to call. What is held is read
from the allocators, not traced: `sys.getallocatedblocks()` for small objects and mallinfo2(3)
for large ones, beside them the resident pages for what neither has handed out (mmap, other
allocators); descriptors, threads and children are counted too. The slope of the last part
counts, so that a cache with a bound has stopped growing.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfheal_engine.sandbox_validator.inside import cover, repeating
    from selfheal_engine.sandbox_validator.inside import replay as replaying
else:
    import cover
    import repeating
    import replay as replaying

SEGMENTS = 8
CALLS_AT_FIRST = 40
HANDLE_CALLS = 12
"""A segment's calls where memory does not count."""
CALLS_AT_MOST = 6000
WATCHED = 40
"""Calls after the measured ones whose lines are watched."""
SECONDS_AT_MOST = 4.0
"""Of CPU time: on a busy machine a bounded cache needs as many calls to be full."""
WAITING_AT_MOST_S = 16.0
LEAST = {
    "bytes": 24.0,
    "resident bytes": 2048.0,
    "descriptors": 0.2,
    "threads": 0.2,
    "children": 0.2,
}
"""Growth a call below these is noise of the allocator."""
OWN_KINDS = tuple(what for what in LEAST if what != "resident bytes")
"""What a recorded leak is known by: pages stay with the process after what lay in them is gone."""
REMAINS = 0.25
"""A patch must bring the growth below this share of what it was."""

Call = Callable[[int], None]


def replay(step: replaying.Step, job: replaying.Job) -> replaying.Outcome:
    """Repeat, measure, and say whether it grows ("fault") and how fast ("slopes").

    `inputs` of the outcome are those that were repeated: a patch is judged by the same ones.
    """
    before = step.get("slopes") or {}
    outcome: replaying.Outcome = {"ended": "returned", "slopes": {}, "calls": 0}
    try:
        inputs = repeating.inputs_of(step, job)
        wanted = [(int(place), int(way)) for place, way in step.get("inputs") or ()]
        wanted = [choice for choice in wanted if choice[0] < len(inputs)]
        chosen = wanted or repeating.chosen(inputs, held)
        outcome["inputs"] = chosen

        def call(number: int) -> None:
            place, way = chosen[number % len(chosen)]
            inputs[place].repeat(number, way)

        for number in range(10):  # warm caches, lazy imports, first-use tables
            call(number)
        slopes, calls = measure(call, before, handles_only=bool(step.get("handles_only")))
        if step.get("handles_only") and step.get("patched"):
            for one in inputs:
                one.ends_as_at_first()
        watch = cover.Cover(job.get("cover") or {}, job["root"])
        watch.start()  # only now: watching lines costs time, and what is full does its evicting
        for number in range(calls, calls + WATCHED):
            call(10 + number)
        outcome["covered"] = watch.found()
    except repeating.WorseError as why:
        return dict(outcome, fault=str(why))
    except BaseException as why:
        return replaying.raised(why, job)
    growing = {
        what: slope
        for what, slope in slopes.items()
        if slope > max(LEAST[what], REMAINS * before.get(what, 0.0))
        and not ("bytes" in what and step.get("handles_only"))
    }
    outcome.update(slopes=slopes, calls=calls)
    if growing:
        words = ", ".join(f"{growing[what]:.4g} {what}" for what in sorted(growing))
        outcome["fault"] = f"grows by {words} a call over {calls} calls"
    return outcome


def measure(
    call: Call, before: dict[str, float], handles_only: bool = False
) -> tuple[dict[str, float], int]:
    """Growth a call, by kind, over the last part of the repetitions.

    The unpatched code is stopped as soon as it has grown in every segment. A patched one
    (`before` tells how fast it grew) goes on until a bounded cache would be full or time is up;
    descriptors and their like fill no cache and need fewer calls.
    """
    started, worked = time.monotonic(), time.process_time()
    size, number, calls = HANDLE_CALLS if handles_only else CALLS_AT_FIRST, 10, 0
    readings: list[tuple[int, dict[str, float]]] = [(0, held())]
    while True:
        for _ in range(size):
            call(number)
            number += 1
        calls += size
        readings.append((calls, held()))
        spent = time.process_time() - worked
        waited = time.monotonic() - started > WAITING_AT_MOST_S
        full = calls >= CALLS_AT_MOST or spent > SECONDS_AT_MOST or waited
        if len(readings) > SEGMENTS:
            slopes = slopes_of(readings[-SEGMENTS // 2 - 1 :], OWN_KINDS)
            if handles_only:
                return slopes, calls
            grows = any(slopes[what] > LEAST[what] for what in slopes)
            steady = all(
                slopes[what] <= max(LEAST[what], REMAINS * before.get(what, 0.0)) for what in slopes
            )
            if full or (grows and not before) or (steady and (before or spent > 1.0 or waited)):
                return slopes, calls
            if len(readings) % SEGMENTS == 1:
                size *= 2
        elif full:
            return slopes_of(readings[len(readings) // 2 :], OWN_KINDS), calls


def slopes_of(
    readings: list[tuple[int, dict[str, float]]], kinds: Iterable[str] = tuple(LEAST)
) -> dict[str, float]:
    """Least growth a call that every segment shares: a jump in one segment is no leak."""
    found: dict[str, float] = {}
    for what in kinds:
        steps = [
            (after[what] - before[what]) / max(1, to - since)
            for (since, before), (to, after) in zip(readings, readings[1:])
        ]
        whole = (readings[-1][1][what] - readings[0][1][what]) / max(
            1, readings[-1][0] - readings[0][0]
        )
        rising = sum(step > 0 for step in steps) >= max(1, len(steps) - 1)
        found[what] = whole if rising else 0.0
    return found


def held() -> dict[str, float]:
    """What the process holds now: bytes in use, open descriptors, live threads, children."""
    gc.collect()
    return {
        "bytes": 56.0 * sys.getallocatedblocks() + large_bytes(),
        "resident bytes": resident_bytes(),
        "descriptors": descriptors(),
        "threads": float(threading.active_count()),
        "children": float(children()),
    }


def descriptors() -> float:
    """Open descriptors; all that there may be where looking for them needs one more."""
    try:
        return float(len(os.listdir("/proc/self/fd")))
    except OSError:
        return float(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def resident_bytes() -> float:
    """Bytes of this process's pages that are in memory, proc(5)."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return float(resource.getpagesize() * int(file.read().split()[1]))
    except OSError:
        return 0.0


def children() -> int:
    """Processes that this one started and has not waited for, proc(5); 0 where it does not tell."""
    found = 0
    try:
        tasks = os.listdir("/proc/self/task")
    except OSError:  # no descriptor is left to look with
        return 0
    for task in tasks:
        try:
            with open(f"/proc/self/task/{task}/children", "rb") as file:
                found += len(file.read().split())
        except OSError:  # a thread that has ended, or a kernel without the list
            continue
    return found


class MallocInfo(ctypes.Structure):
    """struct mallinfo2 of glibc 2.33 and later, mallinfo2(3)."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    )


try:
    _mallinfo: Any = ctypes.CDLL(None).mallinfo2
    _mallinfo.restype = MallocInfo
except AttributeError:  # another libc: small objects alone are counted
    _mallinfo = None


def large_bytes() -> float:
    """Bytes that malloc has handed out beyond Python's own arenas of small objects."""
    if _mallinfo is None:
        return 0.0
    numbers = _mallinfo()
    return float(numbers.uordblks + numbers.hblkhd)
