"""Recordings come back as what they were, and never run the service's code on the way in."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import decimal
import enum
import queue
import socket
import threading
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfheal_agent.recording import (
    UnrecordableError,
    add_globals,
    call_with_globals,
    decode,
    encode,
    is_exact,
    try_encode,
)
from selfheal_agent.replaying import StandInUsedError


class Colour(enum.Enum):
    RED = 1
    BLUE = "b"


class Permission(enum.Flag):
    READ = 1
    WRITE = 2


@dataclasses.dataclass
class Line:
    sku: str
    cents: int
    tags: list[str] = dataclasses.field(default_factory=list)

    def price(self) -> int:
        return self.cents


@dataclasses.dataclass(frozen=True)
class Point:
    __slots__ = ("x", "y")
    x: int
    y: int


class Names(list[str]):
    def __init__(self, owner: str) -> None:
        super().__init__()
        self.owner = owner


class Peer:
    def __init__(self, connection: socket.socket) -> None:
        self.name = "peer"
        self.connection = connection


class Guarded:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.total = 3


class Hostile:
    def __reduce__(self) -> Any:
        raise SystemExit("user code ran")

    __getstate__ = __reduce_ex__ = __reduce__  # type: ignore[assignment]


SAMPLES: list[Any] = [
    None,
    True,
    -5,
    1 << 90,
    2.5,
    "text\u2603",
    b"\x00\xff",
    bytearray(b"ab"),
    3 + 4j,
    (1, (2, [3])),
    {"a": {"$": 1}},
    {1: "x", (1, 2): None},
    {1, 2},
    frozenset({"q"}),
    range(1, 9, 2),
    deque([1, 2], maxlen=5),
    defaultdict(list, {"k": [1]}),
    OrderedDict(b=1, a=2),
    Counter("hello"),
    datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC),
    datetime.date(2024, 1, 1),
    datetime.timedelta(days=3),
    decimal.Decimal("1.10"),
    uuid.UUID(int=7),
    Path("/srv/shop"),
    Colour.BLUE,
    Permission.READ | Permission.WRITE,
    Line("GR1", 250, ["new"]),
    Point(3, 4),
    len,
    Line,
    datetime,
    ...,
]


@pytest.mark.parametrize("value", SAMPLES, ids=[repr(v)[:30] for v in SAMPLES])
def test_a_value_comes_back_equal_and_of_the_same_type(value: Any) -> None:
    again = decode(encode(value))
    assert type(again) is type(value)
    assert again == value


def test_shared_and_cyclic_references_are_kept() -> None:
    inner: list[Any] = [1]
    outer = {"one": inner, "two": inner}
    inner.append(outer)
    again = decode(encode(outer))
    assert again["one"] is again["two"]
    assert again["one"][1] is again


def test_an_object_keeps_its_state_and_gets_a_fresh_lock() -> None:
    again = decode(encode(Guarded()))
    assert again.total == 3
    assert again.lock.acquire(blocking=False)


def test_a_subclass_of_list_keeps_elements_and_attributes() -> None:
    names = Names("joe")
    names.append("ann")
    again = decode(encode(names))
    assert list(again) == ["ann"]
    assert again.owner == "joe"


def test_an_exception_comes_back_with_its_arguments() -> None:
    again = decode(encode(KeyError("sku", 5)))
    assert type(again) is KeyError
    assert again.args == ("sku", 5)


def test_a_bound_method_comes_back_bound() -> None:
    again = decode(encode(Line("a", 7).price))
    assert again() == 7


def test_pickling_hooks_of_the_service_are_not_called() -> None:
    assert decode(encode(Hostile())).__class__ is Hostile


def test_what_cannot_be_recorded_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "f").open("w") as stream, pytest.raises(UnrecordableError):
        encode({"file": stream})


def test_a_stand_in_says_what_is_missing_when_it_is_used(tmp_path: Path) -> None:
    with (tmp_path / "f").open("w") as stream:
        text = try_encode([1, stream])
    assert not is_exact(text)
    again = decode(text)
    assert again[0] == 1
    again[1].write("x")  # what nobody asks the result of goes through
    with pytest.raises(StandInUsedError, match="read"):
        again[1].read() + "x"
    with pytest.raises(StandInUsedError, match="readable"):
        bool(again[1].readable())


def test_an_open_connection_is_a_stand_in_on_every_python() -> None:
    with socket.socket() as connection:
        text = try_encode({"self": Peer(connection)})
    assert not is_exact(text)
    assert decode(text)["self"].name == "peer"


def test_a_queue_comes_back_with_its_items_and_working_locks() -> None:
    for made in (queue.Queue(5), asyncio.Queue(5)):
        made.put_nowait({"order": 1})
        again = decode(encode(made))
        assert again.get_nowait() == {"order": 1}
        again.put_nowait(2)
        assert again.maxsize == 5


def test_values_that_the_module_keeps_come_along_where_they_are_small() -> None:
    call = {"args": [1], "kwargs": {}}
    kept = {"rates": {"EUR": None}, "huge": [[n] for n in range(5000)], "open": socket}
    text = call_with_globals(call, {**kept, "lock": threading.RLock()})
    again = decode(text)
    assert again["args"] == [1]
    assert again["globals"]["rates"] == {"EUR": None}
    assert "huge" not in again["globals"]


def test_values_that_the_module_keeps_are_added_to_a_call_recorded_at_its_entry() -> None:
    shared = {"EUR": None}
    entry = encode({"args": [shared, shared], "kwargs": {}})
    again = decode(add_globals(entry, {"rates": [shared, shared], "made": (n for n in ())}))
    assert again["args"] == [shared, shared]
    assert decode(again["globals"]) == {"rates": [shared, shared]}
    assert add_globals("", {"rates": shared}) == ""


def test_a_deep_structure_is_refused_and_not_followed() -> None:
    deep: list[Any] = []
    for _ in range(500):
        deep = [deep]
    with pytest.raises(UnrecordableError):
        encode(deep)


def test_more_than_256_kb_is_refused() -> None:
    with pytest.raises(UnrecordableError):
        encode(["x" * 1000] * 400)


def test_a_module_that_ran_as_a_script_can_be_renamed() -> None:
    text = encode(Line("a", 1)).replace(Line.__module__, "__main__")
    assert decode(text, {"__main__": Line.__module__}).sku == "a"


def test_a_class_that_is_gone_is_a_clear_error() -> None:
    text = encode(Line("a", 1)).replace('"Line"', '"Removed"')
    with pytest.raises(ValueError, match="Removed does not exist"):
        decode(text)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.datetimes(),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=5)
        | st.tuples(inner, inner)
        | st.lists(inner, max_size=4).map(deque)
    ),
    max_leaves=30,
)


@given(plain)
def test_every_structure_of_plain_values_comes_back_equal(value: Any) -> None:
    assert decode(encode(value)) == value
