"""Good calls whose result hangs on the clock, or on an object that was made before the patch."""

from __future__ import annotations

import time

from selfheal_agent import recording
from selfheal_engine.model import GoodCall, Occurrence, Reproducer
from tests.sandbox_validator.conftest import MakeShop, call_of, check

BOARD = """\
import time


def online(seen, name):
    if name is None:
        raise ValueError(name)
    here = [one for one, until in seen.items() if until > time.time()]
    return {"here": here, "name": name.upper()}
"""
MENDED = BOARD.replace("raise ValueError(name)", "name = ''")
REPRODUCER = Reproducer(
    "call",
    module="board",
    file="board.py",
    functions=("online",),
    arguments=(call_of({}, None),),
    exception="ValueError",
    crash_file="board.py",
    crash_line=6,
    crash_function="online",
)
LASTS_S = 4.0
"""Longer than the unpatched tree is asked for."""


def test_what_has_expired_since_is_no_fault_of_the_patch(make_shop: MakeShop) -> None:
    until = time.time() + LASTS_S
    good = GoodCall("online", "board.py", call_of({"ann": until}, "b"), recording.encode({}))
    occurrence = Occurrence("o", "exception", 0.0, 1, "ValueError", "None", (), good_calls=(good,))
    shop = make_shop({"board.py": BOARD}, reproducers=(REPRODUCER,), occurrence=occurrence)
    time.sleep(max(0.0, until - time.time()))
    wrong = MENDED.replace(".upper()", ".lower()")
    (verdict,) = shop.judge(shop.candidate(MENDED, "board.py"))
    assert check(verdict, "good_calls").status == "passed"
    (verdict,) = shop.judge(shop.candidate(wrong, "board.py"))
    assert check(verdict, "good_calls").status == "failed"


DESK = """\
class Desk:
    def __init__(self):
        self.names = []

    def first(self, name):
        return [*self.names, name][0].strip()
"""
GUARDED = """\
import threading


class Desk:
    def __init__(self):
        self._lock = threading.Lock()
        self.names = []

    def first(self, name):
        with self._lock:
            return [*self.names, name][0].strip()
"""
OLDER = (
    '{"$":"d","v":{"args":[{"$":"object","c":["desk","Desk"],"state":{"names":[]}},"ann"],'
    '"kwargs":{"$":"d","v":{}}}}'
)


def test_an_object_that_was_made_before_the_patch_says_nothing_of_it(make_shop: MakeShop) -> None:
    good = GoodCall("Desk.first", "desk.py", OLDER, recording.encode("ann"))
    occurrence = Occurrence("o", "exception", 0.0, 1, "ValueError", "None", (), good_calls=(good,))
    shop = make_shop({"desk.py": DESK}, reproducers=(), occurrence=occurrence)
    (verdict,) = shop.judge(shop.candidate(GUARDED, "desk.py"))
    assert check(verdict, "good_calls").status == "unknown"
    assert "_lock" in check(verdict, "good_calls").text
    (verdict,) = shop.judge(shop.candidate(DESK.replace("self.names,", "self.nams,"), "desk.py"))
    assert check(verdict, "good_calls").status == "failed"
