"""A service at the edge of the operating system: what it reports is scripted, the rest is real.

The parts behind it, memory, monitor, detector, tracker and healer, are the shipped ones; a
patch is really written to a real file.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from selfheal_engine.anomaly_detector import AnomalyDetector, IncidentTracker
from selfheal_engine.config import Settings
from selfheal_engine.coordinator.parts import Parts
from selfheal_engine.coordinator.publishing import Publisher
from selfheal_engine.episodic_memory import EpisodicMemory
from selfheal_engine.health_monitor import HealthMonitor
from selfheal_engine.model import (
    METRICS,
    Candidate,
    Check,
    EndpointStat,
    Event,
    Frame,
    FunctionSwap,
    Incident,
    IncidentState,
    Occurrence,
    ProcessInfo,
    Proposal,
    Reading,
    Sample,
    ServiceInfo,
    Snapshot,
    SwapResult,
    Verdict,
    WaitingThread,
)
from selfheal_engine.project import Project, sha256

BROKEN = b"def total(order):\n    return order['address']['zip']\n"
MENDED = b"""def total(order):
    if order['address'] is None:
        return None
    return order['address']['zip']
"""
DIFF = """--- a/shop.py
+++ b/shop.py
@@ -1,2 +1,4 @@
 def total(order):
+    if order['address'] is None:
+        return None
     return order['address']['zip']
"""


class ScriptedService:
    """Two workers that swap what they are asked to; `refuse` and `arriving` are the script."""

    def __init__(self, root: Path) -> None:
        self.project = Project(root, sys.executable)
        self.arriving: list[Occurrence] = []
        self.swaps: list[FunctionSwap] = []
        self.reverts: list[FunctionSwap] = []
        self.refuse = ""
        self.exit_status: int | None = None
        self.alive = True
        self.pids = (11, 12)

    def poll(self, timeout_s: float) -> list[Occurrence]:
        arrived, self.arriving = self.arriving, []
        if not arrived:
            time.sleep(min(timeout_s, 0.01))
        return arrived

    def wake(self) -> None:
        return None

    def sample(self, now_s: float) -> Sample:
        readings = {name: Reading(1.0) for name in METRICS if name != "anomaly_score"}
        return Sample(now_s, 0.05, {**readings, "anomaly_score": Reading(None)})

    def service(self) -> ServiceInfo:
        workers = tuple(ProcessInfo(pid, 1, "shop", 0.0, has_probe=True) for pid in self.pids)
        return ServiceInfo("shop", str(self.project.root), "shop", workers, alive=self.alive)

    def endpoints(self) -> tuple[EndpointStat, ...]:
        return ()

    def threads(self) -> tuple[WaitingThread, ...]:
        return ()

    def refresh_threads(self) -> None:
        return None

    def drops(self) -> int:
        return 0

    def read_only(self) -> str:
        return ""

    def route_counts(self) -> dict[str, tuple[int, int]]:
        return {}

    def durations(self, route: str = "") -> dict[int, Counter[int]]:
        return {}

    def recent_durations(self, route: str = "") -> Counter[int]:
        return Counter()

    def request_memory_report(self, wait_s: float) -> None:
        return None

    def record_good_calls(self, file: str, functions: tuple[str, ...]) -> None:
        return None

    root_pid = 11

    def restart(self) -> str | None:
        return "this app did not start it"

    def expect_restart(self) -> None:
        return None

    def hold_text(self, path: str) -> None:
        return None

    def swap(self, swap: FunctionSwap, pids: tuple[int, ...] = ()) -> list[SwapResult]:
        self.swaps.append(swap)
        return [
            SwapResult(pid, not self.refuse, ("total",), self.refuse) for pid in pids or (11, 12)
        ]

    def revert(self, swap: FunctionSwap, pids: tuple[int, ...] = ()) -> list[SwapResult]:
        self.reverts.append(swap)
        return [SwapResult(pid, True, ("total",)) for pid in pids or (11, 12)]

    def close(self, stop_service: bool) -> None:
        self.alive = False


def parts_for(folder: Path, told: Callable[[Snapshot | Event], None], **settings: Any) -> Parts:
    """Real parts around a scripted service whose project is `folder`/project."""
    project = folder / "project"
    project.mkdir(exist_ok=True)
    if not (project / "shop.py").exists():
        (project / "shop.py").write_bytes(BROKEN)
    chosen = Settings(
        project=str(project), state_dir=str(folder / "state"), interval_s=0.05,
        **{"canary": False, "watch_s": 1.0, **settings},
    )  # fmt: skip
    publisher = Publisher("")
    publisher.subscribe(told)
    memory = EpisodicMemory(chosen.state_path())
    source: Any = ScriptedService(project)
    return Parts(
        settings=chosen,
        source=source,
        monitor=HealthMonitor(chosen, None),
        detector=AnomalyDetector(chosen, None),
        tracker=IncidentTracker(memory.next_number()),
        memory=memory,
        publisher=publisher,
    )


def occurrence(name: str = "o1", fingerprint: str = "f1") -> Occurrence:
    """A failure of the one line there is; another fingerprint is one of another line."""
    line = 2 if fingerprint == "f1" else 9
    frame = Frame("shop.py", line, "total", own=True, source_line="return order['address']['zip']")
    return Occurrence(
        name, "exception", time.time(), 11, "TypeError", "no", (frame,), fingerprint=fingerprint
    )


def candidate(name: str = "c1", made_for: bytes = BROKEN) -> Candidate:
    return Candidate(
        name,
        "null_check",
        "guard",
        "answer None",
        DIFF,
        (("shop.py", MENDED),),
        (("shop.py", sha256(made_for)),),
        ("total",),
        confidence=0.9,
        risk="low",
    )


def verdict(name: str = "c1") -> Verdict:
    return Verdict(name, (Check("reproducer", "passed", "3 of 3", 3),), 95, True)


def proposed(incident: Incident, *candidates: Candidate) -> Incident:
    """The incident as it is when its proposal has come."""
    shown = candidates or (candidate(),)
    proposal = Proposal(incident.id, shown, tuple(verdict(c.id) for c in shown), "high", 1.0)
    return replace(incident, state=IncidentState.PROPOSED, proposal=proposal)
