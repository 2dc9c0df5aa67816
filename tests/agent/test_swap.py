"""Live replacement: the new text runs, refusals touch nothing, and there is a way back."""

from __future__ import annotations

import hashlib
import textwrap
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from selfheal_agent import good_calls
from selfheal_agent.swap import Swapper
from tests.agent.conftest import MakeModule


def bring(module: ModuleType, source: str, *functions: str, write: bool = True) -> dict[str, Any]:
    text = textwrap.dedent(source).encode()
    path = Path(str(module.__file__))
    if write:
        path.write_bytes(text)
    swapper = module.__dict__.setdefault("_swapper", Swapper())
    return swapper.swap(str(path), hashlib.sha256(text).hexdigest(), list(functions))


def test_a_changed_function_runs_its_new_text(make_module: MakeModule) -> None:
    shop = make_module("shop_a", "def total(x):\n    return x + 1\n")
    kept = shop.total
    answer = bring(shop, "def total(x):\n    return x + 2\n", "total")
    assert answer["ok"]
    assert answer["swapped"] == ["total"]
    assert kept(1) == 3


def test_reverting_gives_the_old_code_back(make_module: MakeModule) -> None:
    shop = make_module("shop_b", "def total(x, fee=1):\n    return x + fee\n")
    bring(shop, "def total(x, fee=10):\n    return x + fee\n", "total")
    assert shop.total(1) == 11
    assert shop._swapper.revert(shop.__file__)["ok"]
    assert shop.total(1) == 2


def test_without_names_whatever_differs_is_swapped(make_module: MakeModule) -> None:
    shop = make_module("shop_c", "def one():\n    return 1\n\n\ndef two():\n    return 2\n")
    answer = bring(shop, "# moved\n\ndef one():\n    return 1\n\n\ndef two():\n    return 22\n")
    assert answer["swapped"] == ["two"]
    assert (shop.one(), shop.two()) == (1, 22)


def test_methods_properties_static_and_class_methods_are_found(make_module: MakeModule) -> None:
    source = """
        class Cart:
            rate = 2
            def plain(self): return 1
            @property
            def size(self): return 1
            @staticmethod
            def fixed(): return 1
            @classmethod
            def made(cls): return cls.rate + {n}
        """
    shop = make_module("shop_d", source.format(n=0))
    cart = shop.Cart()
    new = source.replace("return 1", "return 5").format(n=3)
    answer = bring(shop, new, "Cart.plain", "Cart.size", "Cart.fixed", "Cart.made")
    assert answer["ok"], answer["reason"]
    assert (cart.plain(), cart.size, cart.fixed(), cart.made()) == (5, 5, 5, 5)


def test_a_decorated_function_is_reached_through_its_wrapper(make_module: MakeModule) -> None:
    source = """
        import functools
        def loud(function):
            @functools.wraps(function)
            def wrapper(*args):
                return "!" + function(*args)
            return wrapper
        @loud
        def say(): return "{word}"
        """
    shop = make_module("shop_e", source.format(word="old"))
    assert bring(shop, source.format(word="new"), "say")["ok"]
    assert shop.say() == "!new"


def test_new_imports_helpers_and_constants_come_first(make_module: MakeModule) -> None:
    shop = make_module("shop_f", "def total(x):\n    return x\n")
    new = """
        import math
        LIMIT = 3
        class TooMuch(Exception): pass
        def capped(x): return min(x, LIMIT)
        def total(x):
            if x < 0: raise TooMuch(x)
            return math.floor(capped(x))
        """
    answer = bring(shop, new, "total")
    assert answer["ok"], answer["reason"]
    assert shop.total(9.5) == 3


def test_closures_made_before_the_swap_run_the_new_code(make_module: MakeModule) -> None:
    source = """
        def maker(n):
            def inner(x):
                return x {op} n
            return inner
        """
    shop = make_module("shop_g", source.format(op="+"))
    add = shop.maker(10)
    answer = bring(shop, source.format(op="*"), "maker")
    assert answer["ok"]
    assert shop.maker(10)(2) == 20
    assert add(2) == 12  # made by the old maker: only what was named changes


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("def f(): return 1", "def f(): yield 1", "generator"),
        ("def f(): return 1", "async def f(): return 1", "coroutine"),
        ("def f(): return 1", "def f(): return missing_name", "missing_name"),
        ("def f(): return 1", "def g(): return 1", "not defined"),
        ("def f(): return 1", "def f(: return 1", "does not compile"),
        ("def f(): return 1", "import no_such_module_at_all\ndef f(): return 2", "ModuleNotFound"),
    ],
)
def test_what_cannot_be_swapped_is_refused_with_a_reason(
    make_module: MakeModule, old: str, new: str, reason: str
) -> None:
    shop = make_module("shop_h", old + "\n")
    answer = bring(shop, new + "\n", "f")
    assert not answer["ok"]
    assert reason in answer["reason"]
    assert shop.f() == 1


def test_changed_closure_variables_are_refused(make_module: MakeModule) -> None:
    shop = make_module("shop_i", "class A:\n    def f(self): return 1\n")
    answer = bring(shop, "class A:\n    def f(self): return super().__repr__()\n", "A.f")
    assert "closes over" in answer["reason"]


def test_another_content_than_approved_is_refused(make_module: MakeModule) -> None:
    shop = make_module("shop_j", "def f(): return 1\n")
    answer = bring(shop, "def f(): return 2\n", "f", write=False)
    assert "not the one that was approved" in answer["reason"]
    assert shop.f() == 1


def test_a_property_with_two_functions_of_one_name_is_refused(make_module: MakeModule) -> None:
    source = """
        class A:
            @property
            def x(self): return {n}
            @x.setter
            def x(self, value): pass
        """
    shop = make_module("shop_k", source.format(n=1))
    answer = bring(shop, source.format(n=2), "A.x")
    assert not answer["ok"]
    assert shop.A().x == 1


def test_a_watched_function_can_be_swapped(make_module: MakeModule) -> None:
    shop = make_module("shop_l", "def f(x): return x\n")
    assert good_calls.watch(shop.f)
    assert bring(shop, "def f(x): return x * 2\n", "f")["ok"]
    assert shop.f(4) == 8


def test_four_threads_see_only_right_answers_while_the_code_changes_20000_times(
    make_module: MakeModule,
) -> None:
    versions = ["def f(x):\n    return (x, 1)\n", "def f(x):\n    y = 2\n    return (x, y)\n"]
    shop = make_module("shop_m", versions[0])
    wrong: list[Any] = []
    stop = threading.Event()

    def call() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            if shop.f(n) not in ((n, 1), (n, 2)):
                wrong.append(n)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    codes = [compile(text, shop.__file__, "exec").co_consts[0] for text in versions]
    swapper = Swapper()
    for turn in range(20):
        assert bring(shop, versions[(turn + 1) % 2], "f")["ok"]
    for turn in range(20_000):
        from selfheal_agent import swap

        swap._set(shop.f, codes[turn % 2], None, None)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert swapper.revert(shop.__file__)["ok"] is False
