"""How much the monitor and the detector find in a simulated month, and how often they are wrong.

    python -m tests.benchmarks.detection_month [healthy|faults] [--days 30] [--seed 1] [--verbose]
    python -m tests.benchmarks.detection_month --wild [--step 1] [--seed 2]

The first plays the service of detection_service.py, `--wild` the six others of
detection_wild.py: the seed chooses which, `--step` the seconds between samples.
Prints false incidents, recall and delays by kind of fault, lead times of what runs out, false
leak alarms, and the CPU of a sample. Metrics only: the probe's occurrences, which would open
most of these incidents at once, are left out.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

import numpy as np

from selfheal_engine.anomaly_detector import AnomalyDetector, IncidentTracker
from selfheal_engine.config import Settings
from selfheal_engine.health_monitor import HealthMonitor
from selfheal_engine.model import Incident

sys.path.insert(0, str(Path(__file__).parent))

from detection_service import Fault, Life, simulate
from detection_wild import simulate_wild

WARM_UP = 200
GRACE_S = 120.0
LEAK_APART_S = 6 * 3600.0


def watch(life: Life, off: frozenset[str] = frozenset()) -> dict[str, object]:
    """Plays the life; the opened incidents, announcements, false leak alarms, cost, health."""
    settings = Settings(interval_s=life.step_s)
    monitor, tracker = HealthMonitor(settings), IncidentTracker()
    detector = AnomalyDetector(settings, off=off)
    opened: list[tuple[float, Incident]] = []
    announced: list[tuple[float, str]] = []
    suspected: list[tuple[float, str]] = []
    known: set[str] = set()
    health: list[float] = []
    began = time.process_time()
    open_now = False
    for row, sample in enumerate(life.samples()):
        alerts = monitor.ingest(sample, in_incident=open_now)
        assessment = detector.ingest(sample, open_now)
        monitor.set_anomaly(assessment.score, assessment.metrics)
        monitor.set_forecasts(assessment.forecasts)
        alerts += assessment.alerts
        changed = tracker.observe(sample.time_s, alerts, ())
        if changed:
            open_now = any(not i.state.ended for i in tracker.incidents())
        for incident in changed:
            if incident.id not in known:
                known.add(incident.id)
                if row > WARM_UP:
                    opened.append((sample.time_s, incident))
        for metric, forecast in assessment.forecasts.items():
            if forecast.time_to_limit_s < float("inf"):
                announced.append((sample.time_s, metric))
        for alert in assessment.alerts:
            if alert.detector == "leak":
                suspected.append((sample.time_s, alert.text))
                announced.append((sample.time_s, "memory_usage"))
        health.append(monitor.health().score)
    spent = time.process_time() - began
    detector.close()
    return {
        "opened": opened,
        "announced": announced,
        "suspected": suspected,
        "ms": 1000 * spent / len(life),
        "ill": float(np.mean(np.array(health) < 95)),
        "harm": _harm_correlation(life, np.array(health)),
    }


def report(life: Life, seen: dict[str, object], verbose: bool) -> dict[str, object]:
    opened: list[tuple[float, Incident]] = seen["opened"]  # type: ignore[assignment]
    announced: list[tuple[float, str]] = seen["announced"]  # type: ignore[assignment]
    false = [(t, i) for t, i in opened if not any(_within(t, f) for f in life.faults)]
    delays: dict[str, list[float | None]] = defaultdict(list)
    leads: dict[str, list[float]] = defaultdict(list)
    for fault in life.faults:
        times = [t for t, _ in opened if _within(t, fault)]
        told = [t for t, _ in announced if _within(t, fault) and t <= fault.limit_s]
        if fault.limit_s < float("inf"):
            leads[fault.kind].append((fault.limit_s - told[0]) / 60 if told else 0.0)
            if fault.kind.endswith("leak"):
                times = sorted(times + told)
        delays[fault.kind].append(times[0] - fault.start_s if times else None)
        if verbose and not times:
            print("missed", fault)
    if verbose:
        for t, incident in false:
            near = [w for at, w in life.events if -300 <= t - at <= 3600]
            print("false", _clock(t), incident.title, "| after", near[-2:])
    every = [d for kind in delays.values() for d in kind]
    found = [d for d in every if d is not None]
    abrupt = [d for k, ds in delays.items() if not k.endswith("leak") for d in ds if d is not None]
    return {
        "samples": len(life),
        "false_incidents": len(false),
        "false_leak_alarms": _false_leaks(life, seen["suspected"], verbose),  # type: ignore[arg-type]
        "faults": len(every),
        "found": len(found),
        "median_delay_s": median(found) if found else None,
        "median_delay_without_leaks_s": median(abrupt) if abrupt else None,
        "by_kind": {
            kind: {
                "found": f"{sum(d is not None for d in ds)}/{len(ds)}",
                "median_delay_s": median(d for d in ds if d is not None)
                if any(d is not None for d in ds)
                else None,
            }
            for kind, ds in sorted(delays.items())
        },
        "median_lead_min": {k: round(median(v), 1) for k, v in sorted(leads.items())},
        "ms_per_sample": round(float(seen["ms"]), 3),  # type: ignore[arg-type]
        "health_harm_rank_correlation": round(float(seen["harm"]), 3),  # type: ignore[arg-type]
        "share_below_95_health": round(float(seen["ill"]), 4),  # type: ignore[arg-type]
    }


def _harm_correlation(life: Life, health: np.ndarray) -> float:
    """Spearman's rank correlation of lost health with what users feel, over all samples.

    Felt: the share of requests that fail in half a minute, and decades by which answers are
    slower than the median; minutes in which nobody feels anything are a third of the sample.
    """

    def smooth(values: np.ndarray) -> np.ndarray:
        return np.convolve(values, np.ones(6) / 6, "full")[: len(values)]

    if not {"errors", "requests"} <= set(life.counters):
        return float("nan")
    failed = smooth(life.counters["errors"]) / np.maximum(smooth(life.counters["requests"]), 1)
    times = np.maximum(smooth(np.nan_to_num(life.metrics["response_time"])), 1)
    felt = failed + np.clip(np.log10(times / np.median(times)), 0, 2)
    rng = np.random.default_rng(0)
    harmed = np.flatnonzero((failed > 0.01) | (times > 2 * np.median(times)))
    if len(harmed) < 100:
        return float("nan")
    rest = rng.choice(len(felt), len(harmed) // 2)
    rows = np.concatenate([harmed, rest])
    return float(np.corrcoef(_ranks(felt[rows]), _ranks(100 - health[rows]))[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks, equal values sharing their mean rank."""
    _, place, number = np.unique(values.round(6), return_inverse=True, return_counts=True)
    last = np.cumsum(number)
    return (last - (number - 1) / 2)[place]


def _within(time_s: float, fault: Fault) -> bool:
    return fault.start_s <= time_s <= fault.end_s + GRACE_S


def _false_leaks(life: Life, suspected: list[tuple[float, str]], verbose: bool) -> int:
    """Leak alarms while nothing leaks, those less than six hours apart counted once."""
    number, last = 0, float("-inf")
    for at, text in suspected:
        # what has been running out is let go of only after a while
        real = any(f.start_s <= at <= f.end_s + 3600 for f in life.faults if "leak" in f.kind)
        if real:
            continue
        if at - last > LEAK_APART_S:
            number += 1
            if verbose:
                print("false leak alarm", _clock(at), text)
        last = at
    return number


def _clock(time_s: float) -> str:
    return time.strftime("%a %d %H:%M:%S", time.gmtime(time_s))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("healthy", "faults", "both"), nargs="?", default="both")
    parser.add_argument("--days", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=int, default=0, help="default: 100 a month")
    parser.add_argument("--wild", action="store_true", help="a service of detection_wild.py")
    parser.add_argument("--step", type=float, default=5.0, help="with --wild: seconds")
    parser.add_argument("--off", default="", help="parts of the score left out: forest,records")
    parser.add_argument("--verbose", action="store_true")
    given = parser.parse_args(arguments)
    off = frozenset(part for part in given.off.split(",") if part)
    results = Path("bench-results")
    results.mkdir(exist_ok=True)
    for what in ("healthy", "faults") if given.what == "both" else (given.what,):
        number = (given.faults or round(given.days * 100 / 30)) if what == "faults" else 0
        if given.wild:
            life = simulate_wild(given.days, given.seed, number, step_s=given.step)
        else:
            life = simulate(given.days, given.seed, number)
        told = report(life, watch(life, off), given.verbose)
        text = json.dumps({"what": what, "days": given.days, "seed": given.seed, **told}, indent=1)
        print(text, flush=True)
        (results / f"detection_month_{what}.json").write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
