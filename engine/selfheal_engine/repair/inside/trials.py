"""Runs inside the sandbox: a project's tests one by one, then many mutants against them.

Standard library only, Python 3.9 and later, plus the project's own test runner. The tests are
collected once; every test of the first run, and every mutant, gets a fork of that warm process,
so nothing leaks from one to the next and an endless loop costs its time limit only. A job comes
in as JSON on standard input, results go out as JSON lines on the real standard output.
"""

import ast
import copy
import gc
import importlib.abc
import inspect
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
import types
import unittest

FUTURE_ANNOTATIONS = 0x1000000
LOCALS_PER_FRAME = 24
SCREENED_TOGETHER = 100


class Channel:
    """The real standard output; whatever the tests print goes to /dev/null."""

    def __init__(self):
        self.file = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)

    def say(self, **message):
        self.file.write(json.dumps(message) + "\n")
        self.file.flush()


# ------------------------------------------------------------------ tests as items
class PytestItems:
    """The collected items of a pytest session."""

    def __init__(self, session):
        self.items = {item.nodeid: item for item in session.items}

    def run(self, name):
        """None when the test passes, else (kind of failure, exception or None, text)."""
        from _pytest.runner import runtestprotocol

        item = self.items[name]
        caught = []
        original = item.runtest

        def remembering():
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

    def fails(self, name):
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

    def repeatable(self, name):
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

    def __init__(self, start):
        self.items = {}
        pending = [unittest.defaultTestLoader.discover(start)]
        while pending:
            test = pending.pop(0)
            if isinstance(test, unittest.TestSuite):
                pending.extend(test)
            else:
                self.items[test.id()] = test

    def run(self, name):
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

    def fails(self, name):
        failure = self.run(name)
        return failure is not None and failure[0] == "failed"

    def repeatable(self, name):
        return None


class _Result(unittest.TestResult):
    caught = None

    def addError(self, test, err):  # noqa: N802 - unittest's name
        self.caught = err[1]

    addFailure = addError  # noqa: N815


def with_items(job, work):
    """Collect the tests as the job says, then call `work(items)` in the warm process."""
    if job.get("runner") == "unittest":
        work(UnittestItems(job.get("start", ".")))
        return
    import pytest

    class Plugin:
        @staticmethod
        def pytest_runtestloop(session):
            work(PytestItems(session))
            return True

    # `-x`, `-n` and reports of the command are no concern of single runs
    pytest.main(["-q", "-p", "no:cacheprovider", *job["arguments"]], plugins=[Plugin()])


# ------------------------------------------------------------------ one fork, one answer
def in_fork(work, limit_s, memory_bytes):
    """(answer of `work`, seconds); {"outcome": "timeout" | "died"} when it gave none."""
    reading, writing = os.pipe()
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_child(work, writing, memory_bytes)
    os.close(writing)
    answer = _await_answer(reading, child, limit_s)
    os.close(reading)
    seconds = time.monotonic() - started
    return answer, seconds


def _be_child(work, writing, memory_bytes):
    os.setpgid(0, 0)
    gc.disable()

    def leave(answer):
        data = json.dumps(answer).encode("utf-8", "replace")
        view = memoryview(data)
        while view:
            view = view[os.write(writing, view) :]
        os._exit(0)

    # asked to stop: say what was covered so far, then go
    signal.signal(signal.SIGUSR1, lambda *_: leave(work.partial()))
    if memory_bytes:
        try:
            resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        except (ValueError, OSError):
            gc.enable()
    try:
        leave(work())
    except BaseException:  # noqa: BLE001 - it is reported, not handled
        leave({"outcome": "died", "text": traceback.format_exc()[-1000:]})


def _await_answer(reading, child, limit_s):
    parts = []
    deadline = time.monotonic() + limit_s
    asked = False
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            if asked:
                break
            asked, deadline = True, time.monotonic() + 0.3
            os.kill(child, signal.SIGUSR1)
            continue
        ready, _, _ = select.select([reading], [], [], left)
        if ready:
            part = os.read(reading, 1 << 16)
            if not part:
                break
            parts.append(part)
    try:
        os.killpg(child, signal.SIGKILL)
    except OSError:
        try:
            os.kill(child, signal.SIGKILL)
        except OSError:
            parts.append(b"")
    os.waitpid(child, 0)
    try:
        answer = json.loads(b"".join(parts))
    except ValueError:
        answer = {"outcome": "timeout" if asked else "died"}
    if asked and answer.get("outcome") not in ("failed", "passed"):
        answer["outcome"] = "timeout"
    return answer


# ------------------------------------------------------------------ the first run
class TracedTest:
    """Runs one test and remembers which of the project's lines it reached."""

    def __init__(self, items, name, root):
        self.items, self.name, self.root = items, name, root
        self.lines = {}

    def __call__(self):
        tool = self._start()
        started = time.process_time()
        try:
            failure = self.items.run(self.name)
        finally:
            self._stop(tool)
        answer = {"cpu_s": time.process_time() - started, "lines": self._covered()}
        if failure is None:
            return dict(answer, outcome="passed")
        kind, error, text = failure
        answer.update(outcome=kind, text=text)
        if error is not None:
            answer["error"] = describe(error, self.root)
        return answer

    def partial(self):
        return {"outcome": "timeout", "cpu_s": time.process_time(), "lines": self._covered()}

    def _covered(self):
        return {file: sorted(lines) for file, lines in list(self.lines.items())}

    def _start(self):
        monitoring = getattr(sys, "monitoring", None)
        if monitoring is None:
            sys.settrace(self._call)
            return None
        monitoring.use_tool_id(monitoring.COVERAGE_ID, "trials")

        def line(code, number):
            if code.co_filename.startswith(self.root):
                self.lines.setdefault(code.co_filename, set()).add(number)
            return monitoring.DISABLE

        monitoring.register_callback(monitoring.COVERAGE_ID, monitoring.events.LINE, line)
        monitoring.set_events(monitoring.COVERAGE_ID, monitoring.events.LINE)
        monitoring.restart_events()
        return monitoring

    def _stop(self, monitoring):
        if monitoring is None:
            sys.settrace(None)
        else:
            monitoring.set_events(monitoring.COVERAGE_ID, 0)
            monitoring.free_tool_id(monitoring.COVERAGE_ID)

    def _call(self, frame, event, argument):
        file = frame.f_code.co_filename
        if not file.startswith(self.root):
            return None
        seen = self.lines.setdefault(file, set())
        seen.add(frame.f_lineno)

        def local(frame, event, argument):
            if event == "line":
                seen.add(frame.f_lineno)
            return local

        return local


def describe(error, root):
    """An exception as the engine's records have it: frames with columns and bounded values."""
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", None):
        name = kind.__module__ + "." + name
    frames = []
    step = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        frame = {
            "file": code.co_filename,
            "line": step.tb_lineno,
            "function": getattr(code, "co_qualname", None) or qualified(code, step.tb_frame),
            "module": str(step.tb_frame.f_globals.get("__name__", "")),
            "own": code.co_filename.startswith(root),
            "first_line": code.co_firstlineno,
        }
        if hasattr(code, "co_positions"):
            position = list(code.co_positions())[step.tb_lasti // 2]
            frame.update(end_line=position[1], column=position[2], end_column=position[3])
        if frame["own"]:
            frame["locals"] = pictures(step.tb_frame.f_locals)
        frames.append(frame)
        step = step.tb_next
    try:
        message = str(error)[:2000]
    except Exception:  # noqa: BLE001 - the error's own __str__ is broken
        message = ""
    return {"exception": name, "message": message, "frames": frames[-40:]}


def qualified(code, frame):
    owner = frame.f_locals.get("self")
    if owner is not None and code.co_argcount and code.co_varnames[0] == "self":
        for kind in type(owner).__mro__:
            found = kind.__dict__.get(code.co_name)
            if getattr(found, "__code__", None) is code:
                return found.__qualname__
    return code.co_name


def pictures(variables):
    try:
        from selfheal_agent.values import picture_all
    except ImportError:
        return []
    return picture_all(dict(list(variables.items())[:LOCALS_PER_FRAME]))


def first_run(job, items, channel):
    root = job["root"].rstrip("/") + "/"
    names = [n for n in items.items if not job.get("only") or n in job["only"]]
    channel.say(what="collected", tests=names)
    for name in names[: job["most_tests"]]:
        work = TracedTest(items, name, root)
        answer, seconds = in_fork(work, job["limit_s"], job["memory_bytes"])
        channel.say(what="test", id=name, seconds=seconds, **answer)


# ------------------------------------------------------------------ mutants
class MutantRun:
    """Puts one mutant in place and runs the tests until one fails."""

    def __init__(self, items, mutant, tests, job, running):
        self.items, self.mutant, self.tests, self.root = items, mutant, tests, job["root"]
        self.limits, self.limit_s, self.running = job["limits"], job["test_limit_s"], running
        self.done = 0

    def __call__(self):
        if not place(self.mutant, self.root, self.running):
            return {"outcome": "unplaced", "passed": 0}
        signal.signal(signal.SIGVTALRM, signal.getsignal(signal.SIGUSR1))
        for name in self.tests:
            # processor time, so that a loaded machine changes no verdict
            signal.setitimer(signal.ITIMER_VIRTUAL, self.limits.get(name, self.limit_s))
            if self.items.fails(name):
                return {"outcome": "failed", "passed": self.done, "test": name}
            self.done += 1
        return {"outcome": "passed", "passed": self.done}

    def partial(self):
        name = self.tests[self.done] if self.done < len(self.tests) else ""
        return {"outcome": "timeout", "passed": self.done, "test": name}


def place(mutant, root, running):
    """Give the functions that exist already the code of the mutant's text; False: none does."""
    placed = 0
    for part in mutant["parts"]:
        file = os.path.join(root, part["file"])
        tree = ast.parse(part["source"])
        if part.get("line"):
            ast.increment_lineno(tree, part["line"] - 1)
        flags = FUTURE_ANNOTATIONS if part.get("annotations") else 0
        code = compile(tree, file, "exec", flags=flags, dont_inherit=True)
        placed += exchange(code, tree, running.get(file, ()))
    return placed


def exchange(code, tree, running):
    """Exchange code and defaults of the running functions with those of the same name."""
    new = dict(functions_in(code, ""))
    defaults = default_nodes(tree)
    placed = 0
    for function in running:
        name = function.__qualname__
        if name not in new or new[name].co_freevars != function.__code__.co_freevars:
            continue
        function.__code__ = new[name]
        placed += 1
        if name in defaults:
            space = function.__globals__
            positional, keyword = defaults[name]
            function.__defaults__ = tuple(value_of(n, space) for n in positional) or None
            function.__kwdefaults__ = {k: value_of(n, space) for k, n in keyword.items()} or None
    return placed


def value_of(node, space):
    return eval(compile(ast.Expression(node), "<default>", "eval"), space)


def functions_in(code, prefix):
    for constant in code.co_consts:
        if not isinstance(constant, types.CodeType):
            continue
        name = prefix + constant.co_name
        yield name, constant
        # a class's body and a function's body differ in how inner names are qualified
        inside = name + "." if not constant.co_flags & 0x02 else name + ".<locals>."
        yield from functions_in(constant, inside)


def default_nodes(tree):
    found = {}

    def visit(node, prefix):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                arguments = child.args
                keyword = {
                    a.arg: arguments.kw_defaults[i]
                    for i, a in enumerate(arguments.kwonlyargs)
                    if arguments.kw_defaults[i]
                }
                found[prefix + child.name] = (arguments.defaults, keyword)
            elif isinstance(child, ast.ClassDef):
                visit(child, prefix + child.name + ".")
            else:
                visit(child, prefix)

    visit(tree, "")
    return found


def running_functions(root):
    """{file: live function objects whose code came from it}, decorated ones included."""
    found = {}
    for candidate in gc.get_objects():
        if type(candidate) is types.FunctionType:
            file = candidate.__code__.co_filename
            if file.startswith(root):
                found.setdefault(file, []).append(candidate)
    return found


class Screening:
    """Runs one quick failing test on many mutants in one process, and tells which ones pass it.

    The first mutant that loops or dies ends the process; those behind it get a new one.
    """

    def __init__(self, test, mutants, root, running, limit_s):
        self.test, self.mutants, self.root = test, mutants, root
        self.running, self.limit_s = running, limit_s
        self.passed, self.at = [], 0

    def __call__(self):
        signal.signal(signal.SIGVTALRM, signal.getsignal(signal.SIGUSR1))
        for at, mutant in enumerate(self.mutants):
            self.at = at
            saved = self._functions_of(mutant)
            signal.setitimer(signal.ITIMER_VIRTUAL, self.limit_s)
            if self._passes(mutant):
                self.passed.append(mutant["id"])
            for function, code, defaults, keyword in saved:
                function.__code__ = code
                function.__defaults__, function.__kwdefaults__ = defaults, keyword
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        return {"outcome": "passed", "passed": self.passed, "at": len(self.mutants)}

    def _passes(self, mutant):
        try:
            placed = place(mutant, self.root, self.running)
            self.test()
        except Exception:  # noqa: BLE001 - whatever it is, the test has failed
            return False
        return bool(placed)

    def _functions_of(self, mutant):
        files = {os.path.join(self.root, part["file"]) for part in mutant["parts"]}
        functions = [f for file in files for f in self.running.get(file, ())]
        return [(f, f.__code__, f.__defaults__, f.__kwdefaults__) for f in functions]

    def partial(self):
        return {"outcome": "timeout", "passed": self.passed, "at": self.at + 1}


def screened(items, job, running):
    """The mutants that pass the quickest failing test; all of them where it cannot be repeated."""
    test = items.repeatable(job["failing"][0]) if job["failing"] else None
    if test is None:
        yield from job["mutants"]
        return
    mutants, at = job["mutants"], 0
    limit = job["limits"].get(job["failing"][0], job["test_limit_s"])
    while at < len(mutants):
        batch = mutants[at : at + SCREENED_TOGETHER]
        work = Screening(test, batch, job["root"], running, limit)
        wall = 2.0 + 4 * limit + 0.05 * len(batch)
        answer, _ = in_fork(work, wall, job["memory_bytes"])
        passed = set(answer.get("passed") or ())
        # a process that died said nothing: its mutants are tried one by one
        done = answer.get("at") or len(batch)
        for mutant in batch[:done]:
            if "at" not in answer or mutant["id"] in passed:
                yield mutant
            else:
                yield {"id": mutant["id"], "screened": True}
        at += done


def run_mutants(job, items, channel):
    limits = job["limits"]
    running = running_functions(job["root"].rstrip("/") + "/")
    gc.collect()
    gc.freeze()
    started = os.times()
    for mutant in screened(items, job, running):
        now = os.times()
        if sum(now[:4]) - sum(started[:4]) > job["cpu_s"]:
            return
        if mutant.get("screened"):
            channel.say(what="mutant", id=mutant["id"], outcome="failed", seconds=0.0)
            continue
        tests = [t for t in mutant.get("tests") or job["tests"] if t in items.items]
        limit = sum(limits.get(t, job["test_limit_s"]) for t in tests) + 0.5
        answer, seconds = {"outcome": "passed"}, 0.0
        # the failing tests first; then all in their own order, for tests may lean on each other
        for some in ([t for t in tests if t in job["failing"]], tests):
            if answer["outcome"] == "passed" and some:
                work = MutantRun(items, mutant, some, job, running)
                answer, took = in_fork(work, min(job["limit_s"], limit), job["memory_bytes"])
                seconds += took
        channel.say(what="mutant", id=mutant["id"], seconds=seconds, **answer)


class Overlay(importlib.abc.MetaPathFinder):
    """Imports project modules from texts instead of the files."""

    def __init__(self, texts):
        self.texts = texts

    def find_spec(self, name, path=None, target=None):
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is None:
                continue
            if spec.origin in self.texts and hasattr(spec.loader, "get_code"):
                spec.loader = Loader(spec.loader, self.texts[spec.origin])
            return spec
        return None


class Loader(importlib.abc.Loader):
    def __init__(self, inner, text):
        self.inner, self.text = inner, text

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        exec(compile(self.text, self.inner.path, "exec", dont_inherit=True), module.__dict__)


class WholeFileRun:
    """Collects anew with a mutant's whole files in place, for changes outside of functions."""

    def __init__(self, job, mutant):
        self.job, self.mutant = job, mutant
        self.answer = {"outcome": "died", "passed": 0}

    def __call__(self):
        texts = {os.path.join(self.job["root"], f): t for f, t in self.mutant["files"].items()}
        sys.meta_path.insert(0, Overlay(texts))
        with_items(self.job, self._work)
        return self.answer

    def _work(self, items):
        done = 0
        tests = self.mutant.get("tests") or self.job["tests"]
        for name in tests:
            if name not in items.items or items.fails(name):
                self.answer = {"outcome": "failed", "passed": done, "test": name}
                return
            done += 1
        self.answer = {"outcome": "passed", "passed": done}

    def partial(self):
        return dict(self.answer, outcome="timeout")


def run_whole_files(job, channel):
    for mutant in job["whole_files"]:
        answer, seconds = in_fork(WholeFileRun(job, mutant), job["limit_s"], job["memory_bytes"])
        channel.say(what="mutant", id=mutant["id"], seconds=seconds, **answer)


def main():
    job = json.load(sys.stdin)
    channel = Channel()
    sys.path.insert(0, job["root"])
    sys.setswitchinterval(0.05)
    try:
        if job["what"] == "tests":
            with_items(job, lambda items: first_run(job, items, channel))
        else:
            if job.get("runner") != "unittest":
                __import__("pytest")
            run_whole_files(job, channel)
            if job["mutants"]:
                with_items(job, lambda items: run_mutants(job, items, channel))
        channel.say(what="end", cpu_s=sum(os.times()[:4]))
    except BaseException:  # noqa: BLE001 - it is reported, not handled
        channel.say(what="broken", text=traceback.format_exc()[-2000:])
    os._exit(0)


if __name__ == "__main__":
    main()
