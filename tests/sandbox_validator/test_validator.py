"""Judging patches on real projects: which checks run, what they say, what the score rests on."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from selfheal_engine.model import Diagnosis, Reproducer
from selfheal_engine.sandbox_validator import SandboxValidator
from tests.sandbox_validator.conftest import (
    FIX,
    ORDERS,
    MakeShop,
    Shop,
    check,
)


# ------------------------------------------------------------- what kills a patch
def test_a_good_patch_is_plausible_with_its_evidence(shop: Shop) -> None:
    verdict = shop.judge(shop.fixed())[0]
    assert verdict.plausible
    assert check(verdict, "reproducer").n == 1
    assert check(verdict, "good_calls").n == 1
    assert check(verdict, "tests").n == 3
    assert check(verdict, "coverage").status == "passed"
    assert verdict.safety is not None
    assert verdict.safety > 80


def test_a_patch_that_changes_nothing_still_shows_the_bug(shop: Shop) -> None:
    verdict = shop.judge(shop.candidate(ORDERS + "\n\nEXTRA = 1\n"))[0]
    assert check(verdict, "reproducer").status == "failed"
    assert "orders.py:5" in check(verdict, "reproducer").text
    assert verdict.check("tests") is None  # cheaper checks come first


def test_another_exception_in_place_of_the_first_is_no_repair(shop: Shop) -> None:
    worse = ORDERS.replace('order["address"]', 'order["street"]')
    verdict = shop.judge(shop.candidate(worse))[0]
    assert check(verdict, "reproducer").status == "failed"
    assert "KeyError" in check(verdict, "reproducer").text


def test_an_undefined_name_is_found_without_running(shop: Shop) -> None:
    verdict = shop.judge(shop.candidate(ORDERS.replace("street.upper()", "stret.upper()")))[0]
    assert check(verdict, "lint").status == "failed"
    assert "stret" in check(verdict, "lint").text


def test_a_syntax_error_is_found_first(shop: Shop) -> None:
    verdict = shop.judge(shop.candidate("def label(:\n"))[0]
    assert [c.name for c in verdict.checks] == ["parses"]


def test_a_patch_that_breaks_another_function_fails_the_tests(shop: Shop) -> None:
    broken = ORDERS.replace(*FIX).replace("result += price", "result -= price")
    verdict = shop.judge(shop.candidate(broken))[0]
    assert check(verdict, "tests").status == "failed"
    assert "test_total" in check(verdict, "tests").text
    assert verdict.safety is None


def test_a_changed_result_of_a_good_call_is_told_leaf_by_leaf(shop: Shop) -> None:
    changed = ORDERS.replace(*FIX).replace(".strip().upper()", ".strip().title() + '!'")
    verdict = shop.judge(shop.candidate(changed))[0]
    assert check(verdict, "good_calls").text == 'label: value is "A!", was "A"'
    assert not verdict.plausible


def test_another_kind_of_result_than_good_calls_give_is_told(shop: Shop) -> None:
    changed = ORDERS.replace(*FIX).replace('return ""', "return None")
    verdict = shop.judge(shop.candidate(changed))[0]
    assert check(verdict, "shape").status == "failed"
    good = shop.judge(shop.fixed())[0]
    assert good.safety is not None
    assert verdict.safety is not None
    assert verdict.safety < good.safety


def test_a_refusal_that_the_project_catches_by_name_is_an_answer(make_shop: MakeShop) -> None:
    handler = """\
from errors import NoAddress
from orders import label


def show(order):
    try:
        return label(order)
    except NoAddress:
        return "-"
"""
    shop = make_shop({"errors.py": "class NoAddress(Exception):\n    pass\n", "pages.py": handler})
    guard = FIX[1].replace('return ""', 'raise NoAddress("no address")')
    refusing = "from errors import NoAddress\n\n" + ORDERS.replace(FIX[0], guard)
    unknown = ORDERS.replace(FIX[0], guard.replace("NoAddress", "LookupError"))
    good, bad = shop.judge(
        shop.candidate(refusing, name="good"), shop.candidate(unknown, name="bad")
    )
    assert check(good, "reproducer").status == "passed", check(good, "reproducer")
    assert check(bad, "reproducer").status == "failed"


def test_verdicts_come_in_the_order_of_the_candidates(shop: Shop) -> None:
    names = [f"c{n}" for n in range(5)]
    heard: list[str] = []
    candidates = [shop.candidate(ORDERS.replace(*FIX), name=name) for name in names]
    verdicts = shop.validator.validate(
        candidates, shop.diagnosis, shop.occurrence, lambda v: heard.append(v.candidate)
    )
    assert [v.candidate for v in verdicts] == names
    assert sorted(heard) == names


def test_a_bomb_in_one_candidate_leaves_its_neighbours_verdict_alone(shop: Shop) -> None:
    bombs = {
        "forks": "    while True:\n        __import__('os').fork()\n",
        "memory": "    held = []\n    while True:\n        held.append('x' * (1 << 24))\n",
        "disk": "    open('big', 'w').write('x' * (1 << 30))\n",
    }
    candidates = [shop.fixed()]
    for name, body in bombs.items():
        text = ORDERS.replace("def label(order):\n", "def label(order):\n" + body)
        candidates.append(shop.candidate(text, name=name))
    verdicts = shop.judge(*candidates)
    assert verdicts[0].plausible
    assert not any(verdict.plausible for verdict in verdicts[1:])


# ------------------------------------------------------------- without evidence
def test_nothing_replayable_and_no_tests_cap_the_score(make_shop: MakeShop) -> None:
    shop = make_shop(tests=("python", "-m", "pytest", "-q", "nowhere"), reproducers=())
    verdict = shop.judge(shop.candidate(ORDERS + "\n\ndef unused():\n    return 1\n"))[0]
    assert check(verdict, "reproducer").status == "unknown"
    assert verdict.plausible
    assert verdict.safety is not None
    assert verdict.safety <= 50


def test_a_reproducer_that_shows_nothing_on_the_unpatched_tree_is_not_believed(
    make_shop: MakeShop,
) -> None:
    harmless = Reproducer(
        "call",
        module="orders",
        file="orders.py",
        functions=("total",),
        arguments=('{"$":"d","v":{"args":[[1]],"kwargs":{"$":"d","v":{}}}}',),
        exception="KeyError",
        crash_file="orders.py",
        crash_function="total",
    )
    shop = make_shop(reproducers=(harmless,))
    verdict = shop.judge(shop.fixed())[0]
    assert check(verdict, "reproducer").status == "unknown"
    assert "did not show the bug again" in check(verdict, "reproducer").text


# ------------------------------------------------------------- runners of tests
UNITTEST = """\
import unittest

from orders import label, total


class Orders(unittest.TestCase):
    def test_label(self):
        self.assertEqual(label({"address": " a "}), "A")

    def test_total(self):
        self.assertEqual(total([1, 2]), 3)

    @unittest.skip("later")
    def test_later(self):
        raise ValueError
"""


def test_a_unittest_suite_is_understood(make_shop: MakeShop) -> None:
    shop = make_shop({"test_orders.py": UNITTEST}, tests=("python", "-m", "unittest", "-q"))
    good, bad = shop.judge(
        shop.fixed(),
        shop.candidate(ORDERS.replace(*FIX).replace("+= price", "-= price"), name="bad"),
    )
    assert check(good, "tests").n == 2
    assert good.plausible
    assert "test_total" in check(bad, "tests").text


def test_a_plain_command_speaks_by_its_exit_code(make_shop: MakeShop) -> None:
    script = "import sys\nimport orders\nsys.exit(orders.total([1, 2]) != 3)\n"
    shop = make_shop({"check": script}, tests=(sys.executable, "check"))
    good, bad = shop.judge(
        shop.fixed(),
        shop.candidate(ORDERS.replace(*FIX).replace("+= price", "-= price"), name="bad"),
    )
    assert check(good, "tests").status == "passed"
    assert check(bad, "tests").status == "failed"


def test_a_test_that_failed_before_does_not_count_against_a_patch(make_shop: MakeShop) -> None:
    more = "\n\ndef test_known_to_fail():\n    assert total([1]) == 2\n"
    shop = make_shop({"test_more.py": "from orders import total\n" + more})
    assert shop.judge(shop.fixed())[0].plausible


def test_a_flaky_test_is_quarantined_and_rejects_no_good_patch(make_shop: MakeShop) -> None:
    flaky = (
        "import os, pytest\n\n\n@pytest.mark.parametrize('n', range(40))\ndef test_moody(n):\n"
        "    assert os.urandom(1)[0] >= 26\n"  # fails one time in ten
    )
    shop = make_shop({"test_moody.py": flaky})
    verdicts = shop.judge(*[replace(shop.fixed(), id=f"fixed{n}") for n in range(3)])
    assert [v.plausible for v in verdicts] == [True] * 3, [v.check("tests") for v in verdicts]
    assert any("flaky" in check(verdict, "tests").text for verdict in verdicts)


def test_a_suite_that_cannot_start_is_no_verdict_on_the_patch(make_shop: MakeShop) -> None:
    shop = make_shop({"conftest.py": "import nowhere_to_be_found\n"})
    verdict = shop.judge(shop.fixed())[0]
    assert check(verdict, "tests").status == "skipped"
    assert "cannot be used" in check(verdict, "tests").text
    assert verdict.plausible


def test_a_failing_test_can_be_the_reproducer(make_shop: MakeShop) -> None:
    wanted = "from orders import label\n\n\ndef test_guest():\n"
    wanted += "    assert label({'address': None}) == ''\n"
    reproducer = Reproducer("test", test="test_guest.py::test_guest")
    shop = make_shop({"test_guest.py": wanted}, reproducers=(reproducer,))
    good, bad = shop.judge(
        shop.fixed(),
        shop.candidate(ORDERS.replace(*FIX).replace('return ""', 'return "-"'), name="bad"),
    )
    assert good.plausible
    assert "still fails" in check(bad, "reproducer").text


# ------------------------------------------------------------- limits and faults
def test_tests_that_hit_the_sandboxs_limits_are_infrastructure(make_shop: MakeShop) -> None:
    hungry = "def test_hungry():\n    held = bytearray(b'x' * (96 << 20))\n    assert held\n"
    shop = make_shop()
    (shop.root / "test_hungry.py").write_text(hungry)
    baseline = shop.judge(shop.fixed())[0]
    assert baseline.plausible
    small = SandboxValidator(
        shop.validator.project,
        replace(shop.validator.settings, sandbox_memory_mb=96, state_dir=str(shop.root / ".state")),
    )
    try:
        small.baseline(shop.diagnosis, shop.occurrence)
        verdict = small.validate(
            [shop.fixed()], shop.diagnosis, shop.occurrence, lambda verdict: None
        )[0]
    finally:
        small.close()
    tests = verdict.check("tests")
    assert tests is None or tests.status in ("skipped", "infrastructure")


def test_a_lost_warm_server_costs_time_and_nothing_else(make_shop: MakeShop) -> None:
    shop = make_shop()
    warm = shop.validator._workshop.warm
    assert warm is not None
    assert shop.judge(shop.fixed())[0].plausible
    warm.close()
    assert shop.judge(shop.fixed())[0].plausible


def test_the_tests_baseline_is_kept_while_the_tree_stands(make_shop: MakeShop) -> None:
    shop = make_shop()
    kept = list((Path(shop.validator.settings.state_dir) / "baselines").glob("*.json"))
    assert len(kept) == 1
    again = SandboxValidator(shop.validator.project, shop.validator.settings)
    try:
        again.prepare()
        assert again._own.known == shop.validator._own.known
    finally:
        again.close()


# ------------------------------------------------------------- other reproducers
STORE = """\
import threading
import urllib.request

_cache = {}


def strip(visitor):
    if visitor not in _cache:
        _cache[visitor] = visitor * 50
    return _cache[visitor]


_drawn = {}


def draw(name, size):
    if (name, size) not in _drawn:
        _drawn[name, size] = bytes(size * size)
    return _drawn[name, size]


def fetch(url):
    return urllib.request.urlopen(url).read()


class Stock:
    def __init__(self):
        self.first = threading.Lock()
        self.second = threading.Lock()
        self.sold = 0

    def sell(self):
        with self.first:
            with self.second:
                self.sold += 1

    def buy(self):
        with self.second:
            with self.first:
                self.sold -= 1


class Counter:
    def __init__(self):
        self.count = 0
        self.lock = threading.Lock()

    def add(self):
        count = self.count
        self.count = count + 1
"""

OTHERS = {
    "growth": (
        Reproducer(
            "growth",
            module="store",
            functions=("strip",),
            arguments=('{"$":"d","v":{"args":["v"],"kwargs":{"$":"d","v":{}}}}',),
        ),
        (
            "        _cache[visitor] =",
            "        if len(_cache) > 200:\n            _cache.clear()\n        _cache[visitor] =",
        ),
        ("visitor * 50", "visitor * 40"),
    ),
    # a size that grew from call to call would fill even a bounded cache more and more
    "growth of large entries": (
        Reproducer(
            "growth",
            module="store",
            functions=("draw",),
            arguments=('{"$":"d","v":{"args":["logo",100],"kwargs":{"$":"d","v":{}}}}',),
        ),
        (
            "        _drawn[name, size] =",
            "        while len(_drawn) >= 300:\n            _drawn.pop(next(iter(_drawn)))\n"
            "        _drawn[name, size] =",
        ),
        ("bytes(size * size)", "bytes(size) * size"),
    ),
    "stall": (
        Reproducer(
            "stall",
            module="store",
            functions=("fetch",),
            arguments=('{"$":"d","v":{"args":["http://a.example/"],"kwargs":{"$":"d","v":{}}}}',),
        ),
        ("urlopen(url)", "urlopen(url, timeout=5)"),
        (".read()", ".read(100)"),
    ),
    "deadlock": (
        Reproducer(
            "interleaving",
            module="store",
            functions=("Stock.sell", "Stock.buy"),
            arguments=(
                '{"$":"d","v":{"args":[{"$":"object","c":["store","Stock"],"state":{'
                '"first":{"$":"fresh","v":"lock"},"second":{"$":"fresh","v":"lock"},"sold":0}}],'
                '"kwargs":{"$":"d","v":{}}}}',
                "",
            ),
        ),
        (
            "        with self.second:\n            with self.first:",
            "        with self.first:\n            with self.second:",
        ),
        ("self.sold -= 1", "self.sold -= 2"),
    ),
    "lost_update": (
        Reproducer(
            "interleaving",
            module="store",
            functions=("Counter.add",),
            arguments=(
                '{"$":"d","v":{"args":[{"$":"object","c":["store","Counter"],"state":{'
                '"lock":{"$":"fresh","v":"lock"},"count":0}}],"kwargs":{"$":"d","v":{}}}}',
            ),
        ),
        (
            "        count = self.count\n        self.count = count + 1",
            "        with self.lock:\n            count = self.count\n"
            "            self.count = count + 1",
        ),
        ("count + 1", "1 + count"),
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_raises_nothing_is_shown_before_and_gone_after(make_shop: MakeShop, kind: str) -> None:
    reproducer, right, wrong = OTHERS[kind]
    assert right[0] in STORE
    assert wrong[0] in STORE
    shop = make_shop({"store.py": STORE}, reproducers=(reproducer,))
    good, bad = shop.judge(
        shop.candidate(STORE.replace(*right), "store.py", "good"),
        shop.candidate(STORE.replace(*wrong), "store.py", "bad"),
    )
    assert check(good, "reproducer").status == "passed", check(good, "reproducer")
    assert check(bad, "reproducer").status == "failed"


def test_giving_up_in_time_with_an_error_that_is_caught_by_name_ends_a_stall(
    make_shop: MakeShop,
) -> None:
    reproducer, (plain, limited), _ = OTHERS["stall"]
    pages = "import store\n\n\ndef show(url):\n    try:\n        return store.fetch(url)\n"
    pages += "    except store.Silent:\n        return '-'\n"
    own = STORE + "\n\nclass Silent(Exception):\n    pass\n"
    shop = make_shop({"store.py": own, "pages.py": pages}, reproducers=(reproducer,))
    line = f"    return urllib.request.{plain}.read()\n"
    assert line in own

    def raising(error: str) -> str:
        held = "    try:\n    " + line.replace(plain, limited)
        return own.replace(line, f"{held}    except OSError:\n        raise {error}('late')\n")

    good, bad = shop.judge(
        shop.candidate(raising("Silent"), "store.py", "good"),
        shop.candidate(raising("KeyError"), "store.py", "bad"),
    )
    assert check(good, "reproducer").status == "passed", check(good, "reproducer")
    assert check(bad, "reproducer").status == "failed"


def test_a_module_that_does_not_import_is_its_own_reproducer(make_shop: MakeShop) -> None:
    broken = "def f(:\n    return 1\n"
    reproducer = Reproducer(
        "import", module="extra", file="extra.py", exception="SyntaxError", crash_file="extra.py"
    )
    shop = make_shop({"extra.py": broken}, reproducers=(reproducer,))
    good, bad = shop.judge(
        shop.candidate("def f():\n    return 1\n", "extra.py", "good"),
        shop.candidate("import nowhere_at_all\n\n\ndef f():\n    return 1\n", "extra.py", "bad"),
    )
    assert good.plausible, good.checks
    assert not bad.plausible


def test_without_isolation_nothing_is_judged(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from selfheal_engine.errors import SandboxUnavailableError
    from selfheal_engine.sandbox_validator import validator
    from selfheal_engine.sandbox_validator.wall import IsolationLevel

    monkeypatch.setattr(validator, "level", lambda: IsolationLevel(3, "no namespaces", "do this"))
    refused = SandboxValidator(shop.validator.project, shop.validator.settings)
    with pytest.raises(SandboxUnavailableError, match="do this"):
        refused.baseline(Diagnosis("null_check", (), (), ""), shop.occurrence)
    refused.close()
