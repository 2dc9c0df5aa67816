"""The app in a real pseudo-terminal: resizing in a storm of events, a line that drops."""

from __future__ import annotations

import fcntl
import os
import pty
import random
import re
import select
import signal
import struct
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest

PATIENCE_S = 40.0
SGR = re.compile(rb"\x1b\[([0-9;]*)m")
MANY_FRAMES = 10_000
"""Bytes that dozens of later snapshots cost."""

STORM = """
import sys, threading
from dataclasses import replace
from selfheal_engine.config import Settings
from selfheal_engine.model import Event
from selfheal_tui.app import SelfhealApp
from tests.tui import fake_engine

engine = fake_engine.FakeEngine()
ended = threading.Event()

def storm():
    tick = 0
    while not ended.wait(0.01):
        tick += 1
        state = engine.state
        health = replace(state.health, score=float(tick % 100))
        engine.publish(replace(state, time_s=state.time_s + 1, health=health))

if "storm" in sys.argv:
    threading.Thread(target=storm, daemon=True).start()
app = SelfhealApp(engine, Settings(state_dir=sys.argv[1], bell=True), owns_service=True)
code = app.run()
ended.set()
with open(sys.argv[1] + "/end", "w") as end:
    print(code, app.stop_service, engine.subscribers, file=end)
"""


class Terminal:
    """A child in a pseudo-terminal; everything it writes is read."""

    def __init__(self, pid: int, master: int) -> None:
        self.pid, self.master = pid, master
        self.output = b""

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, wait_s: float = 0.05) -> None:
        ready, _, _ = select.select([self.master], [], [], wait_s)
        if ready:
            try:
                self.output += os.read(self.master, 1 << 16)
            except OSError:
                return

    def until(self, text: bytes) -> None:
        deadline = monotonic() + PATIENCE_S
        while text not in self.output:
            assert monotonic() < deadline, self.output[-3000:]
            self.read()

    def ended(self) -> int:
        """The exit status, waited for while the terminal is still read."""
        deadline = monotonic() + PATIENCE_S
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            assert monotonic() < deadline, self.output[-3000:]
            self.read()


@contextmanager
def terminal(folder: Path, *words: str, **environ: str) -> Iterator[Terminal]:
    pid, master = pty.fork()
    if pid == 0:
        env = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": os.getcwd(), **environ}
        for fixed in ("COLUMNS", "LINES"):  # a test runner's, not this terminal's
            env.pop(fixed, None)
        os.execve(sys.executable, [sys.executable, "-c", STORM, str(folder), *words], env)
    window = Terminal(pid, master)
    window.resize(120, 40)
    try:
        yield window
    finally:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pid = 0
        os.close(window.master)


@pytest.mark.e2e
def test_the_app_survives_resizing_in_a_storm_of_snapshots(tmp_path: Path) -> None:
    sizes = random.Random(7)
    with terminal(tmp_path, "storm") as window:
        window.until(b"INCIDENTS")
        for _ in range(60):
            window.resize(sizes.randrange(20, 220), sizes.randrange(4, 70))
            window.read()
        window.resize(120, 40)
        window.output = b""
        window.until(b"INCIDENTS")
        os.write(window.master, b"q")
        window.until(b"leave it running")
        os.write(window.master, b"l")
        assert window.ended() == 0
    assert (tmp_path / "end").read_text() == "0 False 0\n"


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_line_that_drops_ends_the_app_in_order_and_leaves_the_service(
    number: signal.Signals, tmp_path: Path
) -> None:
    with terminal(tmp_path) as window:
        window.until(b"INCIDENTS")
        os.kill(window.pid, number)
        assert window.ended() == 0
    assert (tmp_path / "end").read_text() == "0 False 0\n"


@pytest.mark.e2e
def test_a_terminal_that_vanishes_ends_the_app_in_order(tmp_path: Path) -> None:
    with terminal(tmp_path) as window:
        window.until(b"INCIDENTS")
        master, window.master = window.master, os.open(os.devnull, os.O_RDONLY)
        os.close(master)
        deadline = monotonic() + PATIENCE_S
        while not (tmp_path / "end").exists():
            assert monotonic() < deadline
            select.select([], [], [], 0.05)
        os.waitpid(window.pid, 0)
    assert (tmp_path / "end").read_text() == "0 False 0\n"


@pytest.mark.e2e
def test_a_proposal_rings_and_notifies_once(tmp_path: Path) -> None:
    with terminal(tmp_path, "storm") as window:
        window.until(b"\x1b]777;notify;selfheal-tui;#12")
        window.output = b""
        deadline = monotonic() + PATIENCE_S
        while len(window.output) < MANY_FRAMES:
            assert monotonic() < deadline
            window.read()
        assert b"\x1b]777" not in window.output


@pytest.mark.e2e
def test_without_colours_no_colour_is_sent(tmp_path: Path) -> None:
    with terminal(tmp_path, NO_COLOR="1") as window:
        window.until(b"INCIDENTS")
        os.write(window.master, b"\r")
        window.until(b"WHY")
        looks = {int(n) for codes in SGR.findall(window.output) for n in codes.split(b";") if n}
        assert looks <= {0, 1, 2, 3, 4, 7, 9, 39, 49}


@pytest.mark.e2e
def test_a_locale_without_unicode_gets_ascii_and_nothing_else(tmp_path: Path) -> None:
    with terminal(tmp_path, LC_ALL="C") as window:
        window.until(b"INCIDENTS")
        os.write(window.master, b"\r")
        window.until(b"WHY")
        drawn = window.output.replace(b"\x1b]777", b"")
        assert drawn.isascii(), [chunk for chunk in drawn.split() if not chunk.isascii()][:5]
