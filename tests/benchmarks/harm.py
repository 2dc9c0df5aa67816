"""Measures what becomes of patches that do harm: `python -m tests.benchmarks.harm [KIND ...]`.

A real service under gunicorn with two workers fails one call in five. Each patch mends that,
and most do something else besides: answer slower, leak, fail anew, or mend nothing. Printed are
what the watch made of it, after how long, and how many requests failed since the patch came.
Exits 1 when a harmful patch was kept or a good one taken back.
"""

from __future__ import annotations

import random
import socket
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from selfheal_engine import SelfHealingCoordinator
from selfheal_engine.config import Settings
from selfheal_engine.coordinator.loop import EngineLoop
from selfheal_engine.coordinator.parts import Parts
from selfheal_engine.healer.rebase import unified
from selfheal_engine.model import (
    Candidate,
    Check,
    Event,
    IncidentState,
    Proposal,
    Snapshot,
    Target,
    Verdict,
)
from selfheal_engine.project import sha256

SERVICE = """\
KEPT = []
ORDERS = [{"id": n, "address": {"zip": str(n)} if n % 5 else None} for n in range(200)]


def city(order):
    return order["address"]["zip"]


def application(environ, start_response):
    body = str(city(ORDERS[int(environ["PATH_INFO"].strip("/") or 1)])).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
FAILING = '    return order["address"]["zip"]\n'
GUARD = '    if order["address"] is None:\n        return None\n'
KINDS = {
    "good": GUARD,
    "30 ms slower": GUARD + '    __import__("time").sleep(0.03)\n',
    "100 ms slower": GUARD + '    __import__("time").sleep(0.1)\n',
    "leaks 100 kB a call": GUARD + "    KEPT.append(bytearray(100_000))\n",
    "leaks 50 kB a call": GUARD + "    KEPT.append(bytearray(50_000))\n",
    "fails anew": GUARD + '    if order["id"] % 7 == 0:\n        raise KeyError("fee")\n',
    "mends nothing": "    order = dict(order)\n",
}
LONGEST_S = 180.0


class Traffic:
    """Two clients; the failing calls are among theirs once `failing` is set."""

    def __init__(self, port: int) -> None:
        self.failing = False
        self.failed = 0
        self._port = port
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(2)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, seed: int) -> None:
        chance = random.Random(seed)
        while not self._ended.wait(0.05):
            number = chance.randrange(1, 200)
            if number % 5 == 0 and not self.failing:
                continue
            try:
                url = f"http://127.0.0.1:{self._port}/{number}"
                urllib.request.urlopen(url, timeout=10).read()
            except (urllib.error.URLError, OSError):
                self.failed += 1


class Story:
    """The first incident and how it ends."""

    def __init__(self) -> None:
        self.opened, self.ended = threading.Event(), threading.Event()
        self.incident, self.kind, self.text = "", "", ""

    def __call__(self, news: Snapshot | Event) -> None:
        if not isinstance(news, Event):
            return
        if news.kind == "incident" and news.body["exception"] and not self.incident:
            self.incident = str(news.body["id"])
            self.opened.set()
        if news.kind in ("healed", "rolled_back") and news.body["incident"] == self.incident:
            self.kind = news.kind
            self.text = str(news.body.get("text") or news.body.get("reason"))
            self.ended.set()


def main(kinds: list[str]) -> int:
    wrong = 0
    for kind in kinds or list(KINDS):
        with tempfile.TemporaryDirectory(prefix="selfheal-harm-") as folder:
            ended, text, seconds, failed = play(KINDS[kind], Path(folder))
        wrong += ended != ("healed" if kind == "good" else "rolled_back")
        print(f"{kind:<20} {ended:<12} after {seconds:5.1f} s, {failed:>3} failed: {text}")
    return int(wrong > 0)


def play(patch: str, folder: Path) -> tuple[str, str, float, int]:
    """(how it ended, in which words, seconds from the approval, requests that failed since)."""
    project = folder / "project"
    project.mkdir()
    (project / "web.py").write_text(SERVICE, encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = Settings(
        project=str(project),
        state_dir=str(folder / "state"),
        run_dir=str(folder / "run"),
        interval_s=1.0,
    )
    place = ("-w", "2", "-b", f"127.0.0.1:{port}", "--chdir", str(project), "web:application")
    story = Story()
    engine = SelfHealingCoordinator(settings, Target(command=("gunicorn", *place)))
    engine.subscribe(story)
    with engine:
        traffic = Traffic(port)
        try:
            time.sleep(20)  # what it is like without a failure
            traffic.failing = True
            story.opened.wait(LONGEST_S)
            time.sleep(3)
            engine._post(lambda parts, loop: propose(patch, story.incident, parts, loop)).result(30)
            engine.approve(story.incident, "c1").result(30)
            start_s, failed = time.monotonic(), traffic.failed
            story.ended.wait(LONGEST_S)
            return story.kind, story.text, time.monotonic() - start_s, traffic.failed - failed
        finally:
            traffic.stop()


def propose(patch: str, incident_id: str, parts: Parts, loop: EngineLoop) -> None:
    """Put the patch in the place of whatever the search would find."""
    loop.investigations.cancel(incident_id)
    old = SERVICE.encode()
    new = SERVICE.replace(FAILING, patch + FAILING).encode()
    candidate = Candidate(
        "c1",
        "null_check",
        "guard",
        "answer nothing for an order without an address",
        unified("web.py", old, new),
        (("web.py", new),),
        (("web.py", sha256(old)),),
        ("city",),
        risk="low",
    )
    verdict = Verdict("c1", (Check("reproducer", "passed", "3 of 3", 3),), 95, True)
    proposal = Proposal(incident_id, (candidate,), (verdict,), "high", time.time())
    loop.ledger.move(incident_id, IncidentState.PROPOSED, proposal=proposal)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
