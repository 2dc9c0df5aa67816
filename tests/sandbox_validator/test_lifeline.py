"""Whoever is killed, caller or wall, and whenever: nothing behind the wall outlives it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from selfheal_engine.sandbox_validator import isolation, wall
from selfheal_engine.sandbox_validator.limits import MIB, Limits
from selfheal_engine.sandbox_validator.wall import run_walled

GONE_WITHIN_S = 20.0
"""Far more than it takes: a loaded machine starts and ends processes slowly."""

BOMB = """
import os
os.write(1, b"runs")
while True:
    try: os.fork()
    except OSError: pass
"""
SLEEP = "import os, time; os.write(1, b'runs'); time.sleep(600)"
STUBBORN = """
import os, signal, time
for number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)
for n in range(5):
    if os.fork() == 0: os.setsid()
for d in range(3, 200):  # whatever was left open stays open
    try: os.set_inheritable(d, True)
    except OSError: pass
os.write(1, b"runs")
time.sleep(600)
"""
PROGRAMS = {"bomb": BOMB, "sleep": SLEEP, "stubborn": STUBBORN}

CALLER = """
import os, sys, time
from selfheal_engine.sandbox_validator.limits import MIB, Limits
from selfheal_engine.sandbox_validator.wall import start_walled
limits = Limits(wall_s=600, cpu_s=1200, processes=30, disk_bytes=16 * MIB)
argv = [sys.executable, "-I", "-S", "-c", sys.argv[1]]
walled = start_walled(argv, project=None, limits=limits, tier=int(sys.argv[2]))
print(walled.process.pid, flush=True)
os.read(walled.process.stdout.fileno(), 4)
print("runs", flush=True)
time.sleep(600)
"""
WARM_CALLER = """
import sys, threading, time
from pathlib import Path
from selfheal_engine.project import Project
from selfheal_engine.sandbox_validator import jobs
from selfheal_engine.sandbox_validator.jobs import Steps, Workshop
from selfheal_engine.sandbox_validator.limits import MIB, Limits
from selfheal_engine.sandbox_validator.warm import WarmServer
limits = Limits(processes=30, disk_bytes=16 * MIB)
project = Project(Path(sys.argv[1]), sys.executable)
jobs.run_walled = None  # or what was lost with the server would be run again in a new wall
server = WarmServer(project, (), limits, 1)
while server._walled is None: time.sleep(0.001)
print(server._walled.process.pid, flush=True)
server.usable()
if sys.argv[2]:
    shop = Workshop(project, limits, warm=server)
    threading.Thread(target=shop.replay, args=(Steps(modules=("bomb",)), {}), daemon=True).start()
    time.sleep(1.5)
print("runs", flush=True)
time.sleep(600)
"""


def carrying(*marks: str) -> dict[int, str]:
    """Living processes with one of the marks in their arguments."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{name}/cmdline").read_bytes().decode(errors="replace")
            if any(mark in words for mark in marks) and int(name) != os.getpid():
                found[int(name)] = words.replace("\0", " ")[:300]
    return found


def assert_gone(*marks: str) -> None:
    ends = time.monotonic() + GONE_WITHIN_S
    while left := carrying(*marks):
        assert time.monotonic() < ends, left
        time.sleep(0.05)


@pytest.fixture
def mark() -> Iterator[str]:
    """Is in the arguments of all that the test starts; whatever still carries it is killed."""
    mark = uuid.uuid4().hex
    yield mark
    for pid in carrying(mark):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def strike(caller: subprocess.Popen[str], mark: str, who: str, when: str) -> None:
    """Kill one of the two, then see that all of the wall goes."""
    assert caller.stdout is not None
    try:
        launcher = int(caller.stdout.readline())
        if when == "running":
            assert caller.stdout.readline() == "runs\n"
        elif when != "at once":
            time.sleep(float(when))
        victim = caller.pid if who == "caller" else launcher
        os.kill(victim, signal.SIGKILL)
        if who == "launcher":  # the caller stays, and has the mark in its own arguments
            ends = time.monotonic() + GONE_WITHIN_S
            while (left := walled(caller.pid, mark)) and time.monotonic() < ends:
                time.sleep(0.05)
            assert not left
    finally:
        caller.kill()
        caller.wait()
        caller.stdout.close()
    assert_gone(mark, f"selfheal-wall:{caller.pid}:")


def walled(caller: int, mark: str) -> dict[int, str]:
    return {
        pid: words
        for pid, words in carrying(mark, f"selfheal-wall:{caller}:").items()
        # the launcher that was killed is a zombie without arguments until the caller ends
        if pid != caller
    }


def start(script: str, *words: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", script, *words]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


@pytest.mark.parametrize("tier", [1, 2])
@pytest.mark.parametrize("when", ["at once", "0.06", "0.12", "0.2", "running"])
@pytest.mark.parametrize("who", ["caller", "launcher"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_nothing_outlives_whoever_is_killed(
    mark: str, program: str, who: str, when: str, tier: int
) -> None:
    if wall.level().tier > tier:
        pytest.skip("this machine has no namespaces")
    caller = start(CALLER, f"{PROGRAMS[program]}# {mark}", str(tier))
    strike(caller, mark, who, when)


@pytest.mark.parametrize("who", ["caller", "launcher"])
def test_no_moment_of_the_start_leaves_something_behind(mark: str, who: str) -> None:
    """bwrap's own --die-with-parent misses a parent that dies while bwrap starts."""
    if wall.level().tier > 1:
        pytest.skip("this machine has no namespaces")
    for milliseconds in range(30, 80, 4):
        caller = start(CALLER, f"{SLEEP}# {mark}", "1")
        strike(caller, mark, who, str(milliseconds / 1000))


@pytest.mark.parametrize("when", ["at once", "0.1", "running"])
@pytest.mark.parametrize("who", ["caller", "launcher"])
@pytest.mark.parametrize("job", ["", "bomb"])
def test_a_warm_server_and_its_jobs_go_too(
    mark: str, tmp_path: Path, job: str, who: str, when: str
) -> None:
    if wall.level().tier > 1:
        pytest.skip("this machine has no namespaces")
    root = tmp_path / mark
    root.mkdir()
    (root / "bomb.py").write_text(BOMB)
    strike(start(WARM_CALLER, str(root), job), mark, who, when)


@pytest.mark.parametrize("tier", [1, 2])
def test_a_wall_whose_caller_stands_still_ends_by_itself(
    mark: str, monkeypatch: pytest.MonkeyPatch, tier: int
) -> None:
    if wall.level().tier > tier:
        pytest.skip("this machine has no namespaces")
    monkeypatch.setattr(wall, "_OVERDUE_S", -19.0)  # a second after the start
    run = run_walled(
        [sys.executable, "-I", "-S", "-c", f"{STUBBORN}# {mark}"],
        project=None,
        limits=Limits(wall_s=20.0, disk_bytes=16 * MIB),
        tier=tier,
    )
    assert run.infrastructure.startswith("time:")
    assert_gone(mark)


# ---------------------------------------------------------------- strays of before
def sleeping(words: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen([words, "600"], executable="/bin/sleep", env=env or {})


def dead_mark() -> str:
    return re.sub(r":\d+:", ":4194304:", isolation.owner_mark(), count=1)


@pytest.mark.parametrize("prefix", ["", "bwrap:"])
def test_a_wall_whose_owner_is_gone_is_swept(prefix: str) -> None:
    stray = sleeping(prefix + dead_mark())
    try:
        time.sleep(0.2)
        isolation.sweep()
        assert stray.wait(10) == -signal.SIGKILL
    finally:
        stray.kill()
        stray.wait()


def test_a_command_of_the_second_tier_whose_owner_is_gone_is_swept() -> None:
    import tempfile

    copy = f"{tempfile.gettempdir()}/{isolation.COPY_PREFIX}4194304-x"
    stray = sleeping("sleep", {"A": "1", "TMPDIR": f"{copy}/tmp"})
    try:
        time.sleep(0.2)
        isolation.sweep()
        assert stray.wait(10) == -signal.SIGKILL
    finally:
        stray.kill()
        stray.wait()


def test_the_walls_of_those_who_live_are_left_alone() -> None:
    mine = sleeping(isolation.owner_mark())
    elsewhere = sleeping(re.sub(r":\d+:$", ":1:", dead_mark()))
    try:
        time.sleep(0.2)
        isolation.sweep()
        assert (mine.poll(), elsewhere.poll()) == (None, None)
    finally:
        for process in (mine, elsewhere):
            process.kill()
            process.wait()
