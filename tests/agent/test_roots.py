"""The report of growth finds what no module holds: locals of what runs, what waits, closures."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from selfheal_agent.memory import MemoryWatch
from tests.agent.conftest import MakeModule

HUB = """
    import asyncio

    class Hub:
        def __init__(self):
            self._open = []

    def make_handler():
        hub = Hub()
        def handle(number):
            hub._open.append(str(number) * 300)
        return handle

    def work(numbers, done):
        results = []
        for number in iter(numbers.get, None):
            results.append(str(number) * 300)
            done.put(number)

    async def keep(numbers, done):
        found = {}
        while True:
            number = await numbers.get()
            found[number] = str(number) * 300
            done.put_nowait(number)
"""


def holders_of(grow: Callable[[int], object]) -> tuple[list[str], set[int]]:
    watch = MemoryWatch()
    for number in range(300):
        grow(number)
    watch.middle()
    for number in range(300, 600):
        grow(number)
    return [growth["holder"] for growth in watch.report() if growth["holder"]], watch.grown


def test_an_object_in_a_closure_is_found(make_module: MakeModule) -> None:
    handle = make_module("hub_a", HUB).make_handler()
    holders, grown = holders_of(handle)
    assert holders == ["hub_a.Hub._open"]
    (hub,) = (cell.cell_contents for cell in handle.__closure__)
    assert grown == {id(hub._open)}


def test_a_local_of_a_thread_is_found(make_module: MakeModule) -> None:
    import queue

    module = make_module("hub_b", HUB)
    numbers: queue.Queue[int | None] = queue.Queue()
    done: queue.Queue[int] = queue.Queue()
    thread = threading.Thread(target=module.work, args=(numbers, done))
    thread.start()

    def grow(number: int) -> None:
        numbers.put(number)
        done.get()

    try:
        assert holders_of(grow)[0] == ["hub_b.work.results"]
    finally:
        numbers.put(None)
        thread.join()


def test_a_local_of_a_coroutine_that_waits_is_found(make_module: MakeModule) -> None:
    module = make_module("hub_c", HUB)

    async def main() -> list[str]:
        numbers: asyncio.Queue[int] = asyncio.Queue()
        done: asyncio.Queue[int] = asyncio.Queue()
        task = asyncio.create_task(module.keep(numbers, done))
        watch = MemoryWatch()
        for look in (watch.middle, None):
            for number in range(300):
                numbers.put_nowait(number + 300 * (look is None))
                await done.get()
            if look is not None:
                look()
        task.cancel()
        return [growth["holder"] for growth in watch.report() if growth["holder"]]

    assert asyncio.run(main()) == ["hub_c.keep.found"]
