"""How well lost health follows what users feel, and the weights that make it follow best.

    python -m tests.benchmarks.health_weights [--days 1.3] [--seeds 4]

Plays simulated services with faults beside their twins without. What users feel is one minus
the Apdex (Apdex Technical Specification 1.1): a request that fails, is never served, or takes
more than four times the target is one unhappy user, one that takes more than the target half of
one; the target is twice the twin's usual p95, and what is usual without faults is no harm. Lost
health is fitted to the root of the harm, because one failing request in a hundred is felt: by
least squares on half of the services, drawn towards the present weights where a cause is rarely
seen, and judged on the other half.
Prints the table of weights (they live in health_score.py), Spearman's rank correlation of lost
health with harm, and the share of clean time with a health of 95 and more.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from selfheal_engine.anomaly_detector import AnomalyDetector, IncidentTracker
from selfheal_engine.config import Settings
from selfheal_engine.health_monitor import HealthMonitor
from selfheal_engine.health_monitor.health_score import HALF_LIFE_S, WEIGHTS

sys.path.insert(0, str(Path(__file__).parent))

from detection_month import _ranks
from detection_service import KINDS, Floats, Life, simulate
from detection_wild import simulate_wild
from detection_wild_faults import FAULTS

CAUSES = tuple(WEIGHTS)
WARM_UP, AFTER_S = 400, 900.0
TOWARDS_PRESENT = 2e-4
"""How strongly a weight is drawn to its present value, against the mean square of the misfit."""


@dataclass
class Played:
    """One service's life: damage of each cause, harm, and which rows are far from any fault."""

    name: str
    damage: Floats
    harm: Floats
    clean: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    step_s: float


def lives(days: float, seed: int) -> tuple[str, Life, Life]:
    """(name, with faults, the same without)."""
    number = max(4, round(days * 8))
    if seed % 2 == 0:
        kinds = tuple(k for k in KINDS if _felt_at_once(k))
        made = [simulate(days, seed, n, kinds, first_s=18_000.0) for n in (number, 0)]
        return "shop of detection_service.py", made[0], made[1]
    name = ("busy web", "heavy-tailed api", "small shop")[seed // 2 % 3]
    kinds = tuple(k for k in FAULTS if _felt_at_once(k))
    wild = [simulate_wild(days, seed, n, name=name, kinds=kinds) for n in (number, 0)]
    return name, wild[0], wild[1]


def _felt_at_once(kind: str) -> bool:
    """Leaks are felt at their end; of a queue nobody who calls hears in these simulations."""
    return not kind.endswith("leak") and kind not in ("dead worker", "queue build-up")


def felt(life: Life, twin: Life) -> Floats:
    """One minus the Apdex of every row, over the last 15 s."""
    here, there = _alike(life, twin)
    requests, served = twin.counters["requests"][there], life.counters["requests"][here]
    unserved = np.clip(1 - _recent(served) / np.maximum(_recent(requests), 1), 0, 1)
    failed = _recent(life.counters["errors"][here]) / np.maximum(_recent(served), 1)
    target = 2 * np.nanmedian(twin.metrics["response_time"])
    p95 = life.metrics["response_time"][here]
    p50 = np.minimum(life.counters["p50_ms"][here], p95)
    # a lognormal through both quantiles
    sigma = np.maximum(np.log(p95 / p50) / 1.645, 0.05)
    slow = (_above(target, p50, sigma) + _above(4 * target, p50, sigma)) / 2
    slow = np.where(np.isnan(slow), 0.0, slow)
    harm = np.zeros(len(life))
    harm[here] = 1 - (1 - unserved) * (1 - np.clip(failed, 0, 1)) * (1 - slow)
    usual = np.quantile(harm, 0.8)
    return np.asarray(np.clip((harm - usual) / (1 - usual), 0, 1))


def _alike(life: Life, twin: Life) -> tuple[np.ndarray, np.ndarray]:
    """Rows of both that are of one time: some were never read."""
    _, here, there = np.intersect1d(life.times, twin.times, return_indices=True)
    return here, there


def _recent(values: Floats) -> Floats:
    return np.convolve(values, np.ones(3) / 3, "full")[: len(values)]


def _above(limit: float, median: Floats, sigma: Floats) -> Floats:
    z = np.log(limit / median) / sigma / math.sqrt(2)
    return np.array([0.5 * math.erfc(v) if v == v else np.nan for v in z])


def play(name: str, life: Life, twin: Life) -> Played:
    settings = Settings(interval_s=life.step_s)
    monitor, tracker = HealthMonitor(settings), IncidentTracker()
    detector = AnomalyDetector(settings, off=frozenset({"forest"}))
    damage = np.zeros((len(life), len(CAUSES)))
    busy = False
    for row, sample in enumerate(life.samples()):
        alerts = monitor.ingest(sample, in_incident=busy)
        assessment = detector.ingest(sample, busy)
        monitor.set_anomaly(assessment.score, assessment.metrics)
        if tracker.observe(sample.time_s, [*alerts, *assessment.alerts], ()):
            busy = any(not i.state.ended for i in tracker.incidents())
        for cause, value in monitor._damages(sample).items():
            damage[row, CAUSES.index(cause)] = value
    detector.close()
    clean = np.arange(len(life)) > WARM_UP
    for fault in life.faults:
        clean &= (life.times < fault.start_s) | (life.times > fault.end_s + AFTER_S)
    return Played(name, damage, felt(life, twin), clean, life.step_s)


def lost(damage: Floats, weights: Floats) -> Floats:
    """Lost share of health, 0-1: the score's product."""
    return np.asarray(1 - np.prod(1 - np.minimum(weights * damage, 1.0), axis=1))


def held(damage: Floats, step_s: float) -> Floats:
    """The damage as the score holds it: down at once, back with its half-life."""
    fade, out = 0.5 ** (step_s / HALF_LIFE_S), damage.copy()
    for row in range(1, len(out)):
        np.maximum(out[row], fade * out[row - 1], out=out[row])
    return out


def balanced(played: list[Played]) -> tuple[Floats, Floats]:
    """Rows with harm or damage, and as many of the others."""
    rng, damages, harms = np.random.default_rng(0), [], []
    for one in played:
        touched = (one.harm > 0.02) | (one.damage.sum(axis=1) > 0)
        touched[:WARM_UP] = False
        rest = np.flatnonzero(~touched)
        rows = np.concatenate([np.flatnonzero(touched), rng.choice(rest, int(touched.sum()))])
        damages.append(one.damage[rows])
        harms.append(one.harm[rows])
    return np.vstack(damages), np.concatenate(harms)


def fit(damage: Floats, harm: Floats, present: Floats) -> Floats:
    """Weights in [0, 1] of least squares, by projected gradient descent."""

    def misfit(weights: Floats) -> float:
        error = float(np.mean((np.sqrt(harm) - lost(damage, weights)) ** 2))
        return error + TOWARDS_PRESENT * float(np.sum((weights - present) ** 2))

    weights, step = present.copy(), 2.0
    best = misfit(weights)
    for _ in range(300):
        slope = np.array(
            [(misfit(weights + 1e-4 * unit) - best) / 1e-4 for unit in np.eye(len(weights))]
        )
        tried = np.clip(weights - step * slope, 0.0, 1.0)
        reached = misfit(tried)
        if reached < best:
            weights, best, step = tried, reached, 1.2 * step
        else:
            step *= 0.5
    return weights


def correlation(played: list[Played], weights: Floats) -> float:
    damage, harm = balanced(played)
    return float(np.corrcoef(_ranks(harm), _ranks(lost(damage, weights)))[0, 1])


def well(played: list[Played], weights: Floats) -> float:
    shares = [
        np.mean(lost(held(one.damage, one.step_s), weights)[one.clean] <= 0.05) for one in played
    ]
    return float(np.mean(shares))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--days", type=float, default=1.3)
    parser.add_argument("--seeds", type=int, default=4, help="services to fit on, and to judge by")
    given = parser.parse_args(arguments)
    played = [play(*lives(given.days, seed)) for seed in range(2 * given.seeds)]
    # each half has services of both generators
    fitting = [one for place, one in enumerate(played) if place % 4 in (0, 1)]
    judging = [one for place, one in enumerate(played) if place % 4 in (2, 3)]
    present = np.array([WEIGHTS[cause] for cause in CAUSES])
    damage, harm = balanced(fitting)
    fitted = fit(damage, harm, present)
    print(f"{'cause':22} {'rows seen':>9} {'present':>8} {'fitted':>7}")
    for place, cause in enumerate(CAUSES):
        seen = int((damage[:, place] > 0).sum())
        print(f"{cause:22} {seen:>9} {present[place]:>8.2f} {fitted[place]:>7.2f}")
    for words, half in (("fitted on", fitting), ("held back", judging)):
        for which, weights in (("present", present), ("fitted", fitted)):
            print(
                f"{words}, {which} weights: rank correlation with harm "
                f"{correlation(half, weights):.2f}, health of 95 or more on "
                f"{100 * well(half, weights):.1f} % of clean time"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
