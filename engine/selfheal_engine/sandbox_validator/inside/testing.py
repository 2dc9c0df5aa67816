"""Runs the service's own tests behind the wall and reports every result by its id.

`python testing.py` reads its orders from standard input (JSON) and writes one JSON object a
line to standard output, each with the orders' nonce:

    {"nonce": ..., "test": "tests/test_cart.py::test_total", "outcome": "passed", "seconds": 0.01}
    {"nonce": ..., "end": {"collected": 12}}

A supervisor that never imports the project holds the way out; a forked child runs the tests.
Canary tests with fresh names, of which one must pass and one must fail, run before and after
the others: a patched runner that lets everything pass is seen by what it does to them.
pytest is told by a plugin; unittest and everything built on it (Django) by its result class.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

FOLDER = os.path.dirname(os.path.abspath(__file__))

if TYPE_CHECKING:
    from selfheal_engine.sandbox_validator.inside import (
        kernel,
        replay,
        selection,
        shared,
        unittest_runs,
    )
else:
    sys.path.insert(0, FOLDER)
    import kernel
    import replay
    import selection
    import shared
    import unittest_runs

Orders = dict[str, Any]
Say = Callable[..., None]

LOOK_EVERY_S = 0.5
"""How long a runner may be silent before it is looked at."""
ENOUGH = 10
"""Regressions after which a run is ended: no patch survives so many."""


def main() -> None:
    orders = json.loads(sys.stdin.buffer.read().decode())
    out = os.dup(1)
    os.set_inheritable(out, False)
    os.dup2(2, 1)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    supervise(orders, out)


def supervise(orders: Orders, out: int) -> None:
    """Run the tests in a fork and pass on what it says, with the nonce that it does not know."""
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    nonce = orders.pop("nonce")
    token = secrets.token_hex(16)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        kernel.close_others({write})
        os.setpgid(0, 0)
        code = 1
        try:
            code = run(orders, write, token)
        except SystemExit as why:
            code = why.code if isinstance(why.code, int) else 1
        except BaseException:  # said on standard error; the missing end record tells
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code or 0)
    os.close(write)
    for line in lines_of(read, child):
        try:
            record = json.loads(line.decode())
            genuine = record.pop("token", "") == token
        except (ValueError, AttributeError):
            genuine, record = False, {}
        if not genuine:
            record = {"forged": line[:200].decode(errors="replace")}
        record["nonce"] = nonce
        content = json.dumps(record).encode() + b"\n"
        while content:
            content = content[os.write(out, content) :]
        if "end" in record:
            break
    os.close(read)
    # a clean exit takes a moment; what hangs in it is killed with the namespace
    end = time.monotonic() + 5.0
    status = None
    while status is None and time.monotonic() < end:
        done, code = os.waitpid(child, os.WNOHANG)
        status = code if done else None
        if status is None:
            time.sleep(0.005)
    if status is None:
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
    os.write(out, json.dumps({"nonce": nonce, "exit": status}).encode() + b"\n")


def lines_of(descriptor: int, runner: int) -> Iterator[bytes]:
    """Lines as they come; a runner that a test has stopped (SIGSTOP) is set going again."""
    pending = b""
    while True:
        if not select.select([descriptor], [], [], LOOK_EVERY_S)[0]:
            if os.waitid(os.P_PID, runner, os.WSTOPPED | os.WNOHANG) is not None:
                os.kill(runner, signal.SIGCONT)
            continue
        chunk = os.read(descriptor, 1 << 16)
        if not chunk:
            break
        *whole, pending = (pending + chunk).split(b"\n")
        yield from whole
    if pending:
        yield pending


def run(orders: Orders, descriptor: int, token: str) -> int:
    """In the child: run the tests with the runner that was asked for."""
    root = orders["root"]
    os.chdir(root)
    replay.step_aside()
    for path in reversed(orders["import_paths"] or [root]):
        sys.path.insert(0, path)
    sys.path.insert(0, root)

    def say(**record: Any) -> None:
        record["token"] = token
        content = json.dumps(record).encode() + b"\n"
        while content:
            content = content[os.write(descriptor, content) :]

    shared.watch(orders)
    if orders["runner"] == "pytest":
        for _ in range(orders.get("repeat", 1) - 1):
            again = os.fork()  # a fresh session each time: an item cannot be run twice in one
            if again == 0:
                run_pytest(orders, without_end(say))
                os._exit(0)
            os.waitpid(again, 0)
        return run_pytest(orders, say)
    return unittest_runs.run(orders, say)


def without_end(say: Say) -> Say:
    """Passes on everything but the last record, which only the last session may give."""

    def say_unless_end(**record: Any) -> None:
        if "end" not in record:
            say(**record)

    return say_unless_end


def run_pytest(orders: Orders, say: Say) -> int:
    import importlib.util

    import pytest
    from _pytest.assertion.rewrite import AssertionRewritingHook

    # a warm process has plugins loaded already; that they are not rewritten costs nothing here
    setattr(AssertionRewritingHook, "_warn_already_imported", lambda self, name: None)  # noqa: B010
    # marked here, where pytest is known
    last: Any = PytestPlugin.pytest_collection_modifyitems
    pytest.hookimpl(trylast=True)(last)
    first: Any = PytestPlugin.pytest_configure
    pytest.hookimpl(tryfirst=True)(first)
    plugin = PytestPlugin(orders, say, pytest)
    arguments = list(orders["args"])
    if orders.get("only"):
        # instead of the files and folders that the command names; options keep their values
        arguments = [a for a in arguments if not os.path.exists(a.partition("::")[0])]
        arguments += orders["only"]
    arguments += ["-p", "no:cacheprovider", "--maxfail=0"]
    arguments += ["--continue-on-collection-errors"]
    if importlib.util.find_spec("pytest_cov") and "no:cov" not in arguments:
        arguments += ["--no-cov"]
    code = int(pytest.main(arguments, plugins=[plugin]))
    say(
        end=shared.ending(
            orders, plugin.collected, code, plugin.stopped, late=plugin.selection.late
        )
    )
    return code


class PytestPlugin:
    """Adds the canaries and reports each result; stops at the first regression when asked."""

    def __init__(self, orders: Orders, say: Say, pytest: Any) -> None:
        self.orders, self.say, self.pytest = orders, say, pytest
        self.expected = set(orders.get("expected", ()))
        self.selection = selection.Selection(orders)
        self.spare = 0 if orders.get("first") else ENOUGH + len(self.expected) // 4
        self.names: dict[str, str] = {}
        self.collected = 0
        self.stopped = ""
        self.missed = 0
        self.seconds: dict[str, float] = {}
        self.worst: dict[str, Any] = {}

    def pytest_configure(self, config: Any) -> None:
        """One process: results, canaries and coverage all come from this one."""
        if hasattr(config.option, "numprocesses"):
            config.option.numprocesses = None
            config.option.dist = "no"
            config.option.tx = []

    def pytest_collection_modifyitems(self, session: Any, config: Any, items: list[Any]) -> None:
        self.collected = len(items)
        first, last = self.make(session, "a"), self.make(session, "z")
        chosen = self.selection.sorted(items, lambda item: str(item.nodeid))
        items[:] = [*first, *chosen, *last]

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        shared.begins()

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        shared.ends(nodeid)
        if nodeid.rpartition("::")[2] not in self.names and self.selection.is_over(nodeid):
            self.session.shouldstop = "the time for the tests is over"

    def make(self, session: Any, mark: str) -> list[Any]:
        """Canary items of a module outside the project."""
        folder = tempfile.mkdtemp(prefix="canary")
        path = os.path.join(folder, f"test_{mark}{secrets.token_hex(6)}.py")
        tests = shared.canaries()
        with open(path, "w") as file:
            for name, body in tests.items():
                file.write(f"def test_{name}():\n    {body}\n")
        self.names.update({"test_" + name: name[0] for name in tests})
        import pathlib

        try:
            module = self.pytest.Module.from_parent(session, path=pathlib.Path(path))
        except TypeError:  # before pytest 7
            import py  # type: ignore[import-untyped]

            module = self.pytest.Module.from_parent(session, fspath=py.path.local(path))
        return list(module.collect())

    def pytest_runtest_logreport(self, report: Any) -> None:
        name = report.nodeid.rpartition("::")[2]
        outcome = report.outcome
        if outcome == "passed" and hasattr(report, "wasxfail"):
            outcome = "skipped"
        rank = ("passed", "skipped", "failed").index(outcome)
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if rank > self.worst.get(report.nodeid, (0, ""))[0]:
            self.worst[report.nodeid] = (rank, self.reason(report))
        if report.when != "teardown":
            return
        rank, why = self.worst.pop(report.nodeid, (0, ""))
        outcome = ("passed", "skipped", "failed")[rank]
        if name in self.names:
            self.say(canary=self.names[name], outcome=outcome)
            return
        self.say(
            test=report.nodeid,
            outcome=outcome,
            seconds=self.seconds.pop(report.nodeid, 0.0),
            why=why,
        )
        if outcome != "passed" and report.nodeid in self.expected:
            self.missed += 1
            if self.missed > self.spare:
                self.stopped = report.nodeid
                self.session.shouldstop = "many tests that passed before do not pass now"

    def pytest_sessionstart(self, session: Any) -> None:
        self.session = session

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.say(
                test=report.nodeid or "collection",
                outcome="failed",
                seconds=0.0,
                why=str(report.longrepr)[-600:],
            )

    def reason(self, report: Any) -> str:
        crash = getattr(report.longrepr, "reprcrash", None)
        return str(crash.message if crash else report.longrepr or "")[:400]


if __name__ == "__main__":
    main()
