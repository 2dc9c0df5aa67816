"""The health score: 100 x product over the causes of (1 - weight x damage).

A product, so that one fatal cause is enough and two views of one harm do not add up to
more than all. The score drops at once and comes back with a half-life of two minutes;
every lost point has a named cause.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from selfheal_engine.model import HealthCause, HealthScore

HALF_LIFE_S = 120.0

WEIGHTS = {
    "failed requests": 1.0,
    "errors": 0.7,
    "slow answers": 0.45,
    "work piling up": 0.45,
    "threads stuck": 0.95,
    "memory running out": 0.6,
    "processor saturated": 0.15,
    "unusual behaviour": 0.05,
}
"""Cause -> how much of the score full damage takes.

Checked against what users feel by `python -m tests.benchmarks.health_weights`, which fits them.
Failing requests stay at one, so that an outage is 0; unusual behaviour stays where it cannot take
a healthy service below 95; causes that no simulated caller feels keep a cautious value.
"""

LONG_QUEUE = 16.0
"""Where nothing is known of a queue that only grows, so many waiting begin to cost points."""

METRIC_OF = {
    "failed requests": "error_rate",
    "errors": "error_rate",
    "slow answers": "response_time",
    "work piling up": "queue_depth",
    "threads stuck": "deadlock_risk",
    "memory running out": "memory_usage",
    "processor saturated": "cpu_usage",
    "unusual behaviour": "anomaly_score",
}
"""Cause -> the metric in which a person sees it."""


@dataclass(frozen=True, slots=True)
class Vital:
    """One metric as the score needs it: its value and, once known, its limits' centre and edge."""

    value: float | None
    center: float | None = None
    upper: float | None = None
    beyond: bool = False
    """It has risen so that it counts: lastingly, by more than its own noise or the load explain."""
    climbing: bool = False
    """Its limits are not known yet, and it has done nothing but rise."""


def damages(
    vitals: Mapping[str, Vital],
    *,
    failed_share: float | None = None,
    memory_share: float | None = None,
    cores: float = 1.0,
) -> dict[str, float]:
    """Damage in [0, 1] of each cause.

    `failed_share` is the share of the last requests that failed beyond the usual (None: not
    served by requests), `memory_share` memory over its limit, `cores` what the service may use.
    """
    out: dict[str, float] = {}
    errors = vitals["error_rate"]
    if failed_share is not None:
        # 1 % of failures is felt (0.17), a quarter is as good as down
        out["failed requests"] = _ramp(math.sqrt(max(failed_share, 0.0)), 0.05, 0.5)
    elif errors.value and (errors.beyond or errors.center is None):
        usual = max(errors.upper or 0.0, 6.0)
        out["errors"] = _ramp(math.log2(max(errors.value, 1e-9) / usual), 0.0, 6.0)
    times = vitals["response_time"]
    if times.value and times.center is not None and times.upper is not None and times.beyond:
        # from the edge of the band to six times the usual
        edge = max(times.upper, times.center + 10.0, 1.0)
        top = max(6 * times.center, 2 * edge)
        out["slow answers"] = _ramp(math.log(times.value), math.log(edge), math.log(top))
    elif times.value and times.center is None:
        out["slow answers"] = _ramp(math.log(times.value), math.log(5e3), math.log(3e4))
    queue = vitals["queue_depth"]
    if queue.value and queue.upper is not None and queue.beyond:
        out["work piling up"] = _ramp(math.log2(queue.value / max(queue.upper, 4.0)), 0.0, 5.0)
    elif queue.value and queue.climbing:
        out["work piling up"] = _ramp(math.log2(queue.value / LONG_QUEUE), 0.0, 5.0)
    out["threads stuck"] = _ramp(vitals["deadlock_risk"].value or 0.0, 0.3, 1.0)
    if memory_share is not None:
        out["memory running out"] = _ramp(memory_share, 0.85, 1.0)
    processor = vitals["cpu_usage"]
    if processor.value and processor.beyond:
        out["processor saturated"] = _ramp(processor.value / (100.0 * cores), 0.8, 1.0)
    out["unusual behaviour"] = _ramp(vitals["anomaly_score"].value or 0.0, 0.6, 1.0)
    return {cause: damage for cause, damage in out.items() if damage > 0}


def score(damage: Mapping[str, float]) -> HealthScore:
    """The product of the module's formula; each cause's points are its share of the loss.

    The loss is shared in proportion to -log(1 - weight x damage), the only split in which
    the order of the causes does not matter.
    """
    kept = {c: 1.0 - min(WEIGHTS[c] * d, 1.0) for c, d in damage.items()}
    value = 100.0 * math.prod(kept.values())
    parts = {c: -math.log(max(k, 1e-6)) for c, k in kept.items()}
    whole = sum(parts.values())
    if whole <= 0:
        return HealthScore(100.0)
    lost = 100.0 - value
    causes = [HealthCause(c, lost * p / whole, METRIC_OF[c]) for c, p in parts.items() if p > 0]
    return HealthScore(value, tuple(sorted(causes, key=lambda c: -c.points)))


class Recovery:
    """Holds damage down at once and lets it fade with the half-life."""

    __slots__ = ("_at_s", "_damage")

    def __init__(self) -> None:
        self._damage: dict[str, float] = {}
        self._at_s: float | None = None

    def update(self, now_s: float, damage: Mapping[str, float]) -> HealthScore:
        elapsed = 0.0 if self._at_s is None else max(0.0, now_s - self._at_s)
        fade = 0.5 ** (elapsed / HALF_LIFE_S)
        held = {c: d * fade for c, d in self._damage.items() if d * fade > 0.01}
        for cause, now in damage.items():
            held[cause] = max(now, held.get(cause, 0.0))
        self._damage, self._at_s = held, now_s
        return score(held)


def _ramp(value: float, low: float, high: float) -> float:
    return min(max((value - low) / (high - low), 0.0), 1.0)
