"""Plays one case under the app as a person would start it, and keeps what the events say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfheal_tui.demo.playing import Report, end_group, read_report, traffic
from selfheal_tui.demo.prepare import PreparedCase

Plain = dict[str, Any]


@dataclass(slots=True)
class Played:
    """What one run left behind."""

    events: list[Plain]
    report: Report
    bug_s: float
    """When the load began to bring what shows the bug, Unix seconds; 0 when it never came."""
    output: str = ""
    survivors: tuple[int, ...] = ()
    """Processes that should have been gone and were not: a bug of ours."""

    def of_kind(self, *kinds: str) -> list[Plain]:
        return [event for event in self.events if event["kind"] in kinds]

    def of_incident(self, incident: str, *kinds: str) -> list[Plain]:
        return [e for e in self.of_kind(*kinds) if e.get("incident", e.get("id")) == incident]


@dataclass(frozen=True, slots=True)
class Under:
    """How the app is started."""

    approve: str = "never"
    floor: int | None = None
    interval_s: float = 1.0
    options: Sequence[str] = field(default_factory=tuple)


def play_under_the_app(
    prepared: PreparedCase,
    under: Under,
    enough: Callable[[list[Plain], float], bool],
    most_s: float,
    grace_s: float = 0.0,
) -> Played:
    """Run service, app and load until `enough(events, now)` has held for `grace_s`.

    The app gets SIGTERM at the end, as systemd would send it, and ends the service itself.
    """
    folder = prepared.report.parent
    events_file, log_file = folder / "events.jsonl", folder / "app.log"
    command = [
        *(sys.executable, "-m", "selfheal_tui.cli", "run", "--headless"),
        *("--project", str(prepared.project), "--tests", prepared.tests),
        *("--approve", under.approve, "--interval", f"{under.interval_s:g}"),
        *(("--approve-floor", str(under.floor)) if under.floor is not None else ()),
        *("--events", str(events_file), "--state", str(folder / "state")),
        *(*under.options, "--", *prepared.command),
    ]
    env = {**os.environ, **prepared.env, "SELFHEAL_RUN_DIR": str(folder / "run")}
    # a benchmark that is told to end must still end what it started
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    began = time.monotonic()
    with log_file.open("wb") as log:
        app = subprocess.Popen(
            command,
            cwd=prepared.project,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        with traffic(prepared) as load:
            held_since: float | None = None
            while app.poll() is None and time.monotonic() - began < most_s:
                if load.poll() is not None:
                    break
                events = read_events(events_file)
                if enough(events, time.time()):
                    held_since = held_since or time.monotonic()
                    if time.monotonic() - held_since >= grace_s:
                        break
                try:
                    app.wait(0.25)
                except subprocess.TimeoutExpired:
                    continue
    finally:
        end_group(app, patience_s=20.0)
    report = read_report(prepared.report)
    first = next((line for line in report if line["second"] >= prepared.bug_after_s), None)
    return Played(
        events=read_events(events_file),
        report=report,
        bug_s=float(first["time"]) - 1.0 if first else 0.0,
        output=log_file.read_text(encoding="utf-8", errors="replace")[-4000:],
        survivors=end_survivors(prepared.project),
    )


def read_events(path: Path) -> list[Plain]:
    """The events so far; a line in the making is left for the next time."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def end_survivors(project: Path) -> tuple[int, ...]:
    """End whatever still runs in the project's folder, and say which processes that were."""
    import psutil

    left = []
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline())
            if str(project) in words or str(project) == process.cwd():
                process.kill()
                left.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return tuple(left)


def save(name: str, body: object) -> Path:
    """Write a benchmark's figures to `bench-results/<name>.json`."""
    folder = Path("bench-results")
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(body, indent=1, ensure_ascii=False), encoding="utf-8")
    return path
