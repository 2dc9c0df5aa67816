"""What grows is told by line and holder; what only fills up to its limit is not."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from selfheal_agent.memory import MemoryWatch
from tests.agent.conftest import MakeModule

PICTURES = """
    from functools import lru_cache

    kept = {}

    @lru_cache(maxsize=5000)
    def bounded(name):
        return (name * 400)[:4000]

    def unbounded(name):
        kept[name] = (name * 400)[:4000]
"""


def lines_that_grow(module: ModuleType, draw: Callable[[str], object]) -> set[str]:
    watch = MemoryWatch()
    for number in range(300):
        draw(f"picture {number}")
    watch.middle()
    for number in range(300, 600):
        draw(f"picture {number}")
    with open(str(module.__file__)) as file:
        source = file.read().splitlines()
    return {source[g["line"] - 1].strip() for g in watch.report() if g["line"]}


def test_what_a_bounded_cache_keeps_is_no_growth(make_module: MakeModule) -> None:
    module = make_module("pictures", PICTURES)
    assert lines_that_grow(module, module.bounded) == set()


def test_the_same_kept_in_a_dictionary_is(make_module: MakeModule) -> None:
    module = make_module("pictures", PICTURES)
    assert "kept[name] = (name * 400)[:4000]" in lines_that_grow(module, module.unbounded)
