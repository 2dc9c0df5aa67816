"""The project's tests as items that can be run one at a time, with pytest or unittest.

Runs inside the sandbox: standard library only, Python 3.9 and later.
"""

from __future__ import annotations

import copy
import inspect
import traceback
import types
import unittest
from collections.abc import Callable
from typing import Any

Job = dict[str, Any]
Failure = tuple[str, Any, str]
"""(failed or skipped, the exception where known, text)."""


class PytestItems:
    """The collected items of a pytest session."""

    def __init__(self, session: Any) -> None:
        self.items = {item.nodeid: item for item in session.items}

    def run(self, name: str) -> Failure | None:
        """None when the test passes, else (kind of failure, exception or None, text)."""
        from _pytest.runner import runtestprotocol

        item = self.items[name]
        caught: list[BaseException] = []
        original = item.runtest

        def remembering() -> None:
            try:
                original()
            except BaseException as error:
                caught.append(error)
                raise

        item.runtest = remembering
        try:
            reports = runtestprotocol(item, log=False, nextitem=None)
        finally:
            item.runtest = original
        for report in reports:
            if report.failed:
                return "failed", caught[0] if caught else None, str(report.longrepr)[-2000:]
        if any(report.skipped for report in reports):
            return "skipped", None, ""
        return None

    def fails(self, name: str) -> bool:
        """Whether the test fails, without a report: formatting one costs more than most tests."""
        from _pytest.outcomes import Skipped

        item = self.items[name]
        if item.get_closest_marker("xfail") is not None:
            failure = self.run(name)
            return failure is not None and failure[0] == "failed"
        hasattr(item, "_request") and not item._request and item._initrequest()
        try:
            item.ihook.pytest_runtest_setup(item=item)
            item.ihook.pytest_runtest_call(item=item)
        except Skipped:
            return False
        except Exception:  # noqa: BLE001 - whatever it is, the test has failed
            return True
        finally:
            item.session._setupstate.teardown_exact(None)
        return False

    def repeatable(self, name: str) -> Callable[[], Any] | None:
        """A function that runs the test again and again in one process, None where that may lie.

        Only plain functions whose arguments are all parameters (these are copied for each run),
        without fixtures that the project itself wants used everywhere.
        """
        item = self.items[name]
        function = getattr(item, "obj", None)
        if not isinstance(function, types.FunctionType):
            return None
        if function.__code__.co_flags & (inspect.CO_COROUTINE | inspect.CO_GENERATOR):
            return None
        params = getattr(getattr(item, "callspec", None), "params", {})
        known = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
        for fixture, definitions in known.items():
            code = getattr(definitions[-1].func, "__code__", None)
            own = code is not None and code.co_filename.startswith(str(item.config.rootpath))
            if own and fixture not in params:
                return None
        names = list(inspect.signature(function).parameters)
        if not set(names) <= set(params):
            return None
        return lambda: function(**{n: copy.deepcopy(params[n]) for n in names})


class UnittestItems:
    """Tests that the standard loader finds, where pytest is not installed."""

    def __init__(self, start: str) -> None:
        self.items: dict[str, Any] = {}
        pending: list[Any] = [unittest.defaultTestLoader.discover(start)]
        while pending:
            test = pending.pop(0)
            if isinstance(test, unittest.TestSuite):
                pending.extend(test)
            else:
                self.items[test.id()] = test

    def run(self, name: str) -> Failure | None:
        result = _Result()
        self.items[name].run(result)
        if result.caught is not None:
            return (
                "failed",
                result.caught,
                "".join(
                    traceback.format_exception(None, result.caught, result.caught.__traceback__)
                )[-2000:],
            )
        return ("skipped", None, "") if result.skipped else None

    def fails(self, name: str) -> bool:
        failure = self.run(name)
        return failure is not None and failure[0] == "failed"

    def repeatable(self, name: str) -> Callable[[], Any] | None:
        return None


class _Result(unittest.TestResult):
    caught: Any = None

    def addError(self, test: Any, err: Any) -> None:  # noqa: N802 - unittest's name
        self.caught = err[1]

    addFailure = addError  # noqa: N815


def with_items(job: Job, work: Callable[[Any], None]) -> None:
    """Collect the tests as the job says, then call `work(items)` in the warm process."""
    if job.get("runner") == "unittest":
        work(UnittestItems(job.get("start", ".")))
        return
    import pytest

    class Plugin:
        @staticmethod
        def pytest_runtestloop(session: Any) -> bool:
            work(PytestItems(session))
            return True

    # `-x`, `-n` and reports of the command are no concern of single runs
    pytest.main(["-q", "-p", "no:cacheprovider", *job["arguments"]], plugins=[Plugin()])
