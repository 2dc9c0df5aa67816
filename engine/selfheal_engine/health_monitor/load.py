"""How busy the service is against the usual: what a rise of latency may be blamed on."""

from __future__ import annotations

from collections import deque

from selfheal_engine.health_monitor.baseline import Baseline
from selfheal_engine.health_monitor.transforms import MetricRule, from_chart, to_chart
from selfheal_engine.model import Sample

RECENT = 6
"""Samples whose largest is the load of now: a queue outlives the burst that filled it."""


class Load:
    """`ratio`: requests of the last samples over the usual; 1 where requests are not counted."""

    __slots__ = ("_baseline", "_recent", "ratio")

    def __init__(self) -> None:
        self._baseline = Baseline(MetricRule(log=True, least_sigma=0.1))
        self._recent: deque[float] = deque(maxlen=RECENT)
        self.ratio = 1.0

    def update(self, sample: Sample, *, learning: bool) -> None:
        requests = sample.counters.get("requests")
        if requests is None:
            return
        per_s = requests / max(sample.interval_s, 1e-3)
        self._recent.append(per_s)
        if learning:
            self._baseline.learn(to_chart(self._baseline.rule, per_s))
        usual = from_chart(self._baseline.rule, self._baseline.center)
        ready = self._baseline.ready and usual > 0.1
        self.ratio = max(1.0, max(self._recent) / usual) if ready else 1.0
