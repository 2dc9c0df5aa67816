"""A child process that is waited for far longer than usual is told; a supervisor's is not."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfheal_agent import children
from selfheal_agent.capture import Capture
from selfheal_agent.children import ChildWatch
from tests.agent.conftest import MakeModule

CONVERTER = """
    import os
    import subprocess
    import sys

    STOP = os.path.join(os.path.dirname(__file__), "stop")
    CHILD = "import os, sys, time; end = time.monotonic() + float(sys.argv[1])\\n"
    CHILD += "while time.monotonic() < end and not os.path.exists(sys.argv[2]): time.sleep(0.02)"


    def run(seconds):
        subprocess.run([sys.executable, "-S", "-c", CHILD, str(seconds), STOP])


    def fork(seconds):
        words = [sys.executable, "-S", "-c", CHILD, str(seconds), STOP]
        pid = os.posix_spawn(sys.executable, words, {})
        os.waitpid(pid, 0)


    def work(convert, shorts):
        for _ in range(shorts):
            convert(0.1)
        convert(600)
"""


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> tuple[ChildWatch, list[dict[str, Any]]]:
    monkeypatch.setattr(children, "STUCK_S", 0.3)
    monkeypatch.setattr(children, "USUAL_MIN_S", 0.1)
    told: list[dict[str, Any]] = []
    return ChildWatch(Capture(told.append, lambda tb: None)), told


def looked(watch: ChildWatch, enough: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not enough():
        assert time.monotonic() < end
        watch.look()
        time.sleep(0.02)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("how", ["run", "fork"])
def test_a_child_that_hangs_is_told_where_it_is_waited_for(
    how: str,
    tmp_path: Path,
    make_module: MakeModule,
    watch: tuple[ChildWatch, list[dict[str, Any]]],
) -> None:
    module = make_module("converter", CONVERTER)
    thread = threading.Thread(target=module.work, args=(getattr(module, how), 8), daemon=True)
    thread.start()
    try:
        looked(watch[0], lambda: watch[1])
    finally:
        (tmp_path / "stop").touch()
        thread.join()
    [record] = watch[1]
    own = [frame for frame in record["frames"] if frame["own"]]
    assert [frame["function"].rpartition(".")[2] for frame in own] == ["work", how]
    assert record["durations_s"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_child_that_was_never_seen_to_end_is_a_supervisors(
    tmp_path: Path, make_module: MakeModule, watch: tuple[ChildWatch, list[dict[str, Any]]]
) -> None:
    module = make_module("converter", CONVERTER)
    thread = threading.Thread(target=module.work, args=(module.run, 0), daemon=True)
    thread.start()
    begun = time.monotonic()
    try:
        looked(watch[0], lambda: watch[0]._stood and time.monotonic() > begun + 2)
    finally:
        (tmp_path / "stop").touch()
        thread.join()
    assert watch[1] == []
