"""Whatever a class overrides, capturing a crash that holds one of its objects runs none of it."""

from __future__ import annotations

import collections
import enum
import json
import types
from collections.abc import Callable
from typing import Any

import pytest

from selfheal_agent import capture, frames, good_calls
from selfheal_agent.capture import Capture

HOOKS = """
    repr str len iter hash bool eq ne getattr getattribute reduce reduce_ex format getstate dir
    contains getitem call copy deepcopy int float index bytes next get set lt gt sizeof missing
    instancecheck subclasscheck length_hint reversed fspath enter exit
"""
_ran: list[str] = []
_armed = [False]


def _hook(name: str) -> Callable[..., Any]:
    def run(*_args: object, **_named: object) -> Any:
        if _armed[0]:
            _ran.append(name)
        raise RuntimeError(f"{name} ran")

    return run


def hostile(base: type) -> Any:
    """A class of this base each of whose hooks tells that it ran."""
    body: dict[str, Any] = {f"__{name}__": _hook(name) for name in HOOKS.split()}
    body |= {name: _hook(name) for name in ("keys", "items", "values", "get")}
    body["__class__"] = property(_hook("class"))
    if base is type:
        del body["__call__"]
    else:
        body["__dict__"] = property(_hook("dict"))
    return type(f"Hostile_{base.__name__}", (base,), body)


def _of_hostile_metaclass() -> Any:
    return hostile(type)("Made", (), {})


class Slots:
    __slots__ = ("a", "b")


def _slots() -> Any:
    made = Slots()
    made.a = object.__new__(hostile(object))
    return made


def _class_with(name: str, value: object) -> Any:
    made = type("Named", (), {})
    setattr(made, name, value)
    return made


def _instance_dict() -> Any:
    class Holder:
        pass

    made = Holder()
    made.__dict__ = dict.__new__(hostile(dict))
    return made


class Level(enum.Enum):
    HIGH = 1

    def __getattr__(self, name: str) -> Any:
        if not _armed[0]:
            raise AttributeError(name)
        return _hook("getattr")()


CASES: dict[str, Callable[[], Any]] = {
    **{
        base.__name__: lambda base=base: base.__new__(hostile(base))
        for base in (object, dict, list, set, collections.deque, collections.OrderedDict)
    },
    **{
        base.__name__: lambda base=base: base.__new__(hostile(base))
        for base in (collections.Counter, collections.defaultdict, types.ModuleType)
    },
    "tuple": lambda: tuple.__new__(hostile(tuple), (1, 2)),
    "frozenset": lambda: frozenset.__new__(hostile(frozenset), (1, 2)),
    "str": lambda: str.__new__(hostile(str), "abc"),
    "int": lambda: int.__new__(hostile(int), 5),
    "float": lambda: float.__new__(hostile(float), 0.5),
    "bytes": lambda: bytes.__new__(hostile(bytes), b"abc"),
    "exception": lambda: Exception.__new__(hostile(Exception), 1),
    "class of a hostile metaclass": _of_hostile_metaclass,
    "its instance": lambda: object.__new__(_of_hostile_metaclass()),
    "slots": _slots,
    "enumeration": lambda: Level.HIGH,
    "instance dictionary": _instance_dict,
    "module name": lambda: object.__new__(_class_with("__module__", CASES["object"]())),
    "qualified name": lambda: object.__new__(_class_with("__qualname__", CASES["str"]())),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("raised", ["a value of it", "itself"])
def test_none_of_its_hooks_runs_and_the_record_is_whole(
    case: str, raised: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "is_own", lambda file: file == __file__)
    value = CASES[case]()
    taken: list[dict[str, Any]] = []
    watch = Capture(taken.append, good_calls.entry_arguments)

    def fail(value: Any, inside: Any) -> None:
        if raised == "itself":
            error = hostile(Exception)
            raise Exception.__new__(error, value)
        raise ValueError(value, inside)

    try:
        fail(value, {"value": value, "list": [value]})
    except Exception as why:  # noqa: BLE001 - one of them cannot be named
        _ran.clear()
        _armed[0] = True
        try:
            watch.exception(why, "test")
            assert (watch.beyond, len(taken)) == (0, 1)
            made = json.loads(json.dumps(capture.finish(taken[0])))
        finally:
            _armed[0] = False
    assert _ran == []
    assert [name for name, _ in made["frames"][-1]["locals"]][:2] == ["value", "inside"]


def test_a_class_body_that_keeps_its_names_itself_is_not_asked() -> None:
    class Names(dict):  # type: ignore[type-arg]
        items = _hook("items")

    class Meta(type):
        @classmethod
        def __prepare__(cls, *_: Any) -> Any:
            return Names()

    taken: list[dict[str, Any]] = []
    watch = Capture(taken.append, good_calls.entry_arguments)
    try:

        class Broken(metaclass=Meta):
            number = 1
            [][number]
    except IndexError as why:
        watch.exception(why, "test")
    assert watch.beyond == 0
    assert dict(taken[0]["frames"][-1]["locals"])["number"]["text"] == "1"
