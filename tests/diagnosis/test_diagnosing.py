"""A diagnosis names the failing expression, where the None came from and how to replay it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "patch_generator"))

from playing import occurrence_of, project_of

from selfheal_engine.diagnosis import diagnose
from selfheal_engine.diagnosis.reproducers import at_once
from selfheal_engine.diagnosis.source_file import Sources
from selfheal_engine.model import Diagnosis, Reproducer
from selfheal_engine.patch_generator.rules import Example


def diagnosed(
    tmp_path: Path, before: str, columns: bool = True, kind: str = "exception"
) -> Diagnosis:
    example = Example(before, kind=kind)
    project = project_of(example, tmp_path)
    return diagnose(occurrence_of(example, tmp_path, columns), project)


LOOKUP = """
    USERS = {}


    def find(name):
        return USERS.get(name)


    def city(user):
        return user.city.title()


    def f():
        user = find('x')
        return city(user)
    """


@pytest.mark.parametrize("columns", [True, False])
def test_a_none_is_followed_through_the_caller_to_the_lookup(tmp_path: Path, columns: bool) -> None:
    found = diagnosed(tmp_path, LOOKUP, columns)
    assert found.bug_type == "null_check"
    assert found.failing_expression == "user.city"
    assert "`USERS.get(name)` has no default" in found.none_origin
    assert {s.function for s in found.suspects} >= {"city", "find", "f"}


@pytest.mark.parametrize(
    ("body", "expression"),
    [
        ("rows = {'a': 1}\n    return rows['a'] + rows['b']", "rows['b']"),
        ("rows = [1]\n    i = 3\n    return rows[0] + rows[i]", "rows[i]"),
        ("a = 1\n    zero = 0\n    return a * 2 + a / zero", "a / zero"),
        ("a = None\n    return len('x') + len(a)", "len(a)"),
    ],
)
def test_without_columns_the_captured_values_name_the_expression(
    tmp_path: Path, body: str, expression: str
) -> None:
    found = diagnosed(tmp_path, f"def f():\n    {body}\n", columns=False)
    assert found.failing_expression == expression


@pytest.mark.parametrize(
    ("before", "kind", "bug_type"),
    [
        (
            "import os\n\n\ndef f():\n    return os.environ['NOT_SET_X']\n",
            "exception",
            "null_check",
        ),
        ("def f(page='x'):\n    return int(page)\n", "exception", "error_handling"),
        ("def f():\n    raise ConnectionResetError(104)\n", "exception", "error_handling"),
        ("def f(rows=()):\n    return rows[0]\n", "exception", "logic_correction"),
        ("def f()\n    return 1\n", "syntax", "syntax_fix"),
        ("CACHE = {}\n\n\ndef f(k):\n    CACHE[k] = 1  # <- here\n", "leak", "memory_leak_fix"),
        ("def f(q):\n    return q.get()  # <- here\n", "stall", "timeout_guard"),
        ("def f(p):\n    return open(p)  # <- here\n", "resource", "resource_cleanup"),
    ],
)
def test_the_bug_type_follows_from_what_was_seen(
    tmp_path: Path, before: str, kind: str, bug_type: str
) -> None:
    assert diagnosed(tmp_path, before, kind=kind).bug_type == bug_type


def test_who_takes_and_does_not_give_back_is_suspected_first(tmp_path: Path) -> None:
    before = """
        class Pool:
            def __init__(self):
                self._free = []

            def rent(self):
                return self._free.pop()

            def bring(self, item):
                self._free.append(item)


        POOL = Pool()


        def report(kind='x'):
            item = POOL.rent()
            if kind == 'x':
                return 1
            POOL.bring(item)
            return 2


        def f():
            raise OSError(24, 'Too many open files')
        """
    found = diagnosed(tmp_path, before)
    assert found.bug_type == "resource_cleanup"
    assert found.suspects[0].function == "report"


def test_an_empty_pool_is_replayed_by_repetition_alone(tmp_path: Path) -> None:
    before = """
        import queue

        POOL = queue.Queue()


        def acquire():
            return POOL.get(timeout=0.01)


        def release(item):
            POOL.put(item)


        def report(kind='x'):
            item = acquire()
            if kind == 'x':
                return 1
            release(item)
            return 2


        def f():
            return report()
        """
    example = Example(before)
    project = project_of(example, tmp_path)
    occurrence = occurrence_of(example, tmp_path)
    frames = tuple(
        replace(frame, arguments='{"$":"d","v":{"args":[],"kwargs":{"$":"d","v":{}}}}')
        for frame in occurrence.frames
    )
    found = diagnose(replace(occurrence, frames=frames), project)
    assert found.suspects[0].function == "report"
    assert {one.kind for one in found.reproducers} == {"growth"}


def test_a_loop_that_goes_on_is_replayed_by_what_it_calls(tmp_path: Path) -> None:
    example = Example(
        """
        def run(job):
            return int(job)


        def f(jobs=('x',)):
            while True:
                for job in jobs:
                    run(job)
        """
    )
    project = project_of(example, tmp_path)
    occurrence = occurrence_of(example, tmp_path)
    frames = tuple(replace(frame, arguments="{}") for frame in occurrence.frames)
    found = diagnose(replace(occurrence, frames=frames), project)
    assert [one.functions for one in found.reproducers if one.kind == "call"] == [("run",)]


def test_a_broken_module_is_replayed_by_importing_it(tmp_path: Path) -> None:
    found = diagnosed(tmp_path, "def f()\n    return 1\n", kind="syntax")
    assert [r.kind for r in found.reproducers] == ["import"]
    assert found.reproducers[0].file == "example.py"


def test_a_frame_of_older_code_is_found_on_its_new_line_or_said_to_be_gone(tmp_path: Path) -> None:
    example = Example("def f(a=None):\n    return a.city\n")
    project = project_of(example, tmp_path)
    occurrence = occurrence_of(example, tmp_path)
    (tmp_path / "example.py").write_text("X = 1\n\n\ndef f(a=None):\n    return a.city\n")
    moved = diagnose(occurrence, project)
    assert moved.failing_expression == "a.city"
    assert moved.suspects[0].line == 5
    (tmp_path / "example.py").write_text("def f(a=None):\n    return 1\n")
    assert "older code" in diagnose(occurrence, project).summary


def test_whoever_made_a_wrong_value_is_a_suspect(tmp_path: Path) -> None:
    found = diagnosed(
        tmp_path,
        """
        ROOMS = {'a': {'size': '12'}}


        def size(room):
            kept = room['size']
            return kept.strip()


        def fits(room, people):
            return people < size(room)


        def f():
            return fits(ROOMS['a'], 3)
        """,
    )
    assert [s.function for s in found.suspects][:2] == ["fits", "size"]


def test_a_lock_left_taken_points_at_who_left_it(tmp_path: Path) -> None:
    found = diagnosed(
        tmp_path,
        """
        import threading

        LOCK = threading.Lock()
        NAMES = []


        def add(name):
            LOCK.acquire()
            if name in NAMES:
                return False
            NAMES.append(name)
            LOCK.release()
            return True


        def careful(name):
            LOCK.acquire()
            try:
                return name in NAMES
            finally:
                LOCK.release()


        def f():
            with LOCK:  # <- here
                return sorted(NAMES)
        """,
        kind="stall",
    )
    assert found.bug_type == "race_condition_fix"
    assert found.suspects[0].function == "add"
    assert "careful" not in [s.function for s in found.suspects]


def test_a_loop_without_an_end_is_no_replay_of_a_call_that_hangs_in_it(tmp_path: Path) -> None:
    example = Example(
        """
        def ask(q):
            return q.get()  # <- here


        def f(q):
            while True:
                ask(q)
        """,
        kind="stall",
    )
    project = project_of(example, tmp_path)
    occurrence = occurrence_of(example, tmp_path)
    asked = replace(occurrence.frames[-1], function="ask", arguments="[[], {}]")
    loop = replace(asked, function="f", line=asked.line + 5, source_line="ask(q)")
    found = diagnose(replace(occurrence, frames=(loop, asked)), project)
    assert [(r.kind, r.functions) for r in found.reproducers] == [("stall", ("ask",))]


def test_a_worker_that_never_ends_is_replayed_by_its_round(tmp_path: Path) -> None:
    example = Example(
        """
        from queue import Queue

        JOBS = Queue()
        JOBS.put('x')


        def f():
            while True:
                job = JOBS.get()
                int(job)
        """,
        kind="thread_death",
    )
    project = project_of(example, tmp_path)
    occurrence = occurrence_of(example, tmp_path)
    # the arguments it was entered with are known, yet called again it would wait for ever
    frames = tuple(replace(frame, arguments="[[], {}]") for frame in occurrence.frames)
    found = diagnose(replace(occurrence, frames=frames), project)
    assert found.reproducers[0].kind == "statement"
    assert found.reproducers[0].crash_function == "f"


@pytest.mark.parametrize(
    ("loop", "ended"),
    [
        ("while True:\n        job = JOBS.get()\n        int(job)", True),
        ("for job in iter(JOBS.get, None):\n        int(job)", True),
        ("for job in ['x']:\n        int(job)", False),
        ("int(JOBS.get())", False),
    ],
)
def test_a_thread_that_was_to_work_on_is_missed(tmp_path: Path, loop: str, ended: bool) -> None:
    head = "from queue import Queue\n\nJOBS = Queue()\nJOBS.put('x')\n\n\n"
    example = Example(f"{head}def f():\n    {loop}\n", kind="thread_death")
    project = project_of(example, tmp_path)
    occurrence = occurrence_of(example, tmp_path)
    assert diagnose(occurrence, project).ended_worker is ended
    assert not diagnose(replace(occurrence, kind="exception"), project).ended_worker


DESK = """\
class Desk:
    def take(self):
        return self.waiting.pop(min(self.waiting))

    async def take_later(self):
        return self.waiting.pop(min(self.waiting))


def take(waiting):
    return waiting.pop(min(waiting))
"""
OBJECT = '{"$":"d","v":{"args":[{"$":"object","c":["desk","Desk"],"state":{}}]}}'
LIST = '{"$":"d","v":{"args":[[1,2]]}}'


@pytest.mark.parametrize(
    ("function", "arguments", "exception", "together"),
    [
        ("Desk.take", OBJECT, "KeyError", True),
        ("Desk.take", OBJECT, "TypeError", False),
        ("Desk.take_later", OBJECT, "KeyError", False),
        ("take", LIST, "KeyError", False),
    ],
)
def test_a_call_whose_key_was_taken_is_made_by_several_threads_at_once(
    tmp_path: Path, function: str, arguments: str, exception: str, together: bool
) -> None:
    example = Example(LOOKUP)
    project = project_of(example, tmp_path)
    (tmp_path / "desk.py").write_text(DESK)
    seen = replace(occurrence_of(example, tmp_path, True), exception=exception)
    call = Reproducer("call", file="desk.py", functions=(function,), arguments=(arguments,))
    found = at_once(seen, Sources(project), (call,))
    assert found == ((replace(call, kind="interleaving"),) if together else ())
