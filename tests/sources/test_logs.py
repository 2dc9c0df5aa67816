"""A service without the probe is heard through its logs, whatever happens to the files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from selfheal_engine.config import Settings, load_settings
from selfheal_engine.errors import TargetError
from selfheal_engine.model import Occurrence, Target
from selfheal_engine.project import Project
from selfheal_engine.sources import open_source
from selfheal_engine.sources.doubles import HOLD_S, Doubles
from selfheal_engine.sources.logs import FileTail, JournalTail, LogReader

CRASH = """Traceback (most recent call last):
  File "{file}", line 2, in price
    return order["zip"]
{mark}TypeError: 'NoneType' object is not subscriptable
"""
SERVICE = """
    import logging, sys, time

    logging.basicConfig(filename=sys.argv[1], format="%(asctime)s [%(process)d] %(message)s")


    def price(order):
        return order["zip"]


    class Shop:
        def serve(self):
            try:
                price(None)
            except TypeError:
                logging.exception("request failed")


    while True:
        Shop().serve()
        time.sleep(0.2)
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "shop.py").write_text('def price(order):\n    return order["zip"]\n')
    return Project(tmp_path, sys.executable)


def crash(project: Project, mark: str = "") -> str:
    return CRASH.format(file=project.root / "shop.py", mark=mark)


class Clock:
    def __init__(self) -> None:
        self.now = time.monotonic()

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def read_all(reader: LogReader) -> list[Occurrence]:
    """What the reader finds until nothing more comes."""
    clock = Clock()
    return [found for _ in range(12) for found in reader.poll(clock)]


def test_only_what_is_written_after_the_first_look_counts(project: Project) -> None:
    log = project.root / "app.log"
    log.write_text(crash(project))
    reader = LogReader(FileTail(log), project, 7)
    assert read_all(reader) == []
    with log.open("a") as stream:
        stream.write("GET / 500\n" + crash(project))
    (found,) = read_all(reader)
    assert (found.exception, found.pid, found.caught_by) == ("TypeError", 7, "log")
    assert found.crash is not None
    assert (found.crash.function, found.crash.line, found.crash.own) == ("price", 2, True)


def test_a_traceback_written_in_pieces_is_one(project: Project) -> None:
    log = project.root / "app.log"
    reader = LogReader(FileTail(log), project, 7)
    text = crash(project)
    found = []
    for start in range(0, len(text), 17):
        with log.open("a") as stream:
            stream.write(text[start : start + 17])
        found += reader.poll()
    found += read_all(reader)
    assert [o.message for o in found] == ["'NoneType' object is not subscriptable"]


@pytest.mark.parametrize("how", ["rename", "truncate", "delete"])
def test_a_rotated_log_is_followed(project: Project, how: str) -> None:
    log = project.root / "app.log"
    log.write_text("old\n" * 200)
    reader = LogReader(FileTail(log), project, 7)
    with log.open("a") as stream:
        stream.write(crash(project))
    found = []
    if how == "rename":
        log.rename(project.root / "app.log.1")
    elif how == "truncate":
        found += read_all(reader)
        os.truncate(log, 0)
    else:
        log.unlink()
    assert how != "rename" or reader.poll() == []
    with log.open("a") as stream:
        stream.write(crash(project))
    found += read_all(reader)
    assert len(found) == 2


def test_a_log_that_does_not_exist_yet_is_waited_for(project: Project) -> None:
    log = project.root / "later.log"
    reader = LogReader(FileTail(log), project, 7)
    assert read_all(reader) == []
    log.write_text(crash(project))
    assert len(read_all(reader)) == 1


def test_a_folder_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="is a folder"):
        FileTail(tmp_path)


def test_a_flood_is_passed_over_and_said_so(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("selfheal_engine.sources.logs.MAX_BEHIND", 5_000)
    monkeypatch.setattr("selfheal_engine.sources.logs.MAX_READ", 1_000)
    log = project.root / "app.log"
    reader = LogReader(FileTail(log), project, 7)
    log.write_text("noise\n" * 5_000 + crash(project))
    assert len(read_all(reader)) == 1
    assert reader.broken


def test_without_journalctl_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(TargetError, match="use --log"):
        JournalTail("shop.service")


def test_a_journal_is_read_through_journalctl(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = project.root / "journalctl"
    text = crash(project)
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > asked\ncat <<'E'\n{text}E\nsleep 30\n")
    program.chmod(0o755)
    monkeypatch.chdir(project.root)
    monkeypatch.setenv("PATH", f"{project.root}:{os.environ['PATH']}")
    reader = LogReader(JournalTail("shop.service"), project, 7)
    try:
        found: list[Occurrence] = []
        end = time.monotonic() + 10
        while not found:
            assert time.monotonic() < end
            found += reader.poll()
    finally:
        reader.tail.close()
    assert found[0].exception == "TypeError"
    asked = (project.root / "asked").read_text().split()
    assert {"--follow", "--output=cat", "--unit=shop.service"} <= set(asked)


# ------------------------------------------------------------ several tellers
@pytest.fixture
def told(project: Project) -> Occurrence:
    (project.root / "a.log").touch()
    reader = LogReader(FileTail(project.root / "a.log"), project, 7)
    (project.root / "a.log").write_text(crash(project))
    return read_all(reader)[0]


def test_what_the_probe_tells_is_not_told_again_by_the_log(told: Occurrence) -> None:
    doubles = Doubles()
    doubles.tell("log", [told], 10.0)
    assert doubles.due(10.5, wait=True) == []
    doubles.told_by_probe([replace(told, exception="builtins.TypeError")], 10.7)
    assert doubles.due(10.0 + HOLD_S, wait=True) == []


def test_what_the_probe_does_not_see_is_told_after_a_moment(told: Occurrence) -> None:
    doubles = Doubles()
    doubles.tell("log", [told], 10.0)
    assert doubles.due(10.0 + HOLD_S, wait=True) == [told]


def test_of_two_others_the_first_one_keeps_telling(told: Occurrence) -> None:
    doubles = Doubles()
    doubles.tell("log", [told], 10.0)
    doubles.tell("sentry", [told], 10.1)
    doubles.tell("log", [told], 11.0)
    assert doubles.due(12.0, wait=False) == [told, told]


# ------------------------------------------------------------ a real service
Plain = Callable[[], tuple[subprocess.Popen[bytes], Path]]


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Plain]:
    """Starts a service without the probe that logs a crash every moment."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> tuple[subprocess.Popen[bytes], Path]:
        folder = tmp_path / "shop"
        folder.mkdir()
        (folder / "shop.py").write_text(textwrap.dedent(SERVICE).lstrip())
        log = tmp_path / "shop.log"
        process = subprocess.Popen([sys.executable, "shop.py", str(log)], cwd=folder)
        started.append(process)
        return process, log

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_service_without_probe_is_heard_by_its_log(plain: Plain, tmp_path: Path) -> None:
    process, log = plain()
    settings = Settings(
        run_dir=str(tmp_path / "run"), state_dir=str(tmp_path / "state"), log_files=(str(log),)
    )
    source = open_source(Target(pid=process.pid), settings)
    try:
        seen: list[Occurrence] = []
        end = time.monotonic() + 20
        while not seen:
            assert time.monotonic() < end
            seen += source.poll(0.2)
        sample = source.sample(time.time())
    finally:
        source.close(stop_service=False)
    assert seen[0].pid == process.pid
    assert [(f.function, f.own) for f in seen[0].frames] == [("Shop.serve", True), ("price", True)]
    assert seen[0].fingerprint
    rate = sample.value("error_rate")
    assert rate is not None
    assert rate > 0
    assert "sink_port" in sample.readings["response_time"].reason
    assert process.poll() is None


@pytest.mark.e2e
def test_attached_by_pid_with_its_log_an_incident_opens(plain: Plain, tmp_path: Path) -> None:
    process, log = plain()
    events = tmp_path / "events.jsonl"
    script = str(Path(sys.executable).with_name("selfheal-tui"))
    app = subprocess.Popen(
        [script, "attach", str(process.pid), "--log", str(log), "--headless", "--interval", "1",
         "--events", str(events), "--state", str(tmp_path / "state"),
         "--run-dir", str(tmp_path / "run")],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        incident = None
        end = time.monotonic() + 60
        while incident is None:
            assert time.monotonic() < end
            assert app.poll() is None
            time.sleep(0.05)
            lines = events.read_text().splitlines() if events.exists() else []
            told = [json.loads(line) for line in lines if line.endswith("}")]
            incident = next((line for line in told if line["kind"] == "incident"), None)
    finally:
        app.send_signal(signal.SIGTERM)
        app.wait(60)
    assert incident["state"] == "open"
    assert incident["fingerprint"]
    assert process.poll() is None


def test_several_logs_are_set_in_every_way(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('log_files = ["/var/log/a", "/var/log/b"]\nsink_port = 4318\n')
    settings, _ = load_settings(config, environ={}, flags={"log_files": None})
    assert settings.log_files == ("/var/log/a", "/var/log/b")
    assert settings.sink_port == 4318
    settings, _ = load_settings(config, environ={}, flags={"log_files": ("c.log",)})
    assert settings.log_files == ("c.log",)
