"""Model dataclasses to plain JSON values and back, by their type hints.

Used by the history, the events file and the sandbox's jobs. `bytes` travel as base64 under
the key "b64", enums as their value; unknown keys are ignored and missing ones take the
field's default, so that a record of an older minor version still loads.
"""

from __future__ import annotations

import base64
import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


def to_plain(value: object) -> Any:
    """`value` as dicts, lists, strings, numbers, booleans and None."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode("ascii")}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} is not part of the model")


def from_plain(cls: type[T], plain: Any) -> T:
    """An instance of `cls` from what `to_plain` made. Raises ValueError or TypeError."""
    hint: Any = cls
    build = _builder(hint)
    return typing.cast(T, plain if build is None else build(plain))


# Builders are made once for each type hint: a history of 100,000 episodes is read at every start.
_Build = Callable[[Any], Any]


@cache
def _builder(hint: Any) -> _Build | None:
    """What makes a value of the hint's type from a plain one; None where it is the same."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _builder_of_union(arguments)
    if origin is tuple:
        return _builder_of_tuple(arguments)
    if origin in (dict, Mapping):
        return _builder_of_dict(arguments[1])
    if not isinstance(hint, type):
        return None
    if dataclasses.is_dataclass(hint):
        return _builder_of_dataclass(hint)
    if issubclass(hint, Enum):
        return hint
    if hint is bytes:
        return lambda plain: base64.b64decode(plain["b64"])
    if hint is float:
        return lambda plain: float(plain) if isinstance(plain, int) else plain
    return None


def _builder_of_dataclass(cls: type) -> _Build:
    fields: dict[str, _Build | None] = {}

    def build(plain: Any) -> Any:
        if not fields:  # only now: a type may hold itself
            fields.update(
                (name, _builder(hint)) for name, hint in typing.get_type_hints(cls).items()
            )
        known = {}
        for name, item in plain.items():
            if name in fields:
                make = fields[name]
                known[name] = item if make is None else make(item)
        return cls(**known)

    return build


def _builder_of_union(options: tuple[Any, ...]) -> _Build | None:
    real = [option for option in options if option is not type(None)]
    make = _builder(real[0]) if len(real) == 1 else None
    if make is None:
        return None
    return lambda plain: None if plain is None else make(plain)


def _builder_of_tuple(arguments: tuple[Any, ...]) -> _Build:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        make = _builder(arguments[0])
        return tuple if make is None else lambda plain: tuple(map(make, plain))
    makers = tuple(_builder(argument) for argument in arguments)

    def build(plain: Any) -> tuple[Any, ...]:
        return tuple(
            item if make is None else make(item) for make, item in zip(makers, plain, strict=True)
        )

    return build


def _builder_of_dict(value: Any) -> _Build:
    make = _builder(value)
    if make is None:
        return dict
    return lambda plain: {key: make(item) for key, item in plain.items()}
