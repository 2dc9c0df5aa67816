"""Bounded, scrubbed pictures of values, made without running any of the service's code.

`type(x)` is trusted, `x.__class__` is not; attributes are read through the slots that CPython
itself defines. The result has the shape of `selfheal_engine.model.Value` as plain JSON.
"""

from __future__ import annotations

import sys
import types
from collections import deque
from itertools import islice

from selfheal_agent.scrub import SCRUBBED, is_secret_name, scrub_text

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from types import FrameType
    from typing import Any

MAX_TEXT = 200
MAX_CHILDREN = 16
MAX_DEPTH = 3
MAX_NODES = 160

_name_slot = type.__dict__["__name__"].__get__
_qualname_slot = type.__dict__["__qualname__"].__get__
_module_slot = type.__dict__["__module__"].__get__
_module_dict: Any = types.ModuleType.__dict__["__dict__"].__get__  # type: ignore[index]
type_mro_of = type.__dict__["__mro__"].__get__
type_flags_of = type.__dict__["__flags__"].__get__
type_dict_of = type.__dict__["__dict__"].__get__


def ids(*classes: type) -> frozenset[int]:
    """For `id(cls) in ids(...)`: to compare classes runs the `__eq__` of their metaclass."""
    return frozenset(map(id, classes))


_PLAIN = ids(type(None), bool, int, float, complex)
_LEAVES = {
    "datetime": frozenset(["date", "datetime", "time", "timedelta"]),
    "decimal": frozenset(["Decimal"]),
}
"""Module -> classes of the standard library whose own text says all of a value."""
_ZONES = (("datetime", "timezone"), ("zoneinfo", "ZoneInfo"))
"""Zones that run none of the service's code to tell their offset."""
_LOCALS = ids(dict, type((lambda: sys._getframe().f_locals)()))  # from 3.13 on a proxy


def type_name_of(cls: type) -> str:
    return exact_text(_name_slot(cls))


def type_qualname_of(cls: type) -> str:
    return exact_text(_qualname_slot(cls))


def type_module_of(cls: type) -> str:
    """ "" where the class says something that is no text."""
    return exact_text(_module_slot(cls))


def module_name_of(module: types.ModuleType) -> str:
    scope = _module_dict(module)  # None before its __init__
    return exact_text(scope.get("__name__")) if type(scope) is dict else ""


def exact_text(text: object) -> str:
    """The text of a str or of a subclass of it, "" of anything else."""
    if type(text) is str:
        return text
    return str.__str__(text) if issubclass(type(text), str) else ""


def locals_of(frame: FrameType) -> Any:
    """A frame's variables; {} where a class body or `exec` keeps them in a mapping of its own."""
    found: Any = frame.f_locals
    if id(type(found)) in _LOCALS:
        return found
    return dict.copy(found) if issubclass(type(found), dict) else {}


def instance_dict(value: object) -> dict[str, Any]:
    """The object's own attributes; {} where there are none or the class hides them."""
    for cls in type_mro_of(type(value)):
        slot = type_dict_of(cls).get("__dict__")
        if slot is not None:
            if type(slot) is types.GetSetDescriptorType:
                found = slot.__get__(value)
                return found if type(found) is dict else {}
            return {}
    return {}


def instance_slots(value: object) -> list[tuple[str, Any]]:
    """(name, value) of the filled `__slots__` of the object's classes."""
    found = []
    for cls in type_mro_of(type(value)):
        if cls is object or "__slots__" not in type_dict_of(cls):
            continue
        for name, member in type_dict_of(cls).items():
            if type(member) is types.MemberDescriptorType:
                try:
                    found.append((name, member.__get__(value)))
                except AttributeError:
                    continue
    return found


def qualified_type(cls: type) -> str:
    """`TypeError` for built-in classes, `package.module.Class` for all others."""
    module = type_module_of(cls)
    name = type_qualname_of(cls)
    return name if module in ("builtins", "") else f"{module}.{name}"


class _Budget:
    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left


def picture(value: object, name: str = "", depth: int = MAX_DEPTH) -> dict[str, Any]:
    """One value; `name` decides whether it is a secret."""
    return _picture(value, name, depth, _Budget(MAX_NODES))


def picture_all(variables: Any, limit: int = 40) -> list[list[Any]]:
    """[[name, value], ...] of a frame's variables, dunder names left out."""
    budget = _Budget(MAX_NODES)
    return [
        [name, _picture(value, name, MAX_DEPTH, budget)]
        for name, value in islice(list(variables.items()), limit)
        if type(name) is str and not (name.startswith("__") and name.endswith("__"))
    ]


def _picture(value: object, name: str, depth: int, budget: _Budget) -> dict[str, Any]:
    budget.left -= 1
    cls = type(value)
    if id(cls) in _PLAIN:
        if cls is not type(None) and name and is_secret_name(name):
            return {"type_name": cls.__name__, "text": SCRUBBED}
        return {"type_name": cls.__name__, "text": _number_text(value, cls)}
    made: dict[str, Any] = {"type_name": type_name_of(cls)}
    if name and is_secret_name(name):
        made["text"] = SCRUBBED
        return made
    if cls is str:
        made["length"] = len(value)  # type: ignore[arg-type]
        made["text"] = scrub_text(value[:MAX_TEXT])  # type: ignore[index]
        made["truncated"] = len(value) > MAX_TEXT  # type: ignore[arg-type]
    elif cls is bytes or cls is bytearray:
        made["length"] = len(value)  # type: ignore[arg-type]
        made["text"] = scrub_text(repr(bytes(value[:MAX_TEXT])))  # type: ignore[index]
        made["truncated"] = len(value) > MAX_TEXT  # type: ignore[arg-type]
    elif made["type_name"] in _LEAVES.get(type_module_of(cls), ()) and _is_standard(cls):
        made["text"] = _leaf_text(value, cls)
    elif depth > 0 and budget.left > 0:
        _add_children(made, value, cls, depth, budget)
    else:
        made["truncated"] = True
    return made


def _number_text(value: Any, cls: type) -> str:
    if cls is int and value.bit_length() > 4096:
        return f"{value.bit_length()} bits"
    return repr(value)


def _is_standard(cls: type) -> bool:
    """Whether the class is the one that its module holds under its name."""
    module = sys.modules.get(type_module_of(cls))
    scope = _module_dict(module) if type(module) is types.ModuleType else None
    return type(scope) is dict and scope.get(type_name_of(cls)) is cls


def _leaf_text(value: Any, cls: Any) -> str:
    """Like 2024-01-02 10:00:00+00:00; of a zone of the service's own only that there is one."""
    zone = getattr(value, "tzinfo", None)  # the class is the standard library's own
    if zone is None or _is_known_zone(type(zone)):
        return exact_text(cls.__str__(value))
    return f"{cls.__str__(value.replace(tzinfo=None))} {type_name_of(type(zone))}"


def _is_known_zone(cls: type) -> bool:
    named = (type_module_of(cls), type_name_of(cls)) in _ZONES
    return named and _is_standard(cls)


def _add_children(made: dict[str, Any], value: Any, cls: type, depth: int, budget: _Budget) -> None:
    pairs: Any
    if issubclass(cls, dict):
        length = dict.__len__(value)
        pairs = dict.items(value)
    elif issubclass(cls, (list, tuple, set, frozenset, deque)):
        base = next(b for b in (list, tuple, set, frozenset, deque) if issubclass(cls, b))
        length = base.__len__(value)
        pairs = ((str(i), item) for i, item in enumerate(base.__iter__(value)))
    elif issubclass(cls, (type, types.ModuleType, types.FunctionType)):
        made["text"] = _name_of(value, cls)
        return
    else:
        attributes = list(instance_dict(value).items()) + instance_slots(value)
        length = None
        pairs = attributes
    if length is not None:
        made["length"] = length
    children = []
    try:
        for key, item in islice(pairs, MAX_CHILDREN):
            if budget.left <= 0:
                break
            label = key if type(key) is str else _key_text(key)
            children.append([label[:MAX_TEXT], _picture(item, label, depth - 1, budget)])
    except RuntimeError:
        made["truncated"] = True  # another thread changed it while we looked
    made["children"] = children
    if length is not None and length > len(children):
        made["truncated"] = True


def _key_text(key: object) -> str:
    if id(type(key)) in _PLAIN:
        return _number_text(key, type(key))
    if type(key) is bytes:
        return repr(key[:MAX_TEXT])
    return f"<{type_name_of(type(key))}>"


def _name_of(value: Any, cls: type) -> str:
    if cls is types.FunctionType:
        return exact_text(value.__qualname__)
    if issubclass(cls, types.ModuleType):
        return module_name_of(value)
    return qualified_type(value) if issubclass(cls, type) else ""
