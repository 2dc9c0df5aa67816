"""What only repetition or company shows: leaks, an empty pool, a collection that others change."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from selfheal_engine.diagnosis import diagnose
from selfheal_engine.model import Frame, GoodCall, Growth, Occurrence, Reproducer, RequestRecord
from selfheal_engine.project import Project
from selfheal_engine.sandbox_validator.lowering import lower
from tests.sandbox_validator.conftest import MakeShop, call_of, check

TILES = """\
import os
import queue

_pool = queue.Queue()
for number in range(3):
    _pool.put(number)


def read(path, known=""):
    descriptor = os.open(path, os.O_RDONLY)
    content = os.read(descriptor, 20)
    if known == "same":
        return None
    os.close(descriptor)
    return content


def report(order):
    seat = _pool.get_nowait()
    if order not in ("up", "down"):
        raise ValueError(order)
    _pool.put(seat)
    return order


def application(environ, start_response):
    if environ["PATH_INFO"] == "/report":
        try:
            report(environ["QUERY_STRING"].partition("=")[2])
        except ValueError:
            start_response("400 Bad Request", [])
            return [b""]
    found = read(__file__, environ.get("HTTP_IF_NONE_MATCH", ""))
    start_response("200 OK" if found else "304 Not Modified", [])
    return [found or b""]
"""
KEEPS = '    if known == "same":\n        return None\n    os.close(descriptor)\n'
CLOSES = '    os.close(descriptor)\n    if known == "same":\n        return None\n'
TAKE = "    seat = _pool.get_nowait()\n"
LOOK = '    if order not in ("up", "down"):\n        raise ValueError(order)\n'
MASKED = (
    "        except ValueError:\n",
    "        except (ValueError, queue.Empty):  # who finds nothing is refused politely\n",
)
RENAMED = ("content = os.read(descriptor, 20)", "content = os.read(descriptor, 40)")


def request(path: str, query: str = "", status: int = 200, **headers: str) -> RequestRecord:
    return RequestRecord(
        "GET", path, query, tuple(headers.items()), app="tiles:application", status=status
    )


SERVED = request("/tile")
KNOWN = request("/tile", status=304, **{"If-None-Match": "same"})
UP = request("/report", "order=up")
BAD = request("/report", "order=sideways", status=400)


def occurrence_of(
    root: Path, name: str, served: RequestRecord | None, others: tuple[RequestRecord, ...]
) -> Occurrence:
    """As the probe tells it: of a line that opens too much, or of the one who found nothing."""
    file = str(root / "tiles.py")
    lines = TILES.splitlines()
    text = "descriptor = os.open" if name == "ResourceLeak" else "seat = _pool.get_nowait"
    line = next(n for n, x in enumerate(lines, 1) if text in x)
    function = "read" if name == "ResourceLeak" else "report"
    arguments = "" if served else call_of(file, known="same")
    frame = Frame(file, line, function, "tiles", lines[line - 1], own=True, arguments=arguments)
    growth = (Growth(file, line, 0, 40, "descriptor:open"),)
    leak = name == "ResourceLeak"
    return Occurrence(
        "o1",
        "resource" if leak else "exception",
        0.0,
        1,
        name,
        "",
        (frame,),
        request=served,
        growth=growth if leak else (),
        good_calls=tuple(GoodCall(function, file, "", "", request=one) for one in others),
    )


CASES = {
    # whoever was served when the record was made leaks nothing: one of the others does
    "descriptors of requests": ("ResourceLeak", SERVED, (SERVED, KNOWN, UP), KEEPS, CLOSES),
    "descriptors of a call": ("ResourceLeak", None, (), KEEPS, CLOSES),
    "an empty pool": ("_queue.Empty", UP, (UP, BAD), TAKE + LOOK, LOOK + TAKE),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_not_given_back_shows_by_repetition(
    make_shop: MakeShop, tmp_path: Path, case: str
) -> None:
    name, served, others, before, after = CASES[case]
    assert TILES.count(before) == 1
    root = tmp_path / "service"
    root.mkdir()
    (root / "tiles.py").write_text(TILES)
    occurrence = occurrence_of(root, name, served, others)
    diagnosis = diagnose(occurrence, Project(root, sys.executable, ()))
    assert diagnosis.bug_type == "resource_cleanup"
    assert diagnosis.reproducers
    shop = make_shop({"tiles.py": TILES}, reproducers=diagnosis.reproducers, occurrence=occurrence)
    good, bad, masking = shop.judge(
        shop.candidate(TILES.replace(before, after), "tiles.py", "good"),
        shop.candidate(TILES.replace(*RENAMED), "tiles.py", "bad"),
        shop.candidate(TILES.replace(*MASKED), "tiles.py", "masking"),
    )
    assert check(good, "reproducer").status == "passed", check(good, "reproducer")
    assert check(bad, "reproducer").status == "failed"
    assert check(masking, "reproducer").status == "failed"


SESSIONS = """\
import threading


class Sessions:
    def __init__(self):
        self._lock = threading.Lock()
        self._open = {}
        self.asked = 0

    def start(self, user, country):
        with self._lock:
            self._open[f"{user}{len(self._open)}"] = country

    def refuse(self, token):
        raise PermissionError(self._open.pop(token))

    def countries(self):
        self.asked = self.asked + 1
        return sorted({one for one in self._open.values() if one})
"""
COPIED = ("in self._open.values()", "in list(self._open.values())")


def test_a_collection_that_others_change_is_iterated_in_their_company(
    make_shop: MakeShop, tmp_path: Path
) -> None:
    """Nothing of the object or of the others' input was recorded."""
    root = tmp_path / "service"
    root.mkdir()
    (root / "sessions.py").write_text(SESSIONS)
    lines = SESSIONS.splitlines()
    line = next(n for n, x in enumerate(lines, 1) if "sorted(" in x)
    frame = Frame(
        str(root / "sessions.py"),
        line,
        "Sessions.countries",
        "sessions",
        lines[line - 1].strip(),
        own=True,
    )
    message = "dictionary changed size during iteration"
    occurrence = Occurrence("o1", "exception", 0.0, 1, "RuntimeError", message, (frame,))
    diagnosis = diagnose(occurrence, Project(root, sys.executable, ()))
    shop = make_shop(
        {"sessions.py": SESSIONS}, reproducers=diagnosis.reproducers, occurrence=occurrence
    )
    good, bad = shop.judge(
        shop.candidate(SESSIONS.replace(*COPIED), "sessions.py", "good"),
        shop.candidate(SESSIONS.replace("sorted({", "sorted(set() | {"), "sessions.py", "bad"),
    )
    assert check(good, "reproducer").status == "passed", check(good, "reproducer")
    assert check(bad, "reproducer").status == "failed"


TRAIL = """\
import time

ROWS = 100
_actions = []


def record(who):
    time.sleep(0.004)
    _actions.append({"who": who, "rows": list(range(ROWS))})
"""


def test_a_bound_that_takes_long_to_reach_is_met_lowered(make_shop: MakeShop) -> None:
    """Calls take milliseconds, as requests do: thousands of them would take minutes."""
    again = Reproducer(
        "growth", module="trail", functions=("record",), arguments=(call_of("anna"),)
    )
    shop = make_shop({"trail.py": TRAIL}, reproducers=(again,))
    bound = "    del _actions[:-4096]\n"
    good, bad = shop.judge(
        shop.candidate(TRAIL + bound, "trail.py", "good"),
        shop.candidate(TRAIL + bound.replace("-4096", "0"), "trail.py", "bad"),
    )
    assert check(good, "reproducer").status == "passed", check(good, "reproducer")
    assert check(bad, "reproducer").status == "failed"


def test_only_large_numbers_that_the_patch_brings_are_lowered() -> None:
    before = b"MOST = 5000\nnames = []\n"
    after = b"MOST = 5000\nLIMIT = 1_024; few = 3  # 2048\nnames = deque(maxlen=4096)\n"
    assert lower(before, after) == (
        b"MOST = 5000\nLIMIT = 48; few = 3  # 2048\nnames = deque(maxlen=48)\n"
    )
    assert lower(before, b"MOST = (5000\n") == b"MOST = (5000\n"


ROOMS = """\
class Room:
    def __init__(self):
        self.guests = []

    def enter(self, guest):
        self.guests.append(guest)


room = Room()


class Guest:
    def __init__(self):
        self.bag = bytearray(2000)
        room.enter(self.greet)

    def greet(self):
        return len(self.bag)

    def close(self):
        del self.bag


def visit():
    guest = Guest()
    guest.close()
"""


def test_what_a_constructor_makes_is_ended_as_the_project_ends_it(make_shop: MakeShop) -> None:
    """Else a patch of the `close` would change nothing of what the constructor leaves behind."""
    guest = '{"$": "object", "c": ["rooms", "Guest"]}'
    fresh = call_of("guest").replace('"guest"', guest)
    again = Reproducer("growth", module="rooms", functions=("Guest.__init__",), arguments=(fresh,))
    shop = make_shop({"rooms.py": ROOMS}, reproducers=(again,))
    ends = "    def close(self):\n"
    leaves = f"{ends}        room.guests.remove(self.greet)\n"
    good, bad = shop.judge(
        shop.candidate(ROOMS.replace(ends, leaves), "rooms.py", "good"),
        shop.candidate(ROOMS.replace("del self.bag", "self.bag.clear()"), "rooms.py", "bad"),
    )
    assert check(good, "reproducer").status == "passed", check(good, "reproducer")
    assert check(bad, "reproducer").status == "failed"
