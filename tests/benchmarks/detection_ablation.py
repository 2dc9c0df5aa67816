"""What each part of the detection is worth: every part off in turn.

    python -m tests.benchmarks.detection_ablation month [--days 6] [--seed 3]
    python -m tests.benchmarks.detection_ablation charts [--days 1.3] [--step-s 5] [--faults 8]
    python -m tests.benchmarks.detection_ablation nab SCORER.py GIT_DIR
    python -m tests.benchmarks.detection_ablation smd SCORER.py GIT_DIR

`month` plays one simulated life and counts incidents as if the alerts of one detector had not
been there. `charts` plays services of detection_wild.py, so many faults a day, and leaves out
one part of the health monitor at a time; what means of several samples are worth shows at
steps shorter than 5 s only. `nab` and `smd` leave out one view of the one-metric and
one part of the joint
detector; SCORER.py is the script that scores a detector on that data (it is given a detector
factory), GIT_DIR a git directory of the data's repository.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np

from selfheal_engine.anomaly_detector import AnomalyDetector, IncidentTracker
from selfheal_engine.anomaly_detector.joint import PARTS as JOINT_PARTS
from selfheal_engine.anomaly_detector.many_metrics import Multivariate
from selfheal_engine.anomaly_detector.one_metric import VIEWS, Univariate
from selfheal_engine.config import Settings
from selfheal_engine.health_monitor import HealthMonitor, subgroups
from selfheal_engine.health_monitor.failures import Failures
from selfheal_engine.health_monitor.load import Load
from selfheal_engine.health_monitor.recurring import Recurring
from selfheal_engine.health_monitor.slow_shift import SlowShift
from selfheal_engine.health_monitor.subgroups import Subgroup
from selfheal_engine.health_monitor.usual_peaks import UsualPeaks
from selfheal_engine.model import Alert

sys.path.insert(0, str(Path(__file__).parent))

from detection_service import STEP_S, Life, simulate
from detection_wild import simulate_wild
from detection_wild_faults import FAULTS

GROUPS = ("control_chart", "hard_limit", "signature", "leak", "forecast")
WARM_UP = 200


def month(days: float, seed: int) -> None:
    """One pass; a tracker for each group of detectors left out, one with all."""
    life = simulate(days, seed, round(days * 100 / 30 * 1.2))
    settings = Settings(interval_s=STEP_S)
    monitor = HealthMonitor(settings)
    detector = AnomalyDetector(settings, off=frozenset({"forest"}))
    trackers = {group: IncidentTracker() for group in ("", *GROUPS)}
    opened: dict[str, list[float]] = {group: [] for group in trackers}
    leaks: dict[str, list[float]] = {group: [] for group in trackers}
    known: set[str] = set()
    busy = False
    for row, sample in enumerate(life.samples()):
        alerts = monitor.ingest(sample, in_incident=busy)
        assessment = detector.ingest(sample, busy)
        monitor.set_anomaly(assessment.score, assessment.metrics)
        alerts += assessment.alerts
        for group, tracker in trackers.items():
            kept = [a for a in alerts if not group or a.detector.split(":")[0] != group]
            for incident in tracker.observe(sample.time_s, kept, ()):
                if incident.id not in known and row > WARM_UP:
                    opened[group].append(sample.time_s)
                known.add(incident.id)
            leaks[group] += [sample.time_s for a in kept if a.detector in ("leak", "forecast")]
        busy = any(not i.state.ended for i in trackers[""].incidents()[:3])
    detector.close()
    print(f"{'left out':16} {'found':>7} {'false':>6} {'median delay s':>15}")
    for group in trackers:
        delays = []
        for fault in life.faults:
            times = [t for t in opened[group] if fault.start_s <= t <= fault.end_s + 120]
            if fault.kind.endswith("leak"):
                times += [t for t in leaks[group] if fault.start_s <= t <= fault.limit_s]
            delays += [min(times) - fault.start_s] if times else []
        false = _false(opened[group], life)
        middle = float(np.median(delays)) if delays else float("nan")
        found = f"{len(delays)}/{len(life.faults)}"
        print(f"{group or 'nothing':16} {found:>7} {len(false):>6} {middle:>15.0f}")


LEAKLESS = tuple(kind for kind in FAULTS if not kind.endswith("leak"))
CHARTED = (("busy web", 21), ("small shop", 22), ("worker", 23), ("heavy-tailed api", 24))
CHART_PARTS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "nothing": nullcontext,
    "slow shifts": lambda: patch.object(SlowShift, "standing", False),
    "doubt while they grow": lambda: patch.object(SlowShift, "doubtful", False),
    "scatter of means": lambda: patch.object(Subgroup, "_learn", lambda self, mean: None),
    "few clear requests": lambda: patch.object(subgroups, "CLEAR", math.inf),
    "own peaks": lambda: patch.object(UsualPeaks, "_fit", lambda self: None),
    "schedules": lambda: patch.object(Recurring, "period_s", lambda self: None),
    "load": lambda: patch.object(Load, "update", lambda self, sample, learning: None),
    "failing requests": lambda: patch.object(Failures, "told", lambda self: ""),
}


def charts(days: float, step_s: float, faults: float) -> None:
    """What the detector says is the same for every part of the monitor, so it is asked once."""
    totals = {part: Counter[str]() for part in CHART_PARTS}
    delays: dict[str, list[float]] = {part: [] for part in CHART_PARTS}
    for name, seed in CHARTED:
        life = simulate_wild(
            days, seed, round(faults * days), name=name, step_s=step_s, kinds=LEAKLESS
        )
        settings = Settings(interval_s=life.step_s)
        detector = AnomalyDetector(settings, off=frozenset(JOINT_PARTS))
        told = [detector.ingest(sample, False).alerts for sample in life.samples()]
        detector.close()
        for part, left_out in CHART_PARTS.items():
            with left_out():
                times = _openings(HealthMonitor(settings), life, told)
            for fault in life.faults:
                seen = [t for t in times if fault.start_s <= t <= fault.end_s + 120]
                totals[part] += Counter(faults=1, found=bool(seen))
                delays[part] += [seen[0] - fault.start_s] if seen else []
            totals[part]["false"] += len(_false(times, life))
    print(f"{'left out':24} {'found':>7} {'false':>6} {'median delay s':>15}", flush=True)
    for part, total in totals.items():
        found = f"{total['found']}/{total['faults']}"
        middle = float(np.median(delays[part] or [math.nan]))
        print(f"{part:24} {found:>7} {total['false']:>6} {middle:>15.0f}")


def _openings(monitor: HealthMonitor, life: Life, told: list[tuple[Alert, ...]]) -> list[float]:
    """When incidents opened."""
    tracker, known, times = IncidentTracker(), set[str](), []
    busy = False
    for row, sample in enumerate(life.samples()):
        alerts = [*monitor.ingest(sample, in_incident=busy), *told[row]]
        for incident in tracker.observe(sample.time_s, alerts, ()):
            if incident.id not in known and row > WARM_UP:
                times.append(sample.time_s)
            known.add(incident.id)
        busy = any(not i.state.ended for i in tracker.incidents()[:3])
    return times


def _false(times: list[float], life: Life) -> list[float]:
    return [t for t in times if not any(f.start_s <= t <= f.end_s + 120 for f in life.faults)]


class _Silent:
    """Stands in for a view that is left out."""

    def update(self, value: float) -> float:
        return 0.0


def one_metric(view: str) -> Callable[[], Univariate]:
    def make() -> Univariate:
        detector = Univariate()
        records: list[Any] = list(detector._records)
        if view == "the burst rule":
            detector._rise = _Through()  # type: ignore[assignment]
        elif view:
            records[VIEWS.index(view)] = _Silent()
        detector._records = tuple(records)
        return detector

    return make


class _Through(_Silent):
    def update(self, value: float) -> float:
        return value


PARTS = ("jump", "relation", "change")


def joint(part: str) -> Callable[[int], Multivariate]:
    def make(number: int) -> Multivariate:
        detector = Multivariate(number)
        nothing = np.zeros(number)
        if part == "jump":
            detector._jump.sigmas = lambda values, floor: nothing  # type: ignore[method-assign]
        if part == "relation":
            detector._rows.residual = lambda values: nothing  # type: ignore[method-assign]
        if part == "change":
            detector._steps.residual = lambda values: nothing  # type: ignore[method-assign]
        return detector

    return make


def nab(scorer: ModuleType, git_dir: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="nab-") as root:
        scorer.export(git_dir, root, ["data", "labels"])
        corpus = scorer.load_corpus(root)
    print(f"{'left out':24} {'standard':>9} {'low FP':>7} {'low FN':>7} {'A->B':>6} {'B->A':>6}")
    for view in ("", "the burst rule", *VIEWS):
        scores, _ = scorer.run_detector(one_metric(view), corpus)
        told = scorer.report(corpus, scores)
        every = [told["all"][p]["score"] for p in scorer.PROFILES]
        split = [told[t]["standard"] for t in ("tuneA_testB", "tuneB_testA")]
        print(
            f"{view or 'nothing':24} {every[0]:9.2f} {every[1]:7.2f} {every[2]:7.2f} "
            f"{split[0]:6.1f} {split[1]:6.1f}",
            flush=True,
        )


def smd(scorer: ModuleType, git_dir: str) -> None:
    print(f"{'left out':12} recall at one false incident a server-day")
    for part in ("", *PARTS):
        line = f"{part or 'nothing':12}"
        for which in ("asd", "smd"):
            servers = scorer.load(git_dir, which)
            scores = {}
            for name, train, test, _ in servers:
                detector = joint(part)(test.shape[1])
                rows = np.vstack([train, test])
                told = [detector.update(60.0 * i, row) for i, row in enumerate(rows)]
                scores[name] = np.array(told[len(train) :])
            result = scorer.report(servers, scores, scorer.STEP[which], 10, 10)
            line += f"  {which} {result['budgets'][1.0]['recall']:.2f}"
        print(line, flush=True)


def _load(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("scorer", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "what", choices=("month", "charts", "nab", "smd"), nargs="?", default="month"
    )
    parser.add_argument("scorer", nargs="?")
    parser.add_argument("git_dir", nargs="?")
    parser.add_argument("--days", type=float)
    parser.add_argument("--step-s", type=float, default=STEP_S)
    parser.add_argument("--faults", type=float, default=8.0, help="faults a day, of charts")
    parser.add_argument("--seed", type=int, default=3)
    given = parser.parse_args(arguments)
    if given.what == "month":
        month(given.days or 6.0, given.seed)
    elif given.what == "charts":
        charts(given.days or 1.3, given.step_s, given.faults)
    elif given.scorer is None or given.git_dir is None:
        parser.error("name the scoring script and the git directory of the data")
    else:
        {"nab": nab, "smd": smd}[given.what](_load(given.scorer), given.git_dir)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
