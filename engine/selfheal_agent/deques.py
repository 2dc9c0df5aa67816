"""Which deques of the project are queues: found where its modules and its threads keep them."""

from __future__ import annotations

import dis
import sys
import weakref
from collections import deque
from types import CodeType, FunctionType, ModuleType

from selfheal_agent import frames
from selfheal_agent.queues import deques_seen
from selfheal_agent.values import instance_dict, locals_of, type_dict_of, type_module_of

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from typing import Any

MAX_DEQUES = 200
MAX_NAMES = 2_000

_taken_from: dict[str, tuple[int, frozenset[str]]] = {}
"""By module, with its size then: names in functions which use what they take from a deque."""


def look() -> None:
    """Remember the deques that are queues; called by the probe's thread every few seconds."""
    for key, reference in list(deques_seen.items()):
        if reference() is None:
            del deques_seen[key]
    modules = [module for module in list(sys.modules.values()) if frames.is_own_module(module)]
    names = frozenset().union(*(_names_of(module) for module in modules))
    if not names:
        return
    owners: list[Any] = []
    for module in modules:
        scope = module.__dict__
        _keep(scope, names)
        owners += [value for value in list(scope.values()) if _is_own_object(value)]
    for frame in sys._current_frames().values():
        current: Any = frame
        while current is not None:
            if frames.is_own(current.f_code.co_filename):
                variables = locals_of(current)
                _keep(variables, names)
                owners += [value for value in list(variables.values()) if _is_own_object(value)]
            current = current.f_back
    for owner in owners:
        _keep(instance_dict(owner), names)


def _keep(scope: Any, names: frozenset[str]) -> None:
    for name in names:
        value = scope.get(name)
        if type(value) is deque and value.maxlen is None and len(deques_seen) < MAX_DEQUES:
            deques_seen.setdefault(id(value), weakref.ref(value))


def _is_own_object(value: Any) -> bool:
    return frames.is_own_module(sys.modules.get(type_module_of(type(value))))


def _names_of(module: ModuleType) -> frozenset[str]:
    """Names that the module's functions use beside a `popleft()` whose item they use."""
    size = len(module.__dict__)  # a script goes on defining things
    known = _taken_from.get(module.__name__)
    if known is None or known[0] != size:
        found: set[str] = set()
        for code in _codes(module):
            if "popleft" in code.co_names and _uses_what_it_takes(code):
                found.update((*code.co_names, *code.co_varnames, *code.co_freevars))
        known = (size, frozenset(found) if len(found) <= MAX_NAMES else frozenset())
        _taken_from[module.__name__] = known
    return known[1]


def _codes(module: ModuleType) -> list[CodeType]:
    pending: list[Any] = [
        value
        for value in list(module.__dict__.values())
        if issubclass(type(value), (FunctionType, type))
    ]
    codes: list[CodeType] = []
    for value in pending:
        if type(value) is FunctionType and value.__module__ == module.__name__:
            codes.append(value.__code__)
        elif type(value) is not FunctionType and type_module_of(value) == module.__name__:
            codes += [
                inner.__code__
                for inner in type_dict_of(value).values()
                if type(inner) is FunctionType
            ]
    for code in codes:  # grows while it is read
        codes += [const for const in code.co_consts if type(const) is CodeType]
        if len(codes) > MAX_NAMES:
            break
    return codes


def _uses_what_it_takes(code: CodeType) -> bool:
    """Whether the result of a `popleft()` goes anywhere."""
    taken = called = False
    for step in dis.get_instructions(code):
        if step.argval == "popleft":
            taken, called = True, False
        elif taken and step.opname.startswith("CALL"):
            called = True
        elif taken and called and step.opname not in ("CACHE", "PRECALL"):
            if step.opname != "POP_TOP":
                return True
            taken = False
    return False
