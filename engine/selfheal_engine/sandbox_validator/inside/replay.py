"""Imports the project and runs one recorded input; says how it ended as a plain dictionary.

    {"ended": "returned", "value": recording, "status": 200, ...}
    {"ended": "raised", "exception": "KeyError", "message": ..., "frames": [[file, line, name]]}
    {"ended": "unknown", "why": ...}        the recording cannot be brought back to life

Runs in a process of its own (see worker.py) with the project's interpreter.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import sys
import time

MESSAGE_AT_MOST = 300
ITEMS_AT_MOST = 1000


class Unusable(Exception):
    """The recording says nothing about the code: a name is gone or a stand-in was needed."""


def prepare(job):
    """Put the project on the path and import what the replays need."""
    for path in reversed(job["import_paths"] or [job["root"]]):
        if path in sys.path:
            sys.path.remove(path)
        sys.path.insert(0, path)
    os.chdir(job["root"])
    sys.argv = ["replay"]
    for relative in job.get("compile", []):
        path = os.path.join(job["root"], relative)
        with open(path, "rb") as file:
            compile(file.read(), path, "exec", dont_inherit=True)
    for name in job.get("modules", []):
        importlib.import_module(name)
    return {"ended": "returned"}


def run(step, job):
    """Run one step; exceptions are the caller's to report."""
    kind = step["kind"]
    if kind == "import":
        return {"ended": "returned"}
    if kind == "call":
        return call(step, job)
    if kind == "request":
        import request

        return request.replay(step, job)
    if kind == "statement":
        import statement

        return statement.replay(step, job)
    if kind == "growth":
        import growth

        return growth.replay(step, job)
    if kind == "stall":
        import stall

        return stall.replay(step, job)
    if kind == "interleaving":
        import interleaving

        return interleaving.replay(step, job)
    return {"ended": "unknown", "why": f"no way to replay a {kind}"}


def call(step, job):
    """Call a function of the project with its recorded arguments."""
    function = resolve(step["module"], step["function"])
    args, kwargs = arguments(step["arguments"], function, step["module"])
    started = time.perf_counter()
    try:
        value = settle(function(*args, **kwargs))
    except BaseException as why:
        if unusable(why):
            return {"ended": "unknown", "why": str(why)[:MESSAGE_AT_MOST]}
        outcome = raised(why, job)
        outcome["seconds"] = time.perf_counter() - started
        return outcome
    seconds = time.perf_counter() - started
    return {
        "ended": "returned",
        "value": recorded(value),
        "effects": recorded(args),
        "seconds": seconds,
    }


def resolve(module, qualified):
    """The function that a module holds under its qualified name."""
    try:
        found = importlib.import_module(module)
    except ImportError as why:
        raise Unusable(f"module {module} cannot be imported: {why}") from None
    for part in qualified.split("."):
        if part == "<locals>":
            raise Unusable(f"{qualified} exists only inside another function")
        try:
            found = getattr(found, part)
        except AttributeError:
            raise Unusable(f"{module}.{qualified} does not exist") from None
    return found


def arguments(text, function, module):
    """(args, kwargs) of a recording; a bound class method gets no second `cls`."""
    value = decoded(text, module)
    if isinstance(value, dict):
        return (), value
    if (
        isinstance(value, tuple)
        and len(value) == 2
        and isinstance(value[0], (tuple, list))
        and isinstance(value[1], dict)
    ):
        args, kwargs = list(value[0]), dict(value[1])
    else:
        args, kwargs = list(value), {}
    if inspect.ismethod(function) and args and args[0] is function.__self__:
        args = args[1:]
    return tuple(args), kwargs


def decoded(text, module=""):
    from selfheal_agent import recording

    try:
        return recording.decode(text, {"__main__": module} if module else None)
    except ValueError as why:
        raise Unusable(str(why)) from None


def recorded(value):
    """The value as text that two runs can be compared by, "" when it cannot be written."""
    from selfheal_agent import recording

    return recording.try_encode(value) or ("null" if value is None else "")


def settle(value):
    """Wait for coroutines and run generators out, so that their faults show."""
    if inspect.iscoroutine(value):
        return asyncio.run(value)
    if inspect.isasyncgen(value):
        return asyncio.run(_collect(value))
    if inspect.isgenerator(value):
        return [item for item, _ in zip(value, range(ITEMS_AT_MOST))]  # noqa: B905 - 3.9
    return value


async def _collect(generator):
    found = []
    async for item in generator:
        found.append(item)
        if len(found) >= ITEMS_AT_MOST:
            break
    return found


def unusable(why):
    return isinstance(why, Unusable) or type(why).__name__ == "StandInUsedError"


def raised(why, job):
    """An exception as a record: its name as the probe writes it, and where it went through."""
    if unusable(why):
        return {"ended": "unknown", "why": str(why)[:MESSAGE_AT_MOST]}
    return {
        "ended": "raised",
        "exception": exception_name(type(why)),
        "message": text_of(why),
        "frames": frames(why.__traceback__, job["root"]),
    }


def exception_name(cls):
    module = getattr(cls, "__module__", "builtins")
    if module in ("builtins", "__main__"):
        return cls.__qualname__
    return f"{module}.{cls.__qualname__}"


def text_of(why):
    try:
        return str(why)[:MESSAGE_AT_MOST]
    except Exception:  # a message that cannot be made is none
        return ""


def frames(traceback, root):
    """[file relative to the project, line, function] of the project's own frames."""
    found = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        file = os.path.realpath(code.co_filename)
        if file.startswith(root + os.sep) and "site-packages" not in file:
            name = getattr(code, "co_qualname", code.co_name)
            found.append([os.path.relpath(file, root), traceback.tb_lineno, name])
        traceback = traceback.tb_next
    return found[-60:]
