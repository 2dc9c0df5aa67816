"""The line drops in the middle of an apply: the service runs on, and one comes back to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from selfheal_tui.demo.cases import find_case
from selfheal_tui.demo.prepare import PreparedCase, prepare
from tests.e2e.terminal import Terminal

pytestmark = pytest.mark.e2e
SCRIPT = str(Path(sys.executable).parent / "selfheal-tui")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[PreparedCase]:
    """A prepared service; whatever still runs of it afterwards is ended."""
    prepared = prepare(find_case("checkout"), tmp_path / "demo", bug_after_s=8)
    yield prepared
    for process in processes(str(prepared.project)):
        process.send_signal(signal.SIGKILL)


def processes(word: str) -> list[psutil.Process]:
    """Every process with the word in its command line."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(word in part for part in process.info["cmdline"] or ())
    ]


def until(condition: Callable[[], object], most_s: float) -> None:
    deadline = time.monotonic() + most_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.1)


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def test_a_line_that_drops_while_a_patch_is_applied_loses_nothing(
    shop: PreparedCase, tmp_path: Path
) -> None:
    state, run = str(tmp_path / "state"), str(tmp_path / "run")
    env = {
        **{key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ},
        **shop.env,
        "TERM": "xterm-256color",
        "SELFHEAL_RUN_DIR": run,
    }
    common = f"--state {state} --interval 1"
    command = f"{SCRIPT} {common} run --project {shop.project} -- {' '.join(shop.command)}"
    (first := tmp_path / "first").mkdir()
    terminal = Terminal(first, command, cwd=shop.project, env=env)
    try:
        terminal.wait_for("every 1 s", most_s=60)
        until(lambda: answers(shop.port), most_s=60)
        traffic = subprocess.Popen(shop.traffic_command, cwd=shop.project)
        try:
            terminal.wait_for("waiting for you", most_s=120)
            terminal.send("a")
            terminal.wait_for("apply this patch", most_s=20)
            terminal.send("y")
            terminal.close()
            until(lambda: not processes(f"{common.split()[1]}"), most_s=60)
            assert answers(shop.port)
            source = shop.project / "shop" / "checkout.py"
            compile(source.read_text(encoding="utf-8"), str(source), "exec")
        finally:
            traffic.terminate()
            traffic.wait(20)
    finally:
        terminal.close()
    (second := tmp_path / "second").mkdir()
    again = Terminal(second, f"{SCRIPT} {common} attach :{shop.port}", cwd=shop.project, env=env)
    try:
        again.wait_for("every 1 s", most_s=60)
        again.send("2")
        again.wait_for("#1", "no episodes yet", most_s=30)
        again.send("q")
        again.wait_for("exit code 0", most_s=30)
        assert answers(shop.port)
    finally:
        again.close()
