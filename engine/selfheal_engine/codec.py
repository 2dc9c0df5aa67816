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
from collections.abc import Mapping
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
    return typing.cast(T, _build(cls, plain))


@cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _build(hint: Any, plain: Any) -> Any:
    origin = typing.get_origin(hint)
    if origin is typing.Literal or hint is Any or hint is object:
        return plain
    if origin in (typing.Union, types.UnionType):
        return _build_union(typing.get_args(hint), plain)
    if origin is tuple:
        return _build_tuple(typing.get_args(hint), plain)
    if origin in (dict, Mapping):
        value_hint = typing.get_args(hint)[1]
        return {key: _build(value_hint, item) for key, item in plain.items()}
    if not isinstance(hint, type):
        return plain
    if dataclasses.is_dataclass(hint):
        hints = _hints(hint)
        known = {key: _build(hints[key], item) for key, item in plain.items() if key in hints}
        return hint(**known)
    if issubclass(hint, Enum):
        return hint(plain)
    if hint is bytes:
        return base64.b64decode(plain["b64"])
    if hint is float and isinstance(plain, int):
        return float(plain)
    return plain


def _build_union(options: tuple[Any, ...], plain: Any) -> Any:
    if plain is None:
        return None
    real = [option for option in options if option is not type(None)]
    return _build(real[0], plain) if len(real) == 1 else plain


def _build_tuple(args: tuple[Any, ...], plain: Any) -> tuple[Any, ...]:
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(_build(args[0], item) for item in plain)
    return tuple(_build(hint, item) for hint, item in zip(args, plain, strict=True))
