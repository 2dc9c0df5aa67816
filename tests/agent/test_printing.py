"""What a service prints of an exception that it caught is heard of, and nothing else."""

from __future__ import annotations

import builtins
import pickle
import traceback
from typing import Any

import pytest

from selfheal_agent import printing
from selfheal_agent.capture import Capture
from tests.agent.conftest import MakeModule

LOOP = """
import sys
import traceback


def caught(tell):
    try:
        return {}["a"] + 1
    except Exception as why:
        tell(why)


def nothing(why):
    print("going on")


def itself(why):
    print("failed:", why)


def words(why):
    print(f"failed: {why}")


def errors(why):
    print("failed", file=sys.stderr)


def whole(why):
    traceback.print_exc()
"""


def restored_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins, "print", builtins.print)
    monkeypatch.setattr(traceback, "print", builtins.print, raising=False)
    monkeypatch.setattr(traceback, "print_exc", traceback.print_exc)


@pytest.mark.parametrize(
    ("tell", "told"),
    [
        ("nothing", []),
        ("itself", [("print", True)]),
        ("words", [("print", True)]),
        ("errors", [("print", True)]),
        ("whole", [("traceback", False)]),
    ],
)
def test_a_printed_exception_is_told_of_once(
    tell: str, told: list[Any], make_module: MakeModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    records: list[dict[str, Any]] = []
    restored_after(monkeypatch)
    printing.install(Capture(records.append, lambda _: None))
    loop = make_module(f"printing_{tell}", LOOP)
    loop.caught(getattr(loop, tell))
    print("no exception is being handled here")
    assert [(r["caught_by"], r["handled"]) for r in records] == told
    assert all(r["frames"][0]["function"] == "caught" for r in records)


def test_the_function_prints_as_before_and_is_found_by_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    restored_after(monkeypatch)
    printing.install(Capture([].append, lambda _: None))
    print("a", "b", sep="-", end="!")
    assert capsys.readouterr().out == "a-b!"
    assert pickle.loads(pickle.dumps(print)) is print
