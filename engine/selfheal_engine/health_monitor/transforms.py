"""How each metric is read by the control charts: scale, direction, smallest spread, hard limit.

Latencies and queues are lognormal in practice (their 3 sigma limits on the raw scale cry
wolf about six times as often as on a normal metric), so those two are charted as
log(1 + x / unit); the rest are charted as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from selfheal_engine.model import METRICS


@dataclass(frozen=True, slots=True)
class MetricRule:
    """The chart's settings for one metric. All seven hurt when they go up."""

    log: bool = False
    unit: float = 1.0
    """Scale of the logarithm: values well below it are as good as zero."""
    least_sigma: float = 0.0
    """Smallest spread believed, in charted units: a constant metric still needs a band."""
    relative_sigma: float = 0.0
    """Smallest spread as a share of the centre (0 on the log scale, where sigma is relative)."""
    hard_limit: float | None = None
    """Bad whatever the service is used to, also while the baseline is being learned."""
    harms_users: bool = False
    """Going up hurts callers by itself; the others only say where to look."""
    least_effect: float = 0.0
    """Smallest rise over the centre worth an alert, in the metric's own unit."""


RULES: dict[str, MetricRule] = {
    "cpu_usage": MetricRule(least_sigma=1.0, relative_sigma=0.05, least_effect=20.0),
    "memory_usage": MetricRule(least_sigma=2**20, relative_sigma=0.01, least_effect=32 * 2**20),
    "error_rate": MetricRule(
        log=True, unit=6.0, least_sigma=0.3, harms_users=True, least_effect=3.0
    ),
    "response_time": MetricRule(
        log=True,
        unit=5.0,
        least_sigma=0.10,
        hard_limit=30_000.0,
        harms_users=True,
        least_effect=25.0,
    ),
    "queue_depth": MetricRule(
        log=True, unit=2.0, least_sigma=0.25, harms_users=True, least_effect=8.0
    ),
    "deadlock_risk": MetricRule(
        least_sigma=0.05, hard_limit=0.8, harms_users=True, least_effect=0.3
    ),
    "anomaly_score": MetricRule(least_sigma=0.05, least_effect=0.3),
}
assert tuple(RULES) == METRICS


def to_chart(rule: MetricRule, value: float) -> float:
    """The metric's value on the scale that is charted."""
    return math.log1p(max(value, 0.0) / rule.unit) if rule.log else value


def from_chart(rule: MetricRule, charted: float) -> float:
    """Inverse of `to_chart`; never below zero, where no metric can be."""
    if rule.log:
        return rule.unit * math.expm1(min(max(charted, 0.0), 60.0))
    return max(charted, 0.0)
