"""Calls recorded at entry: exact, bounded, and gone without a trace."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from selfheal_agent import good_calls
from selfheal_agent.recording import decode, is_cut
from tests.agent.conftest import MakeModule


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(good_calls, "_put", calls.append)
    yield calls
    good_calls.restore_all()


def test_a_good_call_keeps_arguments_and_result(
    make_module: MakeModule, kept: list[dict[str, Any]]
) -> None:
    shop = make_module("good_a", "def add(x, *rest, fee=1, **more):\n    return x + fee\n")
    assert good_calls.watch(shop.add)
    assert shop.add(1, 2, fee=5, extra=[3]) == 6
    assert decode(kept[0]["arguments"]) == {"args": [1, 2], "kwargs": {"fee": 5, "extra": [3]}}
    assert decode(kept[0]["result"]) == 6
    assert kept[0]["function"] == "add"


def test_arguments_are_those_of_the_entry_not_of_the_crash(
    make_module: MakeModule, kept: list[dict[str, Any]]
) -> None:
    shop = make_module("good_b", "def spoil(items):\n    items.clear()\n    return 1 / 0\n")
    good_calls.watch(shop.spoil)
    with pytest.raises(ZeroDivisionError) as caught:
        shop.spoil([1, 2, 3])
    found = good_calls.entry_arguments(caught.value.__traceback__)
    assert found is not None
    assert [decode(text) for text in found.values()] == [{"args": [[1, 2, 3]], "kwargs": {}}]
    assert not kept


def test_restoring_leaves_the_function_as_it_was(make_module: MakeModule) -> None:
    shop = make_module("good_c", "def f(a, b=2):\n    return a + b\n")
    before = (shop.f.__code__, shop.f.__defaults__, dict(shop.f.__dict__))
    good_calls.watch(shop.f)
    assert shop.f(1) == 3
    assert list(inspect.signature(shop.f).parameters) == ["a", "b"]
    good_calls.restore(shop.f)
    assert (shop.f.__code__, shop.f.__defaults__, dict(shop.f.__dict__)) == before


def test_closures_and_super_keep_working_under_watch(
    make_module: MakeModule, kept: list[dict[str, Any]]
) -> None:
    shop = make_module(
        "good_d",
        """
        class Base:
            def size(self): return 1
        class Child(Base):
            def size(self): return super().size() + 1
        def maker(n):
            def inner(x): return x + n
            return inner
        """,
    )
    inner = shop.maker(5)
    assert good_calls.watch(shop.Child.size)
    assert good_calls.watch(inner)
    assert shop.Child().size() == 2
    assert inner(1) == 6


def test_generators_are_left_alone(make_module: MakeModule) -> None:
    shop = make_module("good_e", "def g():\n    yield 1\n\nasync def c():\n    yield 1\n")
    assert not good_calls.watch(shop.g)
    assert not good_calls.watch(shop.c)


def test_a_coroutine_is_recorded_when_it_has_ended_well(
    make_module: MakeModule, kept: list[dict[str, Any]]
) -> None:
    shop = make_module(
        "good_i",
        """
        import asyncio
        def make(fee):
            async def price(item):
                await asyncio.sleep(0)
                return 10 // item + fee
            return price
        price = make(5)
        """,
    )
    before = shop.price.__code__
    assert good_calls.watch(shop.price)
    assert inspect.iscoroutinefunction(shop.price)
    pending = shop.price(2)
    assert not kept, "it has not even begun"
    assert asyncio.run(pending) == 10
    assert [decode(kept[0][part]) for part in ("arguments", "result")] == [
        {"args": [2], "kwargs": {}},
        10,
    ]
    with pytest.raises(ZeroDivisionError) as caught:
        asyncio.run(shop.price(0))
    found = good_calls.entry_arguments(caught.value.__traceback__)
    assert [decode(text)["args"] for text in (found or {}).values()] == [[0]]
    good_calls.restore(shop.price)
    assert shop.price.__code__ is before


def test_an_object_that_holds_all_there_ever_was_is_recorded_with_its_newest(
    make_module: MakeModule, kept: list[dict[str, Any]]
) -> None:
    shop = make_module(
        "good_j",
        """
        class Places:
            def __init__(self):
                self.known = {}
            def at(self, name):
                return self.known.setdefault(name, {"names": [name] * 90})
        """,
    )
    places = shop.Places()
    for number in range(3000):
        places.at(f"place {number}")
    good_calls.watch(shop.Places.at)
    assert len(places.at("here")["names"]) == 90
    assert is_cut(kept[0]["arguments"])
    cut: list[Any] = []
    again = decode(kept[0]["arguments"], cut=cut)["args"][0]
    assert list(again.known) == [f"place {number}" for number in range(2992, 3000)]
    assert cut == [again.known]
    assert again.known["place 2999"] == {"names": ["place 2999"] * 90}


def test_of_what_grows_a_call_counts_whose_result_cannot_be_recorded(
    make_module: MakeModule, kept: list[dict[str, Any]]
) -> None:
    shop = make_module("good_k", "def feed(items):\n    return iter(items)\n")
    good_calls.watch(shop.feed, lenient=True)
    shop.feed([1])
    assert [kept[0]["function"], kept[0]["result"]] == ["feed", ""]


def test_no_more_than_a_bounded_number_of_calls_is_kept(
    make_module: MakeModule, kept: list[dict[str, Any]]
) -> None:
    shop = make_module("good_f", "def f(x):\n    return x\n")
    good_calls.watch(shop.f)
    for n in range(2000):
        shop.f(n)
    assert 5 <= len(kept) <= good_calls.MAX_GOOD


def test_calls_that_cannot_be_recorded_whole_are_no_good_calls(
    make_module: MakeModule, kept: list[dict[str, Any]]
) -> None:
    shop = make_module("good_g", "def f(x):\n    return 1\n")
    good_calls.watch(shop.f)
    shop.f(iter([1]))
    assert not kept


def test_the_functions_of_a_crash_path_are_found_by_their_code(
    make_module: MakeModule, kept: list[dict[str, Any]]
) -> None:
    shop = make_module("good_h", "def f(x):\n    return 1 / x\n\nhandlers = [f]\n")
    assert good_calls.watch_codes([(shop.f.__code__, shop.__dict__)]) == 1
    assert shop.handlers[0](1) == 1
    assert len(kept) == 1
    twin = shop.f.__wrapped__  # it has the code too, and is called by the shim alone
    assert good_calls.watch_codes([(twin.__code__, shop.__dict__)]) == 0


def test_the_locals_of_a_watched_closures_frame_can_be_read():
    """In a process of its own: a shim without the closure's cells crashes the interpreter."""
    program = """
import sys
from selfheal_agent import good_calls

def make(rate, base):
    def total(count):
        seen.append(dict(sys._getframe(1).f_locals))
        return base + rate * count
    return total

seen = []
total = make(2, 10)
assert good_calls.watch(total)
assert total(3) == 16
assert (seen[0]["rate"], seen[0]["base"]) == (2, 10)
good_calls.restore(total)
assert total(3) == 16
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
