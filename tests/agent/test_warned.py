"""Resources that are dropped open, and exceptions that nobody hears of, are recorded quietly."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from selfheal_agent import hooks
from selfheal_agent.capture import Capture

DROPPED = ("resource True ResourceWarning drop 5", "resource True ResourceWarning work 8")
"""A function's variables are let go when it returns: in its caller, on most Pythons."""
ROOM = Path(hooks.__file__).resolve().parent.parent


def run(tmp_path: Path, body: str) -> list[str]:
    """Lines that a fresh interpreter printed: the listening changes a whole process."""
    (tmp_path / "shop.py").write_text(
        textwrap.dedent("""\
        import socket

        def drop():
            connection = socket.socket()
            return connection.fileno()

        def work():
            return drop()

        def ratio(x):
            try:
                return 1 / x
            except ZeroDivisionError:
                return None
        """)
    )
    script = f"""
import sys
sys.path[:0] = [{str(ROOM)!r}, {str(tmp_path)!r}]
from selfheal_agent import frames, swallowed, warned
from selfheal_agent.capture import Capture, finish
frames.set_project({str(tmp_path)!r})
records = []
capture = Capture(records.append, lambda tb: None)
import shop
{textwrap.dedent(body)}
for record in map(finish, records):
    frame = record["frames"][-1]
    print(record["kind"], record["handled"], record["exception"], frame["function"], frame["line"])
"""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SELFHEAL"))}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=env, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return [*done.stdout.splitlines(), *(f"stderr: {x}" for x in done.stderr.splitlines())]


def test_a_socket_dropped_open_is_told_with_its_place_and_not_shown(tmp_path: Path) -> None:
    (line,) = run(tmp_path, "warned.install(capture)\nfor _ in range(5): shop.work()")
    assert line in DROPPED


def test_warnings_that_the_service_wants_to_see_are_still_shown(tmp_path: Path) -> None:
    body = "import warnings; warnings.simplefilter('always')\nwarned.install(capture)\nshop.work()"
    told = run(tmp_path, body)
    assert told[0] in DROPPED
    assert any("unclosed <socket.socket" in line for line in told[1:])


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring came with 3.12")
def test_an_exception_caught_silently_is_told_as_handled(tmp_path: Path) -> None:
    told = run(tmp_path, "assert swallowed.install(capture)\nshop.ratio(0); shop.ratio(1)")
    assert told == ["exception True ZeroDivisionError ratio 12"]


def test_an_event_that_comes_again_at_once_is_counted_and_needs_no_frames() -> None:
    taken: list[dict[str, Any]] = []
    capture = Capture(taken.append, lambda tb: None)
    for _ in range(5):
        record: dict[str, Any] = {"kind": "log"}
        if capture.is_new("key"):
            record["frames"] = []
        capture.event(record, "key")
    assert all("frames" in record for record in taken)
    assert sum(r["count"] for r in taken) + sum(c for _, c in capture.unreported()) == 5
    gc.collect()
