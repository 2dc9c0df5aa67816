"""What other threads change, and what a module kept, is there again when a failure is replayed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from selfheal_engine.model import Frame, Reproducer, RequestRecord
from tests.sandbox_validator.conftest import MakeShop, check

BOARD = """\
import threading

_lock = threading.Lock()
_online = {}
_seats = set()


def names(prefix):
    found = []
    for name in _online:
        if name.startswith(prefix):
            found.append(name)
    return found


def beat(name):
    _online[name] = 1


def free():
    return [seat for seat in _seats if seat % 2]


def application(environ, start_response):
    total = _online["ada"] - 1
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(10 // total).encode()]
"""
LOCKED = BOARD.replace(
    """    for name in _online:
        if name.startswith(prefix):
            found.append(name)
""",
    """    with _lock:
        for name in _online:
            if name.startswith(prefix):
                found.append(name)
""",
)
GUARDED = "    with _lock:\n        _online[name] ="
NOTHING = '{"$":"d","v":{"args":[],"kwargs":{"$":"d","v":{}}}}'
KEPT = '"globals":{"$":"d","v":{"_online":{"$":"d","v":{"ada":1}}}}'


def changing(function: str, line: str, arguments: str, items: dict[str, Any]) -> Reproducer:
    return Reproducer(
        "iteration",
        module="board",
        file="board.py",
        functions=(function,),
        arguments=(arguments, json.dumps(items)),
        exception="RuntimeError",
        crash_file="board.py",
        crash_line=BOARD[: BOARD.index(line)].count("\n") + 1,
        crash_function=function,
    )


PATCHES = {
    "copy": (BOARD.replace("in _online:", "in list(_online):"), True),
    "lock": (
        LOCKED.replace("    _online[name] =", "    with _lock:\n        _online[name] ="),
        True,
    ),
    "lock of the reader alone": (LOCKED, False),
    "other words": (BOARD.replace("found = []", "found = list()"), False),
}


def test_a_loop_is_replayed_while_its_collection_changes(make_shop: MakeShop) -> None:
    text = {"type_name": "str", "text": "ada", "length": 3}
    reproducer = changing(
        "names",
        "for name in _online",
        '{"$":"d","v":{"args":["a"],"kwargs":{"$":"d","v":{}}}}',
        {"name": text},
    )
    shop = make_shop({"board.py": BOARD}, reproducers=(reproducer,))
    verdicts = shop.judge(*(shop.candidate(t, "board.py", n) for n, (t, _) in PATCHES.items()))
    passed = {
        name: check(verdict, "reproducer").status == "passed"
        for name, verdict in zip(PATCHES, verdicts, strict=True)
    }
    assert passed == {name: right for name, (_, right) in PATCHES.items()}


def test_a_comprehension_over_a_set_is_one_too(make_shop: MakeShop) -> None:
    seat = {"type_name": "int", "text": "3"}
    reproducer = changing(
        "free",
        "return [seat",
        '{"$":"d","v":{"args":[],"kwargs":{"$":"d","v":{}}}}',
        {"seat": seat},
    )
    shop = make_shop({"board.py": BOARD}, reproducers=(reproducer,))
    good, bad = shop.judge(
        shop.candidate(BOARD.replace("in _seats if", "in tuple(_seats) if"), "board.py", "good"),
        shop.candidate(BOARD.replace("% 2]", "% 3]"), "board.py", "bad"),
    )
    assert check(good, "reproducer").status == "passed"
    assert check(bad, "reproducer").status == "failed"


def test_a_request_meets_the_state_that_it_met_then(make_shop: MakeShop) -> None:
    request = RequestRecord("GET", "/", "", (), b"", app="board:application")
    reproducer = Reproducer(
        "request", request=request, exception="ZeroDivisionError", crash_function="application"
    )
    arguments = '{"$":"d","v":{"args":[],"kwargs":{"$":"d","v":{}},' + KEPT + "}}"
    shop = make_shop({"board.py": BOARD})
    frame = Frame(str(shop.root / "board.py"), 23, "application", own=True, arguments=arguments)
    occurrence = replace(shop.occurrence, frames=(frame,), good_calls=())
    diagnosis = replace(shop.diagnosis, reproducers=(reproducer,))
    shop.validator.baseline(diagnosis, occurrence)
    patch = shop.candidate(BOARD.replace("10 // total", "total and 10 // total"), "board.py")
    verdict = shop.validator.validate([patch], diagnosis, occurrence, lambda verdict: None)[0]
    assert check(verdict, "reproducer").status == "passed", check(verdict, "reproducer")


DESK = """\
import threading


class Desk:
    def __init__(self):
        self.waiting = {}
        self.taken = {}
        self.lock = threading.Lock()

    def take(self, who):
        if not self.waiting:
            return None
        number = min(self.waiting)
        label = f"{who} takes {number}"
        what = self.waiting.pop(number)
        self.taken[number] = label
        return what
"""
TAKE = DESK[DESK.index("        if not self.waiting") : DESK.index("        self.taken[number]")]
TOGETHER = "        with self.lock:\n" + "".join(f"    {line}\n" for line in TAKE.splitlines())
DESKS = {
    "lock": (DESK.replace(TAKE, TOGETHER), True),
    "nothing is taken though something waits": (
        DESK.replace(
            "        what = self.waiting.pop(number)\n",
            "        what = self.waiting.pop(number, None)\n"
            "        if what is None:\n            return None\n",
        ),
        False,
    ),
    "other words": (DESK.replace("if not self.waiting", "if len(self.waiting) == 0"), False),
}


def test_what_was_taken_by_another_thread_is_replayed_by_several_at_once(
    make_shop: MakeShop,
) -> None:
    jobs = json.dumps([[n, f"job {n}"] for n in range(40)])
    desk = (
        '{"$":"object","c":["desk","Desk"],"state":{"waiting":{"$":"dict","v":' + jobs + "},"
        '"taken":{"$":"dict","v":[]},"lock":{"$":"fresh","v":"lock"}}}'
    )
    reproducer = Reproducer(
        "interleaving",
        module="desk",
        file="desk.py",
        functions=("Desk.take",),
        arguments=('{"$":"d","v":{"args":[' + desk + ',"ada"],"kwargs":{"$":"d","v":{}}}}',),
        exception="KeyError",
        crash_file="desk.py",
        crash_function="Desk.take",
    )
    shop = make_shop({"desk.py": DESK}, reproducers=(reproducer,))
    verdicts = shop.judge(*(shop.candidate(t, "desk.py", n) for n, (t, _) in DESKS.items()))
    passed = {
        name: check(verdict, "reproducer").status == "passed"
        for name, verdict in zip(DESKS, verdicts, strict=True)
    }
    assert passed == {name: right for name, (_, right) in DESKS.items()}
