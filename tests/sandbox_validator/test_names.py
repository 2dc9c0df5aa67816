"""A project may name its modules as it likes, also as ours behind the wall are named."""

from __future__ import annotations

from selfheal_engine.model import Reproducer
from tests.sandbox_validator.conftest import PYTEST, MakeShop, call_of, check

WORKER = """\
import request


def line_for(order):
    return request.title(order) + str(12 / order["count"])
"""
TESTS = """\
import replay
from worker import line_for


def test_line():
    assert line_for({"name": "a", "count": 3}) == replay.WANTED
"""
FIX = ('12 / order["count"]', '12 / (order["count"] or 1)')


def test_modules_named_like_ours_are_the_projects_cold_and_warm(make_shop: MakeShop) -> None:
    again = Reproducer(
        "call",
        module="worker",
        file="worker.py",
        functions=("line_for",),
        arguments=(call_of({"name": "a", "count": 0}),),
        exception="ZeroDivisionError",
        crash_file="worker.py",
        crash_line=5,
        crash_function="line_for",
    )
    shop = make_shop(
        {
            "worker.py": WORKER,
            "request.py": "def title(order):\n    return order['name']\n",
            "replay.py": "WANTED = 'a4.0'\n",
            "test_orders.py": "",
            "test_worker.py": TESTS,
        },
        tests=PYTEST,
        reproducers=(again,),
    )
    (verdict,) = shop.judge(shop.candidate(WORKER.replace(*FIX), "worker.py"))
    assert check(verdict, "reproducer").status == "passed", verdict.checks
    assert check(verdict, "tests").n == 1
