"""Are leaks that a patch brings found, named by their line, and is benign growth let be?

    python -m tests.benchmarks.leaks [--seeds N] [--kind NAME ...]

Fourteen kinds of leak and twelve kinds of growth that ends or is none, each with sizes, bounds
and frequencies drawn from a seed. Each is a patch of a small function; its recorded good calls are
repeated behind the wall as for every candidate, and the validator's own check speaks. Then a
suite with 10 % random failures judges good patches. Exit code 1 below 95 % of leaks found or
above 1 % of benign growth told.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from selfheal_agent import recording
from selfheal_engine.config import Settings
from selfheal_engine.model import GoodCall, Occurrence
from selfheal_engine.project import Project
from selfheal_engine.sandbox_validator import SandboxValidator, findings, replays
from selfheal_engine.sandbox_validator.baselines import Baseline
from selfheal_engine.sandbox_validator.jobs import Steps, Workshop
from selfheal_engine.sandbox_validator.limits import Limits
from selfheal_engine.sandbox_validator.warm import WarmServer
from tests.sandbox_validator.conftest import FIX, ORDERS, PYTEST, Shop, none_address, write_shop

BASE = """\
import bisect, collections, functools, itertools, json, logging, mmap, os, re
import socket, subprocess, threading, weakref

_CALLS = itertools.count()


class Node:
    def __init__(self):
        self.me = self


def handle(request):
    number = next(_CALLS)
    words = sorted(str(part) for part in range({work}))
    return {{"id": request["id"], "name": request["name"].upper(), "n": len(words)}}
"""
MARK = '    return {"id"'

LEAKS: dict[str, tuple[str, str]] = {
    "list": ("_KEPT = []", "_KEPT.append(bytes({size}))"),
    "dictionary": ("_KEPT = {{}}", "_KEPT[str(request), number] = [words[:2]]"),
    "unbounded cache": (
        "@functools.lru_cache(None)\ndef _made(key):\n    return key * 3",
        "_made(request['name'] + str(number))",
    ),
    "listener": ("_KEPT = []", "_KEPT.append(lambda: (request, number))"),
    "kept traceback": (
        "_KEPT = []",
        "try:\n            int('x')\n        except ValueError as why:\n"
        "            _KEPT.append(why)",
    ),
    "open file": ("_KEPT = []", "_KEPT.append(open(__file__))"),
    "descriptor": ("", "os.open(__file__, os.O_RDONLY)"),
    "socket": ("_KEPT = []", "_KEPT.append(socket.socketpair())"),
    "thread": (
        "_NEVER = threading.Event()",
        "threading.Thread(target=_NEVER.wait, daemon=True).start()",
    ),
    "child": ("", "os.posix_spawn('/bin/true', ['true'], {{}})"),
    "buffer": ("_KEPT = bytearray()", "_KEPT.extend(bytes({size}))"),
    "mapped memory": (
        "_KEPT = []",
        "area = mmap.mmap(-1, 16384)\n        area.write(b'x' * 16384)\n        _KEPT.append(area)",
    ),
    "log handler": ("", "logging.getLogger('shop').addHandler(logging.NullHandler())"),
    "suspended generator": (
        "_KEPT = []\n\n\ndef _steps(found):\n    yield found\n    yield found",
        "one = _steps(words)\n        next(one)\n        _KEPT.append(one)",
    ),
}
"""Kind -> (at the module's top, in the function); `{size}` is drawn."""

BENIGN: dict[str, tuple[str, str]] = {
    "bounded cache": (
        "@functools.lru_cache({bound})\ndef _made(key):\n    return key * 3",
        "_made(request['name'] + str(number))",
    ),
    "ring": ("_KEPT = collections.deque(maxlen={bound})", "_KEPT.append(bytes({size}))"),
    "few keys": ("_KEPT = {{}}", "_KEPT[number % {bound}] = [words[:2]]"),
    "flushed buffer": (
        "_KEPT = []",
        "_KEPT.append(bytes({size}))\n        if len(_KEPT) > {flush}:\n            _KEPT.clear()",
    ),
    "first use": (
        "_KEPT = {{}}",
        "if not _KEPT:\n            _KEPT.update((n, str(n)) for n in range({bound}))",
    ),
    "patterns": ("", "re.compile(request['name'] + str(number % {bound}))"),
    "cycle": ("", "Node()"),
    "weak references": (
        "_KEPT = weakref.WeakValueDictionary()",
        "node = Node()\n        _KEPT[number] = node",
    ),
    "closed file": ("", "open(__file__).close()"),
    "joined thread": (
        "",
        "one = threading.Thread(target=len, args=('',))\n        one.start()\n        one.join()",
    ),
    "pool": (
        "_KEPT = []",
        "if len(_KEPT) < {pool}:\n            _KEPT.append(socket.socketpair())",
    ),
    "large and gone": ("", "bytes({size} * 1000)"),
}


def patched(kind: tuple[str, str], draw: random.Random) -> tuple[str, str, int]:
    """(text before, text with the growth, its line) with what is drawn filled in."""
    filled = {
        "size": draw.randrange(100, 3000),
        "bound": draw.randrange(4, 700),
        "flush": draw.randrange(3, 200),
        "pool": draw.randrange(1, 12),
    }
    top, inside = (text.format(**filled) for text in kind)
    before = BASE.format(work=draw.randrange(5, 60))
    every = draw.choice((1, 1, 2, 3))
    lines = f"    if number % {every} == 0:\n        {inside}\n"
    after = before.replace("\n\ndef handle", f"\n\n{top}\n\n\ndef handle") if top else before
    after = after.replace(MARK, lines + MARK)
    return before, after, after[: after.index(lines)].count("\n") + 2


def occurrence(root: Path) -> Occurrence:
    calls = [
        recording.encode({"args": [{"id": n, "name": name}], "kwargs": {}})
        for n, name in enumerate(("ann", "bob", "eve"))
    ]
    goods = tuple(
        GoodCall("handle", str(root / "service.py"), call, recording.encode({})) for call in calls
    )
    return Occurrence("o", "exception", 0.0, 1, "KeyError", "", (), good_calls=goods)


class Bench:
    """One small project, and a warm server that tries one patched text after the other."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "service.py").write_text(BASE.format(work=5))
        project = Project(root, sys.executable)
        libraries = ("json", "logging", "mmap", "socket", "subprocess", "weakref", "bisect")
        self.workshop = Workshop(project, Limits())
        self.workshop.warm = WarmServer(project, libraries, Limits(), 2)
        self.steps = replays.cost_step(replays.good_steps(occurrence(root), project))

    def told(self, before: str, after: str) -> tuple[bool, str]:
        """Whether the memory check fails, and what it says."""
        outcomes = [self._cost(text) for text in (before, after)]
        base = Baseline(cost=outcomes[0].outcome("cost"))
        for check in findings.cost(outcomes[1], base):
            if check.name == "memory":
                return check.status == "failed", check.text
        return False, f"no memory check: {outcomes[1].outcome('cost')}"

    def _cost(self, text: str):  # type: ignore[no-untyped-def]
        steps = Steps(modules=("service",), steps=tuple(self.steps))
        return self.workshop.replay(steps, {"service.py": text.encode()})

    def close(self) -> None:
        if self.workshop.warm is not None:
            self.workshop.warm.close()


def told_of(
    bench: Bench, kinds: dict[str, tuple[str, str]], seeds: int, leak: bool
) -> tuple[int, int, int]:
    """(told, named by its line, all), with a row for each kind."""
    total = [0, 0, 0]
    for name, kind in kinds.items():
        found = named = 0
        for seed in range(seeds):
            before, after, line = patched(kind, random.Random(f"{name} {seed}"))
            told, text = bench.told(before, after)
            found += told
            place = text.rpartition("service.py:")[2]
            near = place.isdigit() and abs(int(place) - line) <= 3
            # what a helper made for the function is kept at the helper's line
            helper = place.isdigit() and 0 < int(place) < line and "def _" in kind[0]
            named += told and (near or helper)
            if told != leak or (leak and not (near or helper)):
                print(f"    {name} {seed}: {text}")
        print(f"  {name:22} told {found:3} of {seeds}" + (f", named {named}" if leak else ""))
        total = [total[0] + found, total[1] + named, total[2] + seeds]
    return total[0], total[1], total[2]


MOODY = """\
import random

import pytest

from orders import label, total


@pytest.mark.parametrize("number", range(20))
def test_moody(number):
    assert random.SystemRandom().random() > 0.1
    assert total([number, 1]) == number + 1
    assert label({"address": "a"}) == "A"
"""


def rejected_by_moody_tests(root: Path, patches: int) -> tuple[int, bool]:
    """Good patches rejected by a suite with 10 % random failures; whether a bad one still is."""
    write_shop(root, MOODY)
    settings = Settings(state_dir=str(root.parent / "state"))
    validator = SandboxValidator(Project(root, sys.executable, PYTEST), settings)
    try:
        diagnosis, seen = none_address(root)
        validator.baseline(diagnosis, seen)
        shop = Shop(root, validator, diagnosis, seen)
        good = [shop.candidate(f"# {n}\n" + ORDERS.replace(*FIX), name=f"g{n}") for n in range(patches)]  # fmt: skip  # noqa: E501
        bad = shop.candidate(ORDERS.replace(*FIX).replace("result += price", "result -= price"))
        verdicts = shop.judge(*good)
        return sum(not v.plausible for v in verdicts), not shop.judge(bad)[0].plausible
    finally:
        validator.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--kind", action="append", default=[], help="only these, repeatable")
    parser.add_argument("--patches", type=int, default=20, help="judged by the moody suite")
    given = parser.parse_args()

    def chosen(kinds: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
        return {n: kind for n, kind in kinds.items() if not given.kind or n in given.kind}

    with tempfile.TemporaryDirectory(prefix="leaks-") as folder:
        root = Path(folder).resolve() / "service"
        root.mkdir()
        bench = Bench(root)
        try:
            found, named, leaks = told_of(bench, chosen(LEAKS), given.seeds, leak=True)
            false, _, benign = told_of(bench, chosen(BENIGN), given.seeds, leak=False)
        finally:
            bench.close()
        print(f"leaks found {found} of {leaks}, named by their line {named}")
        print(f"benign growth told {false} of {benign}")
        if given.patches and not given.kind:
            rejected, bad = rejected_by_moody_tests(root.parent / "shop", given.patches)
            print(f"10 % random failures: {rejected} of {given.patches} good patches rejected, "
                  f"the bad one {'is' if bad else 'IS NOT'}")  # fmt: skip
    return 0 if found >= 0.95 * leaks and false <= 0.01 * benign else 1


if __name__ == "__main__":
    sys.exit(main())
