"""The project's tests as items that can be run one at a time: pytest, unittest or Django.

A test module that cannot be imported is an item too: it fails with the import's exception, and
it passes once the module's tests are there and pass.

Runs inside the sandbox: standard library only, Python 3.9 and later.
"""

from __future__ import annotations

import copy
import inspect
import os
import re
import sys
import traceback
import types
import unittest
from collections.abc import Callable
from typing import Any

Job = dict[str, Any]
Failure = tuple[str, Any, str]
"""(failed or skipped, the exception where known, text)."""
CONFTEST = "conftest.py"


class PytestItems:
    """The collected items of a pytest session, and the exceptions of what was not collected."""

    def __init__(self, session: Any, broken: dict[str, BaseException]) -> None:
        self.items = {item.nodeid: item for item in session.items}
        self.broken = broken

    def inside(self, name: str) -> list[str]:
        """The tests that stand for a module that could not be imported before."""
        if name in self.items:
            return [name]
        # without its conftest, nothing of a folder can be collected
        folder, _, file = name.rpartition("/")
        prefix = (f"{folder}/" if folder else "") if file == CONFTEST else f"{name}::"
        return [item for item in self.items if item.startswith(prefix)]

    def run(self, name: str) -> Failure | None:
        """None when the test passes, else (kind of failure, exception or None, text)."""
        from _pytest.runner import runtestprotocol

        if name in self.broken:
            return _broken(self.broken[name])
        item = self.items[name]
        caught: list[BaseException] = []
        original = item.runtest

        def remembering() -> None:
            try:
                original()
            except BaseException as error:
                caught.append(error)
                raise
            caught.extend(_noted(item))

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
            noted = _noted(item)
            return bool(noted) and not isinstance(noted[0], Skipped)
        except Skipped:
            return False
        except Exception:  # noqa: BLE001 - whatever it is, the test has failed
            return True
        finally:
            item.session._setupstate.teardown_exact(None)

    def repeatable(self, name: str) -> Callable[[], Any] | None:
        """A function that runs the test again and again in one process: None, or how it failed.

        Plain functions whose arguments are all parameters (these are copied for each run) are
        called as they are, without the cost of fixtures; the others with all that pytest sets up.
        """
        item = self.items[name]
        function = getattr(item, "obj", None)
        params = getattr(getattr(item, "callspec", None), "params", {})
        if not self._is_plain(item, function, params):
            return lambda: self._once_more(item, params)
        assert isinstance(function, types.FunctionType)
        names = list(inspect.signature(function).parameters)

        def plain() -> Any:
            try:
                function(**{n: copy.deepcopy(params[n]) for n in names})
            except Exception as error:  # noqa: BLE001 - whatever it is, the test has failed
                return _signature(error)

        return plain

    @staticmethod
    def _is_plain(item: Any, function: Any, params: Any) -> bool:
        if not isinstance(function, types.FunctionType):
            return False
        if function.__code__.co_flags & (inspect.CO_COROUTINE | inspect.CO_GENERATOR):
            return False
        known = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
        for fixture, definitions in known.items():
            code = getattr(definitions[-1].func, "__code__", None)
            own = code is not None and code.co_filename.startswith(str(item.config.rootpath))
            if own and fixture not in params:
                return False
        return set(inspect.signature(function).parameters) <= set(params)

    @staticmethod
    def _once_more(item: Any, params: Any) -> Any:
        kept = dict(params)
        for key, value in kept.items():
            params[key] = copy.deepcopy(value)
        # what an earlier run of the item left on it
        item.__dict__.pop("_excinfo", None)
        if hasattr(item, "_request"):
            item._initrequest()
        try:
            item.ihook.pytest_runtest_setup(item=item)
            item.ihook.pytest_runtest_call(item=item)
            noted = _noted(item)
            return _signature(noted[0]) if noted else None
        except Exception as error:  # noqa: BLE001 - whatever it is, the test has failed
            return _signature(error)
        finally:
            item.session._setupstate.teardown_exact(None)
            params.update(kept)


class _Program(unittest.TestProgram):
    """Finds the tests as `python -m unittest ARGUMENTS` does and runs none."""

    def runTests(self) -> None:  # noqa: N802 - unittest's name
        return


class UnittestItems:
    """The tests that `python -m unittest` with these arguments finds."""

    def __init__(self, arguments: list[str]) -> None:
        program: Any = _Program(None, argv=["unittest", *arguments], exit=False)
        self._take(program.test)

    def _take(self, suite: Any) -> None:
        self.items: dict[str, Any] = {}
        self.broken: dict[str, BaseException] = {}
        pending: list[Any] = [suite]
        while pending:
            test = pending.pop(0)
            if isinstance(test, unittest.TestSuite):
                pending.extend(test)
            elif type(test).__name__ == "_FailedTest":
                # the loader's stand-in for a module that it could not import
                name = test.id().rpartition("_FailedTest.")[2]
                self.broken[name] = _import_error(name) or _loading_error(test)
            else:
                self.items[test.id()] = test

    def inside(self, name: str) -> list[str]:
        if name in self.items:
            return [name]
        return [item for item in self.items if item.startswith(f"{name}.")]

    def run(self, name: str) -> Failure | None:
        if name in self.broken:
            return _broken(self.broken[name])
        result = _Result()
        # a suite of one brings the fixtures of its class and module along
        unittest.TestSuite([self.items[name]]).run(result)
        if result.caught is not None:
            return "failed", result.caught, _text_of(result.caught)
        return ("skipped", None, "") if result.skipped else None

    def fails(self, name: str) -> bool:
        failure = self.run(name)
        return failure is not None and failure[0] == "failed"

    def repeatable(self, name: str) -> Callable[[], Any] | None:
        """A function that runs the test again and again in one process: None, or how it failed."""

        def again() -> Any:
            failure = self.run(name)
            if failure is None or failure[0] != "failed":
                return None
            return _signature(failure[1]) if failure[1] is not None else [failure[2]]

        return again


class DjangoItems(UnittestItems):
    """The tests that `manage.py test` finds, on a test database made once before the forks."""

    def __init__(self, manage: str, labels: list[str]) -> None:
        with open(manage, encoding="utf-8") as file:
            named = re.search(r"DJANGO_SETTINGS_MODULE\W+([\w.]+)", file.read())
        if named:
            os.environ.setdefault("DJANGO_SETTINGS_MODULE", named.group(1))
        django: Any = __import__("django")
        django.setup()
        utils: Any = __import__("django.test.utils", fromlist=["get_runner"])
        settings: Any = __import__("django.conf", fromlist=["settings"]).settings
        runner = utils.get_runner(settings)(verbosity=0, interactive=False)
        runner.setup_test_environment()
        suite = runner.build_suite(labels)
        runner.setup_databases()
        self._take(suite)


class _Result(unittest.TestResult):
    caught: Any = None

    def addError(self, test: Any, err: Any) -> None:  # noqa: N802 - unittest's name
        self.caught = err[1]

    addFailure = addError  # noqa: N815

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:  # noqa: N802
        if err is not None:
            self.caught = err[1]


def _noted(item: Any) -> list[BaseException]:
    """How a unittest.TestCase failed: pytest's item notes its errors down, it does not raise."""
    return [info.value for info in getattr(item, "_excinfo", None) or ()]


def _signature(error: BaseException) -> list[Any]:
    """What tells two failures apart: the type, and [file, line] of the frames on the way."""
    steps, step = [], error.__traceback__
    while step is not None:
        steps.append([step.tb_frame.f_code.co_filename, step.tb_lineno])
        step = step.tb_next
    return [type(error).__name__, *steps]


def _broken(error: BaseException) -> Failure:
    return "failed", error, _text_of(error)


def _text_of(error: BaseException) -> str:
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    return "".join(lines)[-2000:]


def _import_error(name: str) -> BaseException | None:
    """What importing the module raises: the loader keeps only its text."""
    try:
        __import__(name)
    except Exception as error:  # noqa: BLE001 - handed on as the module's failure
        return error
    return None


def _loading_error(test: Any) -> BaseException:
    result = _Result()
    test.run(result)
    return result.caught or ImportError(test.id())


def with_items(job: Job, work: Callable[[Any], None]) -> None:
    """Collect the tests as the job says, then call `work(items)` in the warm process."""
    if job.get("runner") == "unittest":
        work(UnittestItems(job["arguments"]))
    elif job.get("runner") == "django":
        work(DjangoItems(job["arguments"][0], job["arguments"][1:]))
    else:
        _with_pytest(job, work)


def _with_pytest(job: Job, work: Callable[[Any], None]) -> None:
    import pytest

    broken: dict[str, BaseException] = {}
    sessions: list[Any] = []

    class Plugin:
        @staticmethod
        def pytest_exception_interact(node: Any, call: Any) -> None:
            if isinstance(node, pytest.Collector):
                error = call.excinfo.value
                # pytest's own error only wraps what the import raised
                broken[node.nodeid] = error.__cause__ or error

        @staticmethod
        def pytest_runtestloop(session: Any) -> bool:
            sessions.append(session)
            work(PytestItems(session, broken))
            return True

    # `-x`, `-n` and reports of the command are no concern of single runs
    arguments = ["-q", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    pytest.main([*arguments, *job["arguments"]], plugins=[Plugin()])
    if not sessions:
        found = _broken_conftests(job["root"])
        if found:
            work(PytestItems(types.SimpleNamespace(items=[]), found))


def _broken_conftests(root: str) -> dict[str, BaseException]:
    """The conftest files that cannot be imported: pytest ends before it collects anything."""
    found: dict[str, BaseException] = {}
    for folder, inner, files in os.walk(root):
        inner[:] = [name for name in inner if not name.startswith(".") and "env" not in name]
        if CONFTEST not in files:
            continue
        path = os.path.join(folder, CONFTEST)
        sys.path.insert(0, folder)
        try:
            with open(path, "rb") as file:
                code = compile(file.read(), path, "exec", dont_inherit=True)
            exec(code, {"__name__": "conftest", "__file__": path})
        except Exception as error:  # noqa: BLE001 - handed on as the file's failure
            found[os.path.relpath(path, root).replace(os.sep, "/")] = error
        finally:
            sys.path.remove(folder)
    return found
