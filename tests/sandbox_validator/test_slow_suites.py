"""Suites that take longer than somebody waits for: the tests of the patched code come first."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from selfheal_engine.model import Candidate, Verdict
from selfheal_engine.sandbox_validator import inside
from selfheal_engine.sandbox_validator.baselines import Tests
from selfheal_engine.sandbox_validator.own_tests import touched
from tests.sandbox_validator.conftest import FIX, ORDERS, MakeShop, Shop, check

NEWER = Path.home() / ".pyenv" / "versions"
PYTHONS = [sys.executable, *map(str, sorted(NEWER.glob("3.1[2-9]*/bin/python")))]
"""From 3.12 on functions are watched in another way."""
BROKEN = ORDERS.replace(*FIX).replace("result += price", "result -= price")
SLOW = """\
import time

import pytest


@pytest.mark.parametrize("number", range(12))
def test_other_things(number):
    time.sleep(0.1)
"""
UNITTEST = """\
import time
import unittest

from orders import label, total


class Apart(unittest.TestCase):
{slow}

class Orders(unittest.TestCase):
    def test_label(self):
        self.assertEqual(label({{"address": "a"}}), "A")

    def test_total(self):
        self.assertEqual(total([1, 2]), 3)
"""


def verdict(shop: Shop, text: str, *functions: str) -> Verdict:
    return shop.judge(replace(shop.candidate(text), functions=functions))[0]


@pytest.fixture(params=["pytest", "unittest"])
def slow_shop(request: pytest.FixtureRequest, make_shop: MakeShop) -> Shop:
    """Twelve slow tests that have nothing to do with it come before those of the orders."""
    if request.param == "pytest":
        return make_shop({"test_a.py": SLOW}, test_budget_s=0.5)
    slow = "".join(f"    def test_{n}(self):\n        time.sleep(0.1)\n\n" for n in range(12))
    files = {"test_orders.py": UNITTEST.format(slow=slow)}
    return make_shop(files, tests=("python", "-m", "unittest", "-q"), test_budget_s=0.5)


def test_what_runs_the_patched_code_comes_first_and_the_rest_as_time_allows(
    slow_shop: Shop,
) -> None:
    tests = check(verdict(slow_shop, ORDERS.replace(*FIX), "label"), "tests")
    assert tests.status == "passed"
    assert "the time did not suffice" in tests.text
    assert 1 <= tests.n < 12


def test_a_regression_is_found_though_its_test_is_the_last(slow_shop: Shop) -> None:
    tests = check(verdict(slow_shop, BROKEN, "label", "total"), "tests")
    assert tests.status == "failed"
    assert "test_total" in tests.text


def test_a_test_that_needs_those_before_it_is_excused(make_shop: MakeShop) -> None:
    before = SLOW + "\n\ndef test_ready():\n    import os\n    os.environ['READY'] = '1'\n"
    after = "import os\nfrom orders import label\n\n\ndef test_label_when_ready():\n"
    after += "    assert label({'address': 'a'}) == 'A'\n    assert os.environ['READY']\n"
    shop = make_shop({"test_a.py": before, "test_b.py": after}, test_budget_s=0.5)
    tests = check(verdict(shop, ORDERS.replace(*FIX), "label"), "tests")
    assert tests.status == "passed", tests.text
    assert tests.details == ("test_b.py::test_label_when_ready",)


def test_a_suite_that_never_ends_in_time_still_says_what_it_can(make_shop: MakeShop) -> None:
    shop = make_shop({"test_z.py": SLOW.replace("0.1", "0.8")}, test_timeout_s=6.0)
    tests = check(verdict(shop, BROKEN, "label", "total"), "tests")
    assert tests.status == "failed", tests
    assert "test_total" in tests.text


def test_without_names_of_functions_the_whole_file_counts() -> None:
    known = Tests(
        ran=("a", "b", "c"),
        runs={"orders.py:label": (1,), "orders.py:<module>": (2,), "x.py:f": (0,)},
    )
    patch = Candidate("c", "null_check", "t", "title", "", (("orders.py", b""),))
    assert touched(replace(patch, functions=("Order.label",)), known) == ("b",)
    assert touched(patch, known) == ("b", "c")


CONTEXTS = """\
import json, sys, threading
sys.path[:0] = [sys.argv[1], sys.argv[2]]
import contexts, shop
watcher = contexts.Contexts(sys.argv[2])
watcher.start()
watcher.begin(); shop.one(); watcher.end("first")
watcher.begin(); shop.one(); shop.two(); watcher.end("second")
thread = threading.Thread(target=shop.two)
watcher.begin(); thread.start(); thread.join(); watcher.end("third")
print(json.dumps(watcher.found()))
"""


@pytest.mark.parametrize("python", PYTHONS)
def test_each_test_has_the_functions_that_it_runs(python: str, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("def one():\n    pass\n\n\ndef two():\n    pass\n")
    folder = str(Path(inside.__file__).parent)
    told = subprocess.run(
        [python, "-c", CONTEXTS, folder, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert json.loads(told.stdout) == {
        "tests": ["first", "second", "third"],
        "runs": {"shop.py:one": [0, 1], "shop.py:two": [1, 2]},
    }
