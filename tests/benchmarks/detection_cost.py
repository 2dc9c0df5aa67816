"""What detection costs in the engine's process: CPU of a sample, memory after a month.

    python -m tests.benchmarks.detection_cost

Memory: every ring filled to its bound (a month of samples and more), counted by tracemalloc.
"""

from __future__ import annotations

import argparse
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np

from selfheal_engine.anomaly_detector import AnomalyDetector
from selfheal_engine.config import Settings
from selfheal_engine.health_monitor import HealthMonitor
from selfheal_engine.health_monitor.rollups import LEVELS, RAW_SAMPLES
from selfheal_engine.model import METRICS, Sample

sys.path.insert(0, str(Path(__file__).parent))

from detection_service import simulate

FORESTS_MOST = 2**20


def pair() -> tuple[HealthMonitor, AnomalyDetector]:
    return HealthMonitor(Settings()), AnomalyDetector(Settings(), off=frozenset({"forest"}))


def play(monitor: HealthMonitor, detector: AnomalyDetector, samples: list[Sample]) -> None:
    for sample in samples:
        monitor.ingest(sample, in_incident=False)
        assessment = detector.ingest(sample, False)
        monitor.set_anomaly(assessment.score, assessment.metrics)
        monitor.set_forecasts(assessment.forecasts)


def main(arguments: list[str]) -> int:
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args(arguments)
    samples = list(simulate(0.5, 1).samples())
    monitor, detector = pair()
    play(monitor, detector, samples[:1000])
    began = time.process_time()
    play(monitor, detector, samples[1000:])
    each_ms = 1000 * (time.process_time() - began) / (len(samples) - 1000)
    panels = time.process_time()
    for _ in range(100):
        monitor.states()
    panels_ms = 10 * (time.process_time() - panels)
    tracemalloc.start()
    monitor, detector = pair()
    rings = monitor._rollups
    for name, (seconds, kept) in LEVELS.items():
        row = np.zeros((len(METRICS), 4), np.float32)
        for i in range(kept):
            rings._levels[name].append(i * seconds, row)
    for i in range(RAW_SAMPLES):
        rings._raw.append(5.0 * i, np.zeros(len(METRICS), np.float32))
    play(monitor, detector, list(simulate(0.15, 2).samples()))
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    print(f"CPU of a sample            {each_ms:.2f} ms, {each_ms / 50:.3f} % of a core at 5 s")
    print(f"CPU of the seven panels    {panels_ms:.2f} ms")
    print(f"memory, every ring full    {(held + FORESTS_MOST) / 2**20:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
