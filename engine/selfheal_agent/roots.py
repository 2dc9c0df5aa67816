"""Where the project's objects are held besides its modules: in frames, tasks and closures.

A server is often a local of `main`, its state an attribute of what a handler's closure holds: no
module leads there. What runs does (the threads' frames, coroutines and generators that wait), and
so does every function with a closure and every object of a project's class that the collector
knows. Used on command only: one pass over the collector's objects takes some milliseconds.
"""

from __future__ import annotations

import gc
import sys
from types import CoroutineType, FrameType, FunctionType, GeneratorType

from selfheal_agent.frames import is_own, is_own_module
from selfheal_agent.values import type_module_of, type_qualname_of

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from collections.abc import Iterator
    from typing import Any

MAX_OF_A_KIND = 50
"""Objects of one class, and frames or closures of one function, that are walked from."""


def further_roots() -> Iterator[tuple[Any, str, str]]:
    """(object, "service.main.hub", file) of what the project's own code holds at this moment."""
    for top in list(sys._current_frames().values()):
        frame: FrameType | None = top
        while frame is not None:
            yield from _of_frame(frame)
            frame = frame.f_back
    seen: dict[int, int] = {}
    own: dict[int, bool] = {}
    for value in gc.get_objects():
        cls = type(value)
        if cls is FunctionType:
            kind, wanted = id(value.__code__), bool(value.__closure__)
            wanted = wanted and is_own(value.__code__.co_filename)
        elif cls is CoroutineType or cls is GeneratorType:
            running = value.cr_frame if cls is CoroutineType else value.gi_frame
            wanted = running is not None and is_own(running.f_code.co_filename)
            kind = id(running.f_code) if wanted else 0
        else:
            kind = id(cls)
            if kind not in own:
                own[kind] = is_own_module(sys.modules.get(type_module_of(cls)))
            wanted = own[kind]
        if not wanted or seen.get(kind, 0) >= MAX_OF_A_KIND:
            continue
        seen[kind] = seen.get(kind, 0) + 1
        if cls is FunctionType:
            yield value, f"{value.__module__}.{value.__qualname__}", value.__code__.co_filename
        elif cls is CoroutineType or cls is GeneratorType:
            yield from _of_frame(running)
        else:
            module = sys.modules.get(type_module_of(cls))
            file = getattr(module, "__file__", None) or ""
            yield value, f"{type_module_of(cls)}.{type_qualname_of(cls)}", file


def _of_frame(frame: FrameType) -> Iterator[tuple[Any, str, str]]:
    """The variables of a frame of the project's."""
    code = frame.f_code
    if not is_own(code.co_filename) or code.co_name == "<module>":
        return  # a module's variables have been walked by its name
    name = f"{frame.f_globals.get('__name__', '')}.{getattr(code, 'co_qualname', code.co_name)}"
    for variable, value in list(frame.f_locals.items()):
        yield value, f"{name}.{variable}", code.co_filename
