"""Runs unittest, and whatever is built on it, and tells each result by the test's id."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfheal_engine.sandbox_validator.inside import selection, shared
else:
    import selection
    import shared

Orders = dict[str, Any]
Say = Callable[..., None]


OUTCOMES = {
    "addSuccess": "passed",
    "addSkip": "skipped",
    "addExpectedFailure": "skipped",
    "addFailure": "failed",
    "addError": "failed",
    "addUnexpectedSuccess": "failed",
}


def run(orders: Orders, say: Say) -> int:
    """Run a unittest-based command with its own main, results told by the result class."""
    import unittest
    from unittest import runner

    collected = [0]
    names: dict[str, str] = {}
    chosen = selection.Selection(orders)
    plain_run = runner.TextTestRunner.run

    def run_with_canaries(self: Any, test: Any) -> Any:
        if not names:
            collected[0] = test.countTestCases()
            # those built on unittest have an order of their own: Django's runner by class
            if orders.get("first") and orders["runner"] == "unittest":
                test = unittest.TestSuite(chosen.sorted(flat(test), lambda case: str(case.id())))
            suite = unittest.TestSuite([make_canaries(unittest, names), test])
            suite.addTest(make_canaries(unittest, names))
            test = suite
        return plain_run(self, test)

    listen(runner.TextTestResult, names, chosen, say)
    setattr(runner.TextTestRunner, "run", run_with_canaries)  # noqa: B010
    code = main(orders)
    say(end=shared.ending(orders, collected[0], code, "", late=chosen.late))
    return code


def listen(cls: Any, names: dict[str, str], chosen: selection.Selection, say: Say) -> None:
    """Have unittest's result class tell what it is told, and end the run when it is over."""
    plain = {name: getattr(cls, name) for name in (*OUTCOMES, "startTest", "stopTest")}

    def told(name: str) -> Callable[..., None]:
        def add(self: Any, test: Any, *rest: Any) -> None:
            plain[name](self, test, *rest)
            identity = test.id()
            kind = names.get(identity.rpartition(".")[2])
            if kind:
                say(canary=kind, outcome=OUTCOMES[name])
                return
            why = repr(rest[0][1])[:400] if rest and isinstance(rest[0], tuple) else ""
            say(test=identity, outcome=OUTCOMES[name], seconds=0.0, why=why)

        return add

    def start_test(self: Any, test: Any) -> None:
        shared.begins()
        plain["startTest"](self, test)

    def stop_test(self: Any, test: Any) -> None:
        plain["stopTest"](self, test)
        name = str(test.id())
        shared.ends(name)
        if name.rpartition(".")[2] not in names and chosen.is_over(name):
            self.stop()

    cls.startTest, cls.stopTest = start_test, stop_test
    for name in OUTCOMES:
        setattr(cls, name, told(name))


def main(orders: Orders) -> int:
    """The command's own main; its exit code."""
    import runpy

    try:
        if orders["runner"] == "unittest":
            sys.argv = ["python -m unittest", *orders["args"], *orders.get("only", ())]
            runpy.run_module("unittest", run_name="__main__", alter_sys=True)
        elif orders["runner"] == "module":
            sys.argv = list(orders["args"])
            runpy.run_module(orders["args"][0], run_name="__main__", alter_sys=True)
        else:
            sys.argv = list(orders["args"])
            sys.path.insert(0, os.path.dirname(os.path.abspath(orders["args"][0])))
            runpy.run_path(orders["args"][0], run_name="__main__")
    except SystemExit as why:
        return why.code if isinstance(why.code, int) else int(why.code is not None)
    return 0


def flat(suite: Any) -> Iterator[Any]:
    """The single tests of a suite of suites."""
    for part in suite:
        if hasattr(part, "__iter__"):
            yield from flat(part)
        else:
            yield part


def make_canaries(unittest: Any, names: dict[str, str]) -> Any:
    methods: dict[str, Any] = {}
    for name, body in shared.canaries().items():
        scope: dict[str, Any] = {}
        exec(f"def test_{name}(self):\n    {body}\n", scope)
        methods["test_" + name] = scope["test_" + name]
        names["test_" + name] = name[0]
    case = type("Canary" + secrets.token_hex(6), (unittest.TestCase,), methods)
    return unittest.defaultTestLoader.loadTestsFromTestCase(case)
