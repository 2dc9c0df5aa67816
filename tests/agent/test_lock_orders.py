"""Two locks taken in both orders are told of before anybody waits for ever."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from selfheal_agent import frames
from selfheal_agent.lock_orders import LockOrders

BANK = """
import threading

gate = threading.Lock()


class Account:
    def __init__(self):
        self.lock = threading.RLock()
        self.log_lock = threading.Lock()


def move(source, target, inside):
    with source.lock:
        deposit(target, inside)


def deposit(account, inside):
    with account.lock:
        inside()


def guarded(source, target, inside):
    with gate:
        move(source, target, inside)


def again(account, inside):
    with account.lock:
        with account.lock:
            inside()
"""


class Bank:
    """The project's module, whose functions are looked at where they call `inside`."""

    def __init__(self, scope: dict[str, Any]) -> None:
        self.orders = LockOrders()
        self._scope = scope
        self._threads = 0
        self.one, self.two = scope["Account"](), scope["Account"]()

    def run(self, function: str, *accounts: Any) -> None:
        """Call it in a thread of its own, and wait for that."""
        self._threads += 1
        thread = threading.Thread(
            target=self._scope[function],
            args=(*accounts, self._inside),
            name=f"{function} {self._threads}",
        )
        thread.start()
        thread.join()

    def _inside(self) -> None:
        self.orders.note(sys._getframe(1), threading.get_ident())


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    file = tmp_path / "bank.py"
    file.write_text(BANK)
    before = frames.project()
    frames.set_project(str(tmp_path))
    scope: dict[str, Any] = {"__name__": "bank"}
    exec(compile(BANK, str(file), "exec"), scope)
    yield Bank(scope)
    frames.set_project(before)


def test_both_orders_in_two_threads_name_both_places(bank: Bank) -> None:
    bank.run("move", bank.one, bank.two)
    assert not bank.orders.inversions()
    bank.run("move", bank.two, bank.one)
    ((first, second),) = bank.orders.inversions()
    assert "deposit" in first.text()
    assert "takes account.lock while it holds source.lock" in second.text()
    assert [frame["function"].rpartition(".")[2] for frame in second.frames[-2:]] == [
        "move",
        "deposit",
    ]
    assert 0 < bank.orders.risk < 1
    bank.run("move", bank.two, bank.one)
    assert not bank.orders.inversions(), "told once"


@pytest.mark.parametrize(
    "calls",
    [
        lambda b: [("move", b.one, b.two), ("move", b.one, b.two)],
        lambda b: [("guarded", b.one, b.two), ("guarded", b.two, b.one)],
        lambda b: [("again", b.one), ("again", b.one)],
    ],
    ids=["one order only", "a third lock keeps them apart", "one lock entered twice"],
)
def test_what_cannot_deadlock_is_not_told(bank: Bank, calls: Callable[[Bank], Any]) -> None:
    for call in calls(bank):
        bank.run(*call)
    assert not bank.orders.inversions()
    assert bank.orders.risk == 0


def test_one_thread_alone_may_take_them_in_both_orders(bank: Bank) -> None:
    def both() -> None:
        bank._scope["move"](bank.one, bank.two, bank._inside)
        bank._scope["move"](bank.two, bank.one, bank._inside)

    thread = threading.Thread(target=both)
    thread.start()
    thread.join()
    assert not bank.orders.inversions()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring came with 3.12")
def test_from_312_on_every_entry_is_seen(bank: Bank) -> None:
    bank.orders.watch()
    try:
        for pair in ((bank.one, bank.two), (bank.two, bank.one)):
            thread = threading.Thread(target=bank._scope["move"], args=(*pair, lambda: None))
            thread.start()
            thread.join()
        assert bank.orders.inversions()
    finally:
        sys.monitoring.free_tool_id(4)  # type: ignore[attr-defined,unused-ignore]
