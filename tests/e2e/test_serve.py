"""`selfheal-tui serve`: the engine outlives its session; who attaches finds it as it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from selfheal_engine.config import Settings
from selfheal_engine.coordinator.remote import RemoteEngine, ServingEngine, serving_engines
from selfheal_engine.errors import SelfhealError

pytestmark = pytest.mark.e2e

SERVICE = """
import logging, time
logging.basicConfig()
number = 0
while True:
    number += 1
    try:
        10 // (number % 3)
    except ZeroDivisionError:
        logging.exception("step failed")
    time.sleep(0.05)
"""


def eventually(condition: Callable[[], object], most_s: float = 40.0) -> None:
    deadline = time.monotonic() + most_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Place:
    """One machine of its own: folders, a service, and the command line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = Settings(run_dir=str(folder / "run"))
        (folder / "project").mkdir()
        self.script = folder / "project" / "daemon.py"
        self.script.write_text(SERVICE, encoding="utf-8")
        self.environ = {**os.environ, "SELFHEAL_RUN_DIR": str(folder / "run")}
        self.session: subprocess.Popen[str] | None = None

    def words(self, *words: str) -> list[str]:
        state = ["--state", str(self.folder / "state"), "--project", str(self.script.parent)]
        return [*self.command("serve"), *state, "--interval", "0.5", *words]

    @staticmethod
    def command(name: str) -> list[str]:
        return [sys.executable, "-m", "selfheal_tui.cli", name]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.words(*words), env=self.environ, capture_output=True, text=True, timeout=90
        )

    def engine(self) -> ServingEngine:
        (found,) = serving_engines(self.settings)
        return found


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    for engine in serving_engines(made.settings):
        made.run("--stop", engine.service)


def test_the_engine_outlives_the_session_that_started_it(place: Place) -> None:
    started = place.run("--", sys.executable, str(place.script))
    assert started.returncode == 0, started.stderr
    engine = place.engine()
    assert f"selfheal-tui attach {engine.service}" in started.stdout
    assert os.getsid(engine.pid) == engine.pid, "a session of its own"
    os.kill(engine.pid, signal.SIGHUP)
    with RemoteEngine(place.engine().path) as one, RemoteEngine(engine.path) as other:
        eventually(lambda: one.snapshot().incidents)
        eventually(lambda: other.snapshot().incidents)
        incident = one.snapshot().incidents[0]
        assert "dismissed" in one.dismiss(incident.id, "known").result(20)
        with pytest.raises(SelfhealError, match="dismissed already"):
            other.dismiss(incident.id, "me too").result(20)
    listed = place.run("--list")
    assert listed.stdout.startswith(f"{engine.service}  engine {engine.pid}")

    pids = place.engine().pids
    stopped = place.run("--stop", engine.service)
    assert stopped.returncode == 0, stopped.stderr
    eventually(lambda: not psutil.pid_exists(engine.pid))
    eventually(lambda: not any(map(psutil.pid_exists, pids)))
    assert serving_engines(place.settings) == []


def test_what_cannot_be_served_is_one_sentence(place: Place) -> None:
    for words, said in (
        ((), "serve what?"),
        (("nosuchservice",), "nosuchservice"),
        (("--stop", "nosuchservice"), "no engine serves nosuchservice"),
        (
            ("--", sys.executable, "-c", "raise SystemExit('the port is taken')"),
            "the port is taken",
        ),
    ):
        done = place.run(*words)
        assert done.returncode == 2, words
        assert said in done.stderr, words
        assert "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "no engine serves here" in place.run("--list").stdout


def test_a_headless_engine_is_looked_at_and_held_by_others(place: Place) -> None:
    words = [
        *place.command("run"),
        "--headless",
        *place.words()[4:],
        *("--", sys.executable, str(place.script)),
    ]
    headless = subprocess.Popen(words, env=place.environ, stdout=subprocess.DEVNULL)
    try:
        eventually(lambda: serving_engines(place.settings))
        engine = place.engine()
        assert engine.pid == headless.pid
        held = place.run("--hold", engine.service)
        assert "nothing is applied" in held.stdout, held.stderr
        assert place.run("--resume", engine.service).stdout == "maintenance is over\n"
        with RemoteEngine(engine.path) as view:
            eventually(lambda: view.snapshot().incidents)
        # a second engine of the same service would finish the first one's work once more
        second = place.run("--foreground", str(engine.pids[0]))
        assert second.returncode == 2
        assert "only looks" in second.stderr
    finally:
        headless.terminate()
        assert headless.wait(30) == 0
    assert serving_engines(place.settings) == []
