"""What a repetition varies, and how long it waits for what only waits."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from selfheal_agent.recording import decode, encode_call, grown, is_cut
from selfheal_engine.model import Reproducer
from selfheal_engine.sandbox_validator.inside import loops, variation
from tests.sandbox_validator.conftest import MakeShop, check

KEEPS_ITS_KIND: dict[str, Callable[[str], object]] = {
    "81.12.200.3": ipaddress.ip_address,
    "10.0.0.254": ipaddress.ip_address,
    "2024-12-28": datetime.date.fromisoformat,
    "2024-05-17 23:59:59": datetime.datetime.fromisoformat,
    "3f2b8c1e-9a4d-4c1b-8f00-1234567890ab": uuid.UUID,
    "12.5": float,
    "0042": int,
}


@pytest.mark.parametrize("text", KEEPS_ITS_KIND)
def test_a_varied_text_is_of_the_kind_it_was(text: str) -> None:
    varied = [variation.varied(text, [()], number) for number in range(1, 400)]
    for one in varied:
        KEEPS_ITS_KIND[text](one)
    assert len(set(varied)) > 200, varied[:5]


def test_a_limit_on_a_wait_takes_no_time_where_nothing_else_happens() -> None:
    async def wait() -> str:
        try:
            return str(await asyncio.wait_for(asyncio.Queue[str]().get(), 60))
        except TimeoutError:
            return "nothing"

    began = time.monotonic()
    assert [loops.run(wait()) for _ in range(20)] == ["nothing"] * 20
    assert time.monotonic() - began < 10


def test_a_thread_that_works_is_waited_for() -> None:
    async def ask() -> bool:
        done = asyncio.Event()
        loop = asyncio.get_running_loop()
        threading.Timer(0.2, lambda: loop.call_soon_threadsafe(done.set)).start()
        await asyncio.wait_for(done.wait(), 30)
        return done.is_set()

    assert loops.run(ask())


def test_a_task_left_behind_comes_to_its_end_and_one_that_never_ends_is_cancelled() -> None:
    ended: list[str] = []

    async def soon() -> None:
        await asyncio.sleep(1)
        ended.append("soon")

    async def never() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("never")

    async def start() -> list[asyncio.Task[None]]:
        return [asyncio.create_task(soon()), asyncio.create_task(never())]

    assert all(task.done() for task in loops.run(start()))
    assert ended == ["soon", "never"]


def test_what_has_piled_up_is_recorded_in_part() -> None:
    known = {f"place {number}": number for number in range(20)}
    grown.add(id(known))
    try:
        text, _ = encode_call({"args": [known, [1] * 20], "kwargs": {}}, 1)
    finally:
        grown.discard(id(known))
    cut: list[Any] = []
    args = decode(text, cut=cut)["args"]
    assert is_cut(text)
    assert args == [{f"place {number}": number for number in range(12, 20)}, [1] * 20]
    assert cut == [args[0]]


POLLS = """\
import asyncio


class Hub:
    def __init__(self):
        self.table = {}
        self._listeners = []

    def publish(self, match, score):
        self.table[match] = score
        for listener in self._listeners:
            listener.put_nowait(score)

    async def wait(self):
        listener = asyncio.Queue()
        self._listeners.append(listener)
        try:
            return await asyncio.wait_for(listener.get(), 20)
        except asyncio.TimeoutError:
            return None


async def answer(hub, path, match):
    if path == "/poll":
        return await hub.wait()
    return hub.publish(match, 1)
"""
LEAVES = "            return None\n        finally:\n            self._listeners.remove(listener)\n"
STORES = "        self.table[match] = score\n"
BOUND = f"{STORES}        if len(self.table) > 100:\n            self.table.clear()\n"


def test_a_long_poll_shows_its_leak_and_new_keys_of_ours_do_not_hide_it(
    make_shop: MakeShop,
) -> None:
    """The table grows by the names that repetition makes up; what was reported are listeners.

    Those that were there when the call was recorded are no patch's to clear away.
    """
    old = ",".join(['{"$":"queue","c":["asyncio.queues","Queue"],"n":0,"v":[]}'] * 8)
    kept = f'{{"$":"list","left_out":90,"v":[{old}]}}'
    state = f'{{"table":{{"$":"d","v":{{}}}},"_listeners":{kept}}}'
    hub = f'{{"$":"object","c":["hub","Hub"],"state":{state}}}'
    calls = tuple(
        f'{{"$":"d","v":{{"args":[{hub},"{path}","m"],"kwargs":{{"$":"d","v":{{}}}}}}}}'
        for path in ("/poll", "/publish")
    )
    again = Reproducer("growth", module="hub", functions=("answer",), arguments=calls)
    shop = make_shop({"hub.py": POLLS}, reproducers=(again,))
    ends = "            return None\n"
    good, bad = shop.judge(
        shop.candidate(POLLS.replace(ends, LEAVES, 1), "hub.py", "good"),
        shop.candidate(POLLS.replace(STORES, BOUND), "hub.py", "bad"),
    )
    assert check(good, "reproducer").status == "passed", check(good, "reproducer")
    assert check(bad, "reproducer").status == "failed"
