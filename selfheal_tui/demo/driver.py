"""Open-loop load on a service: requests leave on time, whether the service keeps up or not.

The shop's traffic and every load of the zoo are a plan, a function that says what the next
request is; this is what plays a plan and counts. The report has one JSON object a second:

    {"time": unix s, "second": n, "requests": n, "ok": n, "refused": n (4xx), "failed": n (5xx),
     "timeouts": n, "lost": n (no answer for another reason), "p95_ms": x, "bad": n (requests of
     the kind that shows the bug), "bad_failed": n, "in_flight": n,
     "total_requests": n, "total_failed": n, "total_lost": n}

`failed` in the totals counts 5xx, timeouts and lost ones together: what a customer calls failed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import IO, Any

CLIENTS = 64
REQUESTS_PER_CONNECTION = 12
"""Connections end after so many, so that the load spreads over the service's workers."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks. `bad` marks requests of the kind that shows the bug."""

    method: str
    path: str
    body: object | None = None
    """Sent as JSON; bytes are sent as they are."""
    headers: dict[str, str] = field(default_factory=dict)
    bad: bool = False
    timeout_s: float = 6.0


@dataclass(frozen=True, slots=True)
class Moment:
    """Where the load stands when the next request is made up."""

    rng: random.Random
    number: int
    elapsed_s: float
    bug_on: bool
    """The time has come for what shows the bug."""


Plan = Callable[[Moment], Request]
Sender = Callable[["Options", Request], int]
"""Sends a request and returns its status; raises OSError or HTTPException without an answer."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line of every load has."""

    port: int
    upstream_port: int
    project: str
    seed: int
    rate_per_s: float
    bug_after_s: float
    report: str
    seconds: float
    """0: until it is told to stop."""
    story: str


def options(arguments: list[str] | None = None) -> Options:
    """The options from a command line."""
    parser = argparse.ArgumentParser(description="Plays load against a service of the demo.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream-port", type=int, default=0)
    parser.add_argument("--project", default="")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=20.0, help="requests a second")
    parser.add_argument("--bug-after", type=float, default=20.0, help="seconds of health before")
    parser.add_argument("--report", default="", help="JSON-lines file for the counts")
    parser.add_argument("--seconds", type=float, default=0.0, help="0: until stopped")
    parser.add_argument("--story", default="", help="which of the load's stories to play")
    given = parser.parse_args(arguments)
    return Options(
        port=given.port,
        upstream_port=given.upstream_port,
        project=given.project,
        seed=given.seed,
        rate_per_s=given.rate,
        bug_after_s=given.bug_after,
        report=given.report,
        seconds=given.seconds,
        story=given.story,
    )


_connections = threading.local()


def send_http(chosen: Options, request: Request) -> int:
    """Send over a kept connection; one that the server closed meanwhile is opened again once."""
    kept: tuple[HTTPConnection, int] | None = getattr(_connections, "kept", None)
    if kept is not None and kept[1] < REQUESTS_PER_CONNECTION:
        try:
            return _exchange(kept[0], kept[1], request)
        except TimeoutError:
            raise
        except (OSError, HTTPException):
            kept[0].close()  # closed while idle, as any server may: the client opens a new one
    elif kept is not None:
        kept[0].close()
    connection = HTTPConnection("127.0.0.1", chosen.port, timeout=request.timeout_s)
    return _exchange(connection, 0, request)


def _exchange(connection: HTTPConnection, used: int, request: Request) -> int:
    body, headers = None, dict(request.headers)
    if isinstance(request.body, bytes):
        body = request.body
    elif request.body is not None:
        body = json.dumps(request.body).encode()
        headers.setdefault("Content-Type", "application/json")
    _connections.kept = None
    connection.timeout = request.timeout_s
    if connection.sock is not None:
        connection.sock.settimeout(request.timeout_s)
    try:
        connection.request(request.method, request.path, body, headers)
        answer = connection.getresponse()
        answer.read()
    except BaseException:
        connection.close()
        raise
    _connections.kept = (connection, used + 1)
    return answer.status


@dataclass(slots=True)
class _Second:
    requests: int = 0
    ok: int = 0
    refused: int = 0
    failed: int = 0
    timeouts: int = 0
    lost: int = 0
    bad: int = 0
    bad_failed: int = 0
    times_ms: list[float] = field(default_factory=list)


class Load:
    """Plays one plan against one service and counts what became of every request."""

    def __init__(self, chosen: Options, plan: Plan, send: Sender = send_http) -> None:
        self._options, self._plan, self._send = chosen, plan, send
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._now = _Second()
        self._totals = {"requests": 0, "failed": 0, "lost": 0}
        self._in_flight = 0
        self._parent = os.getppid()

    def stop(self, *_signal: object) -> None:
        self._stop.set()

    def run(self) -> None:
        """Play until stopped, until the time is up, or until the parent process is gone."""
        if not self._wait_for_service(60.0):
            return
        chosen, rng = self._options, random.Random(self._options.seed)
        began, number, second = time.monotonic(), 0, 0
        due = began
        with self._open_report() as report, ThreadPoolExecutor(CLIENTS) as clients:
            while not self._stop.is_set():
                elapsed = time.monotonic() - began
                if int(elapsed) > second:
                    self._write(report, second)
                    second = int(elapsed)
                    if os.getppid() != self._parent:
                        break
                if chosen.seconds and elapsed >= chosen.seconds:
                    break
                moment = Moment(rng, number, elapsed, elapsed >= chosen.bug_after_s)
                request = self._plan(moment)
                with self._lock:
                    self._in_flight += 1
                clients.submit(self._play, request)
                number += 1
                # arrivals of a Poisson process, as independent customers make them
                due += rng.expovariate(chosen.rate_per_s)
                self._stop.wait(max(0.0, due - time.monotonic()))
            clients.shutdown(wait=True, cancel_futures=True)
            self._write(report, second)

    def _wait_for_service(self, most_s: float) -> bool:
        until = time.monotonic() + most_s
        while not self._stop.is_set() and time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self._options.port), timeout=1).close()
                return True
            except OSError:
                self._stop.wait(0.1)
        return False

    def _play(self, request: Request) -> None:
        began = time.monotonic()
        outcome = "lost"
        try:
            status = self._send(self._options, request)
            outcome = "failed" if status >= 500 else "refused" if status >= 400 else "ok"
        except TimeoutError:
            outcome = "timeouts"
        except (OSError, HTTPException):
            outcome = "lost"
        taken_ms = (time.monotonic() - began) * 1000
        hurt = outcome in ("failed", "timeouts", "lost")
        with self._lock:
            now = self._now
            setattr(now, outcome, getattr(now, outcome) + 1)
            now.requests += 1
            now.times_ms.append(taken_ms)
            now.bad += request.bad
            now.bad_failed += request.bad and hurt
            self._in_flight -= 1
            self._totals["requests"] += 1
            self._totals["failed"] += hurt
            self._totals["lost"] += outcome == "lost"

    def _open_report(self) -> IO[str]:
        path = self._options.report or os.devnull
        return Path(path).open("a", encoding="utf-8")

    def _write(self, report: IO[str], second: int) -> None:
        with self._lock:
            now, self._now = self._now, _Second()
            totals, in_flight = dict(self._totals), self._in_flight
        times = sorted(now.times_ms)
        line: dict[str, Any] = {
            "time": round(time.time(), 3),
            "second": second,
            "requests": now.requests,
            "ok": now.ok,
            "refused": now.refused,
            "failed": now.failed,
            "timeouts": now.timeouts,
            "lost": now.lost,
            "bad": now.bad,
            "bad_failed": now.bad_failed,
            "p95_ms": round(times[int(len(times) * 0.95)], 1) if times else None,
            "in_flight": in_flight,
        }
        line.update({f"total_{name}": count for name, count in totals.items()})
        report.write(json.dumps(line) + "\n")
        report.flush()


def play(plan: Plan, chosen: Options | None = None, send: Sender = send_http) -> None:
    """What a load's script calls: play the plan with the command line's options."""
    load = Load(chosen or options(sys.argv[1:]), plan, send)
    signal.signal(signal.SIGTERM, load.stop)
    signal.signal(signal.SIGINT, load.stop)
    load.run()
