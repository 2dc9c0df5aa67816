"""Repeats good calls or a request and measures what stays behind.

Growth that depends on new keys shows only with new keys: leaves of the input that can be
changed without changing how the call ends are varied from call to call. What is held is read
from the allocators, not traced: `sys.getallocatedblocks()` for small objects and mallinfo2(3)
for large ones; descriptors and threads are counted too. The slope of the last part counts, so
that a cache with a bound has stopped growing.
"""

from __future__ import annotations

import base64
import ctypes
import gc
import inspect
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

if TYPE_CHECKING:
    from selfheal_engine.sandbox_validator.inside import replay as replaying
    from selfheal_engine.sandbox_validator.inside import request as requesting
    from selfheal_engine.sandbox_validator.inside import variation
else:
    import replay as replaying
    import request as requesting
    import variation

SEGMENTS = 8
CALLS_AT_FIRST = 40
CALLS_AT_MOST = 6000
SECONDS_AT_MOST = 4.0
LEAST = {"bytes": 24.0, "descriptors": 0.2, "threads": 0.2, "children": 0.2}
"""Growth a call below these is noise of the allocator."""
REMAINS = 0.25
"""A patch must bring the growth below this share of what it was."""

Call = Callable[[int], None]


def replay(step: replaying.Step, job: replaying.Job) -> replaying.Outcome:
    """Repeat, measure, and say whether it grows ("fault") and how fast ("slopes")."""
    try:
        call = repeated(step, job)
        for number in range(10):  # warm caches, lazy imports, first-use tables
            call(number)
    except BaseException as why:
        return replaying.raised(why, job)
    slopes, calls = measure(call, step.get("slopes") or {})
    growing = {
        what: slope
        for what, slope in slopes.items()
        if slope > max(LEAST[what], REMAINS * (step.get("slopes") or {}).get(what, 0.0))
    }
    outcome: replaying.Outcome = {"ended": "returned", "slopes": slopes, "calls": calls}
    if growing:
        words = ", ".join(f"{growing[what]:.4g} {what}" for what in sorted(growing))
        outcome["fault"] = f"grows by {words} a call over {calls} calls"
    return outcome


def measure(call: Call, before: dict[str, float]) -> tuple[dict[str, float], int]:
    """Growth a call, by kind, over the last part of the repetitions.

    The unpatched code is stopped as soon as it has grown in every segment. A patched one
    (`before` tells how fast it grew) goes on until a bounded cache would be full or time is up.
    """
    started = time.monotonic()
    size, number, calls = CALLS_AT_FIRST, 10, 0
    readings: list[tuple[int, dict[str, float]]] = [(0, held())]
    while True:
        for _ in range(size):
            call(number)
            number += 1
        calls += size
        readings.append((calls, held()))
        spent = time.monotonic() - started
        full = calls >= CALLS_AT_MOST or spent > SECONDS_AT_MOST
        if len(readings) > SEGMENTS:
            slopes = slopes_of(readings[-SEGMENTS // 2 - 1 :])
            grows = any(slopes[what] > LEAST[what] for what in slopes)
            steady = all(
                slopes[what] <= max(LEAST[what], REMAINS * before.get(what, 0.0)) for what in slopes
            )
            if full or (grows and not before) or (steady and (before or spent > 1.0)):
                return slopes, calls
            if len(readings) % SEGMENTS == 1:
                size *= 2
        elif full:
            return slopes_of(readings[len(readings) // 2 :]), calls


def slopes_of(readings: list[tuple[int, dict[str, float]]]) -> dict[str, float]:
    """Least growth a call that every segment shares: a jump in one segment is no leak."""
    found: dict[str, float] = {}
    for what in LEAST:
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
    """What the process holds now: bytes in use, open descriptors, live threads."""
    gc.collect()
    return {
        "bytes": 56.0 * sys.getallocatedblocks() + large_bytes(),
        "descriptors": float(len(os.listdir("/proc/self/fd"))),
        "threads": float(threading.active_count()),
        "children": float(children()),
    }


def children() -> int:
    """Processes that this one started and has not waited for, proc(5); 0 where it does not tell."""
    found = 0
    for task in os.listdir("/proc/self/task"):
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


def repeated(step: replaying.Step, job: replaying.Job) -> Call:
    """The recorded request, else good calls of the function, else good exchanges."""
    if step.get("method"):
        return request_call(step, job)
    try:
        return function_call(step)
    except replaying.UnusableError:
        for exchange in step.get("good_requests", []):
            return request_call(dict(step, **exchange), job)
        raise


def needs_arguments(function: Callable[..., Any]) -> bool:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(
        parameter.default is parameter.empty and parameter.kind in kinds
        for parameter in inspect.signature(function).parameters.values()
    )


def function_call(step: replaying.Step) -> Call:
    """Call the function with each recorded good input in turn, its variable leaves varied."""
    function = replaying.resolve(step["module"], step["function"])
    texts = [text for text in step.get("all_arguments", []) if text]
    texts += [good["arguments"] for good in step["goods"] if good["function"] == step["function"]]
    inputs: list[list[Any]] = []
    for text in texts[:20]:
        args, kwargs = replaying.arguments(text, function, step["module"])
        inputs.append([args, kwargs])
    if not inputs:
        if needs_arguments(function):
            raise replaying.UnusableError("no good call of the function was recorded")
        inputs.append([[], {}])
    # `self` and other objects are decoded once and shared: what they hold must add up
    for one in inputs[1:]:
        if one[0] and inputs[0][0] and is_receiver(one[0][0], inputs[0][0][0]):
            one[0][0] = inputs[0][0][0]

    def try_one(value: Any) -> None:
        replaying.settle(function(*value[0], **value[1]))

    chosen = [variable_leaves(value, try_one) for value in inputs]

    def call(number: int) -> None:
        place = number % len(inputs)
        try_one(variation.varied(inputs[place], chosen[place], number))

    return call


def is_receiver(one: Any, other: Any) -> bool:
    plain = (str, int, float, dict, list, tuple, type(None))
    return type(one) is type(other) and not isinstance(one, plain)


def variable_leaves(value: Any, try_one: Callable[[Any], None]) -> list[variation.Path]:
    """The leaves that can be changed while the call still ends well. Raises when none does."""
    try_one(value)
    good = []
    for path in variation.leaves(value):
        try:
            try_one(variation.varied(value, [path], 3))
        except Exception:  # this leaf must stay as it is
            continue
        good.append(path)
    if good:
        try:
            try_one(variation.varied(value, good, 5))
        except Exception:  # together they do not go: the first alone is enough
            return good[:1]
    return good


def request_call(step: replaying.Step, job: replaying.Job) -> Call:
    """Send the request again and again, varied where the answer's status stays the same."""
    app = requesting.load(step["app"])
    value = {
        "query": dict(parse_qsl(step["query"], keep_blank_values=True)),
        "path": step["path"].split("/"),
        "body": body_of(step),
    }

    def send(parts: Any) -> int:
        changed = dict(step, query=urlencode(parts["query"]), path="/".join(parts["path"]))
        if parts["body"] is not None:
            changed["body"] = base64.b64encode(json.dumps(parts["body"]).encode()).decode()
        return requesting.serve(app, changed)[0]

    status = send(value)
    if status >= 500:
        raise replaying.UnusableError(f"the request is answered with {status}")

    def try_one(parts: Any) -> None:
        if send(parts) != status:
            raise ValueError("another status")

    chosen = variable_leaves(value, try_one)
    return lambda number: try_one(variation.varied(value, chosen, number))


def body_of(step: replaying.Step) -> Any:
    """The JSON body, None when there is none or it is of another kind."""
    try:
        return json.loads(base64.b64decode(step["body"]).decode())
    except ValueError:
        return None
