"""Measures apply and roll-back on a real service: `python tests/benchmarks/apply.py [ROUNDS]`.

Two gunicorn workers with the probe serve requests all the while; a patch is applied and taken
back ROUNDS times (default 30). Printed are the seconds from the call until every worker
confirmed the code, and how many requests failed or were lost meanwhile. Exits 1 when a goal
(0.5 s each, no request lost) is missed.
"""

from __future__ import annotations

import http.client
import socket
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from selfheal_engine.config import Settings
from selfheal_engine.healer import apply_patch, revert_patch
from selfheal_engine.healer.rebase import unified
from selfheal_engine.model import Candidate, Target
from selfheal_engine.project import sha256
from selfheal_engine.sources import open_source

GOAL_S = 0.5
OLD = b"""\
def answer(number):
    return "old %d" % number


def application(environ, start_response):
    body = answer(7).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
NEW = OLD.replace(b'return "old', b'number = number or 0\n    return "new')


class Traffic:
    """Four clients that never stop asking."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answers: dict[str, int] = {}
        self.failed = 0
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(4)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        while not self._ended.is_set():
            try:
                channel = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
                channel.request("GET", "/")
                body = channel.getresponse().read().decode()
                channel.close()
            except OSError:
                body = ""
            with self._lock:
                if body in ("old 7", "new 7"):
                    self.answers[body] = self.answers.get(body, 0) + 1
                else:
                    self.failed += 1
            self._ended.wait(0.01)


def main(rounds: int = 30) -> int:
    with tempfile.TemporaryDirectory(prefix="selfheal-apply-") as name:
        folder = Path(name)
        project = folder / "project"
        project.mkdir()
        (project / "web.py").write_bytes(OLD)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = Settings(
            project=str(project),
            state_dir=str(folder / "state"),
            run_dir=str(folder / "run"),
            canary=False,
        )
        command = (sys.executable, "-m", "gunicorn", "-w", "2", "-b", f"127.0.0.1:{port}")
        place = ("--chdir", str(project), "web:application")
        source = open_source(Target(command=command + place), settings)
        candidate = Candidate(
            "c1",
            "null_check",
            "guard",
            "answer otherwise",
            unified("web.py", OLD, NEW),
            (("web.py", NEW),),
            (("web.py", sha256(OLD)),),
            ("answer",),
        )
        applied_s, reverted_s, confirmed = [], [], []
        try:
            while sum(p.has_probe for p in source.service().processes) < 3:
                source.poll(0.2)
            traffic = Traffic(port)
            vault = folder / "originals"
            for _ in range(rounds):
                source.poll(0.1)
                start = time.perf_counter()
                applied = apply_patch(candidate, source.project, source, settings, vault)
                applied_s.append(time.perf_counter() - start)
                confirmed.append(sum(len(result.swapped) for result in applied.processes))
                source.poll(0.1)
                reverted = revert_patch(applied, source.project, source, settings, vault)
                reverted_s.append(reverted.seconds)
                assert reverted.ok, reverted.reason
            traffic.stop()
        finally:
            source.close(stop_service=True)
    for what, seconds in (("apply", applied_s), ("roll back", reverted_s)):
        print(
            f"{what:<10} {rounds} times: median {statistics.median(seconds) * 1000:.0f} ms, "
            f"worst {max(seconds) * 1000:.0f} ms ({GOAL_S * 1000:.0f})"
        )
    print(
        f"confirmed  by {min(confirmed)} to {max(confirmed)} workers each time; "
        f"{sum(traffic.answers.values()):,} requests answered ({traffic.answers}), "
        f"{traffic.failed} failed or lost (0)"
    )
    return int(max(applied_s + reverted_s) > GOAL_S or traffic.failed > 0 or min(confirmed) < 2)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2])))
