"""Exceptions as records: once each, exact places, budgets, no code of the service run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from selfheal_agent import capture as capturing
from selfheal_agent.capture import Capture, message_of
from selfheal_agent.recording import decode
from tests.agent.conftest import MakeModule


class Book:
    """A Capture and what it put."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.capture = Capture(self.records.append, lambda _: None)

    def crash(self, function: Callable[..., Any], *args: Any) -> BaseException:
        try:
            function(*args)
        except (Exception, SystemExit) as why:  # noqa: BLE001 - what a hook is given
            self.capture.exception(why, "test")
            return why
        raise AssertionError("did not raise")


@pytest.fixture
def book() -> Book:
    return Book()


def test_a_record_names_file_line_column_and_locals(make_module: MakeModule, book: Book) -> None:
    shop = make_module("crash_a", "def f(order):\n    café = 1; return order['zip'][0] + café\n")
    book.crash(shop.f, {"zip": None})
    record = capturing.finish(book.records[0])
    frame = record["frames"][-1]
    assert (frame["line"], frame["function"], frame["own"]) == (2, "f", True)
    assert frame["source_line"] == "café = 1; return order['zip'][0] + café"
    if "column" in frame:
        line = "    " + frame["source_line"]
        assert line[frame["column"] : frame["end_column"]] == "order['zip'][0]"
    assert record["exception"] == "TypeError"
    assert dict(frame["locals"])["café"]["text"] == "1"


def test_arguments_are_recorded_for_replay(make_module: MakeModule, book: Book) -> None:
    shop = make_module("crash_b", "def f(a, *rest, k, **more):\n    return a / k\n")
    with pytest.raises(ZeroDivisionError):
        shop.f(1, k=0)
    try:
        shop.f(1, 2, k=0, m=3)
    except ZeroDivisionError as why:
        book.capture.exception(why, "test")
    assert decode(book.records[0]["frames"][-1]["arguments"]) == {
        "args": [1, 2],
        "kwargs": {"k": 0, "m": 3},
    }


def test_rebound_parameters_are_named_and_not_recorded(make_module: MakeModule, book: Book) -> None:
    shop = make_module("crash_c", "def f(a, b):\n    a = a + 1\n    return a / b\n")
    book.crash(shop.f, 1, 0)
    frame = capturing.finish(book.records[0])["frames"][-1]
    assert frame["rebound"] == ["a"]
    assert frame["arguments"] == ""


def test_one_exception_object_is_recorded_once(make_module: MakeModule, book: Book) -> None:
    shop = make_module("crash_d", "def f():\n    return 1 / 0\n")
    why = book.crash(shop.f)
    book.capture.exception(why, "logging")
    assert len(book.records) == 1
    assert book.capture.total == 1


def test_known_crashes_are_counted_beyond_the_budget(make_module: MakeModule, book: Book) -> None:
    shop = make_module("crash_e", "def f():\n    return 1 / 0\n")
    for _ in range(500):
        book.crash(shop.f)
    assert len(book.records) == capturing.FULL_FIRST
    assert book.capture.total == 500
    assert (
        sum(r["count"] for r in book.records) + sum(count for _, count in book.capture.unreported())
        == 500
    )
    assert book.capture.unreported() == []


def test_the_chain_of_causes_is_kept_in_order(make_module: MakeModule, book: Book) -> None:
    shop = make_module(
        "crash_f",
        """
        def f():
            try:
                {}["a"]
            except KeyError as why:
                try:
                    raise ValueError("b") from why
                except ValueError as other:
                    raise RuntimeError("c") from other
        """,
    )
    book.crash(shop.f)
    assert [link["exception"] for link in book.records[0]["chain"]] == ["ValueError", "KeyError"]


def test_a_syntax_error_names_the_offending_file(make_module: MakeModule, book: Book) -> None:
    shop = make_module("crash_g", "def f():\n    import crash_broken\n")
    with pytest.raises(SyntaxError):
        make_module("crash_broken", "x = 1\ndef g(:\n    pass\n")
    book.crash(shop.f)
    record = capturing.finish(book.records[0])
    assert record["kind"] == "syntax"
    assert record["frames"][-1]["file"].endswith("crash_broken.py")
    assert record["frames"][-1]["line"] == 2


def test_deep_recursion_keeps_the_way_in_and_the_way_out(
    make_module: MakeModule, book: Book
) -> None:
    shop = make_module("crash_h", "def f(n):\n    return f(n + 1)\n")
    book.crash(shop.f, 0)
    assert len(book.records[0]["frames"]) <= 60
    assert book.records[0]["exception"] == "RecursionError"


def test_exits_are_no_crashes(make_module: MakeModule, book: Book) -> None:
    shop = make_module("crash_i", "def f():\n    raise SystemExit(3)\n")
    book.crash(shop.f)
    assert not book.records


def test_messages_are_read_without_the_classes_own_code() -> None:
    class LoudError(Exception):
        def __str__(self) -> str:
            raise SystemExit("user code ran")

    assert message_of(LoudError("a", 5)) == "(a, 5)"
    assert message_of(KeyError("sku")) == "'sku'"
    assert "No such file" in message_of(OSError(2, "No such file", "x"))
    assert message_of(ValueError("password=hunter22")) == "password=[scrubbed]"


def test_errors_logged_in_an_except_block_bring_the_exception(
    make_module: MakeModule, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    from selfheal_agent.integrations import logs

    monkeypatch.setattr(logging.Logger, "handle", logging.Logger.handle)
    logs.patch_logging(logging, book.capture)
    shop = make_module(
        "crash_j",
        """
        import logging
        log = logging.getLogger("crash_j")
        log.propagate = False
        log.addHandler(logging.NullHandler())
        def swallow():
            try:
                return {}["a"]
            except KeyError as why:
                log.error("no %s", why)
        def traced():
            try:
                return 1 / 0
            except ZeroDivisionError:
                log.exception("again")
        def plain(n):
            log.error("stock is %s", n)
        """,
    )
    shop.swallow()
    shop.traced()
    shop.plain(3)
    kinds = [(r["kind"], r["exception"], r["message"]) for r in book.records]
    assert kinds == [
        ("exception", "KeyError", "'a'"),
        ("exception", "ZeroDivisionError", "division by zero"),
        ("log", "", "stock is 3"),
    ]
    assert book.records[2]["frames"][-1]["function"] == "plain"


def test_a_failed_answer_in_an_access_log_is_no_error_of_its_own(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    from selfheal_agent.integrations import logs

    monkeypatch.setattr(logging.Logger, "handle", logging.Logger.handle)
    logs.patch_logging(logging, book.capture)
    for name in ("django.server", "tornado.access", "gunicorn.error", "shop.access_control"):
        log = logging.getLogger(name)
        monkeypatch.setattr(log, "propagate", False)
        monkeypatch.setattr(log, "handlers", [logging.NullHandler()])
        log.error('"GET /cart HTTP/1.1" 500 145')
    assert [(r["kind"], r["frames"][-1]["line"] > 0) for r in book.records] == [("log", True)]


def test_hostile_exceptions_do_no_harm(book: Book) -> None:
    class HostileError(Exception):
        def __getattribute__(self, name: str) -> Any:
            raise SystemExit("user code ran")

        __setattr__ = __repr__ = __str__ = __hash__ = __eq__ = __getattribute__  # type: ignore[assignment]

    try:
        raise HostileError("x")
    except HostileError as why:
        book.capture.exception(why, "test")
        book.capture.exception(why, "again")
    assert len(book.records) == 1
    assert book.records[0]["message"] == "x"


def test_a_crash_counts_once_when_the_probe_counts_meanwhile() -> None:
    told: list[int] = []
    taken: list[dict[str, Any]] = []
    capture = Capture(taken.append, lambda tb: told.extend(c for _, c in capture.unreported()))
    try:
        {}["sku"]
    except KeyError as why:
        capture.exception(why, "test")
    assert [record["count"] for record in taken] == [1]
    assert sum(told) + sum(count for _, count in capture.unreported()) == 0
