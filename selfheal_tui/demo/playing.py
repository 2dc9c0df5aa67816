"""Runs a prepared case: its load, its service without the app, and what the load reported.

Whatever is started here leads a process group of its own, and the whole group is gone when the
context ends, however it ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from selfheal_tui.demo.prepare import PreparedCase

Report = list[dict[str, Any]]


@contextmanager
def traffic(prepared: PreparedCase, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """The case's load, with `more` options of the driver's (`--seconds 30`)."""
    log = prepared.report.with_name("traffic.log")
    with log.open("ab") as out:
        process = subprocess.Popen(
            [*prepared.traffic_command, *more],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end_group(process)


@contextmanager
def service(prepared: PreparedCase) -> Iterator[subprocess.Popen[bytes]]:
    """The case's service as it is, without the probe and without the app."""
    log = prepared.report.with_name("service.log")
    with log.open("ab") as out:
        process = subprocess.Popen(
            prepared.command,
            cwd=prepared.project,
            env={**os.environ, **prepared.env},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end_group(process)


def end_group(process: subprocess.Popen[bytes], patience_s: float = 8.0) -> None:
    """Ask the process' group to end, and end it for good after `patience_s`."""
    _signal_group(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(patience_s)
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()


def read_report(path: Path) -> Report:
    """What the load has written so far, one dictionary a second; a line in the making is left."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def wait_for_report(
    path: Path, load: subprocess.Popen[bytes], enough: Callable[[Report], bool], most_s: float = 60
) -> Report:
    """The report once `enough` holds of it, or as it stands when the load ends or time is up."""
    waited_s = 0.0
    while True:
        report = read_report(path)
        if enough(report) or load.poll() is not None or waited_s >= most_s:
            return report
        try:
            load.wait(0.2)
        except subprocess.TimeoutExpired:
            waited_s += 0.2


def _signal_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)
