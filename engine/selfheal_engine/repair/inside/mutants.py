"""Mutants against tests: screened together, then each in a fork; whole files written.

Runs inside the sandbox: standard library only, Python 3.9 and later.
"""

from __future__ import annotations

import gc
import os
import signal
import types
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfheal_engine.repair.inside.collecting import with_items
    from selfheal_engine.repair.inside.exchanging import place, running_functions
    from selfheal_engine.repair.inside.forks import Channel, in_fork
else:
    from collecting import with_items
    from exchanging import place, running_functions
    from forks import Channel, in_fork

Job = dict[str, Any]
Answer = dict[str, Any]
Mutant = dict[str, Any]
Running = dict[str, list[types.FunctionType]]
Test = Callable[[], Any]
"""Runs a test: None when it passes, else how it failed."""


SCREENED_TOGETHER = 100


class MutantRun:
    """Puts one mutant in place (None: nothing) and runs the tests until one fails."""

    def __init__(
        self,
        items: Any,
        mutant: Mutant | None,
        tests: list[str],
        job: Job,
        running: Running,
    ) -> None:
        self.items, self.mutant, self.tests, self.root = items, mutant, tests, job["root"]
        self.limits, self.limit_s, self.running = job["limits"], job["test_limit_s"], running
        self.done = 0

    def __call__(self) -> Answer:
        if self.mutant is not None and not place(self.mutant, self.root, self.running):
            return {"outcome": "unplaced", "passed": 0}
        signal.signal(signal.SIGVTALRM, signal.getsignal(signal.SIGUSR1))
        for name in self.tests:
            # processor time, so that a loaded machine changes no verdict
            signal.setitimer(signal.ITIMER_VIRTUAL, self.limits.get(name, self.limit_s))
            if self.items.fails(name):
                return {"outcome": "failed", "passed": self.done, "test": name}
            self.done += 1
        return {"outcome": "passed", "passed": self.done}

    def partial(self) -> Answer:
        name = self.tests[self.done] if self.done < len(self.tests) else ""
        return {"outcome": "timeout", "passed": self.done, "test": name}


class Screening:
    """Runs one quick failing test on many mutants in one process, and tells which ones pass it.

    The first mutant that loops or dies ends the process; those behind it get a new one.
    """

    def __init__(
        self, test: Test, mutants: list[Mutant], job: Job, running: Running, before: list[Any]
    ) -> None:
        self.test, self.mutants, self.root, self.before = test, mutants, job["root"], before
        self.further: dict[int, list[Any]] = {}
        """By mutant that fails in another way: how far the test came, and where it fails now."""
        self.running = running
        self.limit_s = job["limits"].get(job["failing"][0], job["test_limit_s"])
        self.passed: list[int] = []
        self.unplaced: list[int] = []
        self.at = 0

    def __call__(self) -> Answer:
        signal.signal(signal.SIGVTALRM, signal.getsignal(signal.SIGUSR1))
        for at, mutant in enumerate(self.mutants):
            self.at = at
            saved = self._functions_of(mutant)
            signal.setitimer(signal.ITIMER_VIRTUAL, self.limit_s)
            self._try(mutant)
            for function, code, defaults, keyword in saved:
                function.__code__ = code
                function.__defaults__, function.__kwdefaults__ = defaults, keyword
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        return self._answer(len(self.mutants))

    def _try(self, mutant: Mutant) -> None:
        try:
            if not place(mutant, self.root, self.running):
                self.unplaced.append(mutant["id"])
                return
            failure = self.test()
        except BaseException:  # noqa: BLE001 - whatever it is, the test has failed
            return
        if failure is None:
            self.passed.append(mutant["id"])
        else:
            moved = progress(self.before, failure, self.root.rstrip("/") + "/")
            if moved is not None:
                self.further[mutant["id"]] = moved

    def _functions_of(self, mutant: Mutant) -> list[tuple[Any, ...]]:
        files = {os.path.join(self.root, part["file"]) for part in mutant["parts"]}
        functions = [f for file in files for f in self.running.get(file, [])]
        return [(f, f.__code__, f.__defaults__, f.__kwdefaults__) for f in functions]

    def _answer(self, at: int) -> Answer:
        return {
            "outcome": "ended",
            "passed": self.passed,
            "unplaced": self.unplaced,
            "further": list(self.further.items()),
            "at": at,
        }

    def partial(self) -> Answer:
        return dict(self._answer(self.at + 1), outcome="timeout")


class Steadiness:
    """Whether a test fails the same way each time that one process runs it."""

    def __init__(self, test: Test) -> None:
        self.test = test

    def __call__(self) -> Answer:
        first = self.test()
        steady = first is not None and all(self.test() == first for _ in range(3))
        return {"outcome": "ended", "steady": steady, "failure": first}

    def partial(self) -> Answer:
        return {"outcome": "timeout"}


BROKEN = ("NameError", "UnboundLocalError", "SyntaxError", "RecursionError")
"""What a failing edit raises because it makes no sense here."""


def progress(before: list[Any], after: list[Any], root: str) -> list[Any] | None:
    """[lines that the test came further, file, line, exception] of another failure than before.

    None where it is the same one, comes earlier in the test, or shows that the edit is broken.
    """
    old = [step for step in before[1:] if step[0].startswith(root)]
    new = [step for step in after[1:] if step[0].startswith(root)]
    if not old or not new or after[0] in BROKEN or old[0][0] != new[0][0]:
        return None
    if (before[0], old[-1]) == (after[0], new[-1]) or new[0][1] < old[0][1]:
        return None
    file, line = new[-1]
    return [new[0][1] - old[0][1], file[len(root) :], line, after[0]]


def screened(items: Any, job: Job, running: Running) -> Iterator[Mutant]:
    """The mutants that pass the quickest failing test; all of them where it cannot be repeated.

    What a mutant leaves behind in the process may fail those after it, so the first ones, which
    are the likeliest, are tried alone whatever the screening said.
    """
    test = items.repeatable(job["failing"][0]) if job["failing"] else None
    limit = job["limits"].get(job["failing"][0], job["test_limit_s"]) if job["failing"] else 1.0
    before: list[Any] = []
    if test is not None:
        answer, _ = in_fork(Steadiness(test), 2.0 + 4 * limit, job["memory_bytes"])
        before = answer.get("failure") or []
        if not answer.get("steady"):
            test = None
    if test is None:
        yield from job["mutants"]
        return
    mutants, at = job["mutants"], 0
    while at < len(mutants):
        batch = mutants[at : at + SCREENED_TOGETHER]
        work = Screening(test, batch, job, running, before)
        wall = 2.0 + 4 * limit + 0.05 * len(batch) + 2 * limit * len(batch)
        answer, _ = in_fork(work, wall, job["memory_bytes"])
        kept = {*(answer.get("passed") or ()), *(answer.get("unplaced") or ())}
        # a process that died said nothing: its mutants are tried one by one
        done = answer.get("at") or len(batch)
        further = dict(answer.get("further") or ())
        for number, mutant in enumerate(batch[:done], at):
            if mutant["id"] in further:
                mutant["further"] = further[mutant["id"]]
            if "at" not in answer or mutant["id"] in kept or number < job.get("alone", 0):
                yield mutant
            else:
                yield dict(mutant, screened=True)
        at += done


def run_mutants(job: Job, items: Any, channel: Channel) -> None:
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
            said = {"id": mutant["id"], "further": mutant.get("further")}
            channel.say(what="mutant", outcome="failed", seconds=0.0, **said)
            continue
        tests = [t for t in mutant.get("tests") or job["tests"] if t in items.items]
        limit = sum(limits.get(t, job["test_limit_s"]) for t in tests) + 0.5
        answer: Answer = {"outcome": "passed"}
        seconds = 0.0
        # the failing tests first; then all in their own order, for tests may lean on each other
        for some in ([t for t in tests if t in job["failing"]], tests):
            if answer["outcome"] == "passed" and some:
                work = MutantRun(items, mutant, some, job, running)
                answer, took = in_fork(work, min(job["limit_s"], limit), job["memory_bytes"])
                seconds += took
        if answer["outcome"] == "passed":
            # what an earlier run left on disk may let the failing tests pass without any patch
            work = MutantRun(items, None, [t for t in tests if t in job["failing"]], job, running)
            control, took = in_fork(work, min(job["limit_s"], limit), job["memory_bytes"])
            if control["outcome"] == "passed":
                answer = {"outcome": "unproven", "passed": 0}
        said = {"id": mutant["id"], "further": mutant.get("further")}
        channel.say(what="mutant", seconds=seconds, **said, **answer)


class Written:
    """Whole files as a mutant has them, for as long as the block runs; the sandbox's copy only.

    On disk, not in an import hook: the project's tests may start processes of their own, and
    pytest's own hook reads from disk the files whose assertions it rewrites.
    """

    def __init__(self, root: str, files: dict[str, str]) -> None:
        # each character is a byte of the file, whatever its encoding
        self.texts = {os.path.join(root, file): text for file, text in files.items()}
        self.before: dict[str, tuple[bytes, os.stat_result] | None] = {}

    def __enter__(self) -> None:
        for path, text in self.texts.items():
            if os.path.exists(path):
                with open(path, "rb") as old:
                    self.before[path] = (old.read(), os.stat(path))
            else:
                self.before[path] = None
                os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as new:
                new.write(text.encode("latin-1"))

    def __exit__(self, *error: object) -> None:
        for path, kept in self.before.items():
            if kept is None:
                os.unlink(path)
                continue
            with open(path, "wb") as old:
                old.write(kept[0])
            os.utime(path, ns=(kept[1].st_atime_ns, kept[1].st_mtime_ns))


class WholeFileRun:
    """Collects anew, for changes outside of functions; the mutant's files are in place."""

    def __init__(self, job: Job, mutant: Mutant) -> None:
        self.job, self.mutant = job, mutant
        self.answer: Answer = {"outcome": "died", "passed": 0}

    def __call__(self) -> Answer:
        with_items(self.job, self._work)
        return self.answer

    def _work(self, items: Any) -> None:
        done = 0
        for name in self.mutant.get("tests") or self.job["tests"]:
            inside = items.inside(name)
            if not inside or any(items.fails(test) for test in inside):
                self.answer = {"outcome": "failed", "passed": done, "test": name}
                return
            done += len(inside)
        self.answer = {"outcome": "passed", "passed": done}

    def partial(self) -> Answer:
        return dict(self.answer, outcome="timeout")


def run_whole_files(job: Job, channel: Channel) -> None:
    if not job["whole_files"]:
        return
    answers = []
    started = sum(os.times()[:4])
    for mutant in job["whole_files"]:
        if sum(os.times()[:4]) - started > job["cpu_s"]:
            break
        run = WholeFileRun(job, mutant)
        with Written(job["root"], mutant["files"]):
            answers.append((mutant, *in_fork(run, job["limit_s"], job["memory_bytes"])))
    if any(answer["outcome"] == "passed" for _, answer, _ in answers):
        # without any patch, after all that may be left behind: if that passes, nothing is proven
        bare = {"files": {}, "tests": job["failing"] or job["tests"]}
        control, _ = in_fork(WholeFileRun(job, bare), job["limit_s"], job["memory_bytes"])
        if control["outcome"] == "passed":
            answers = [(m, dict(a, outcome="unproven"), s) for m, a, s in answers]
    for mutant, answer, seconds in answers:
        channel.say(what="mutant", id=mutant["id"], seconds=seconds, **answer)
