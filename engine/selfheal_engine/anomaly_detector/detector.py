"""AnomalyDetector: everything that is said of a sample beyond the control charts.

Owned by the engine's thread. One `ingest` a sample: the joint score of the metrics, the
known patterns, the forecasts, and whether a leak or a stall should be looked into by asking
the probe. Our own score is never among the inputs.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from selfheal_engine.anomaly_detector.forecast import (
    Forecast,
    Forecaster,
    Suspicion,
    describe_leaks,
)
from selfheal_engine.anomaly_detector.joint import JointScore
from selfheal_engine.anomaly_detector.series import Series
from selfheal_engine.anomaly_detector.signatures import (
    Signature,
    SignatureMatcher,
    catalogue,
    load_catalogue,
)
from selfheal_engine.config import Settings
from selfheal_engine.model import METRICS, Alert, Sample

WARM_UP = 150
NOTABLE, LASTING = 0.7, 5
"""A score worth a name, and how many of the last eight samples must have it for a line."""
REPEAT_S = 120.0


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the detector makes of one sample."""

    score: float
    """0-1; the sample's anomaly_score."""
    metrics: tuple[str, ...] = ()
    """What contributes most to it."""
    alerts: tuple[Alert, ...] = ()
    forecasts: dict[str, Forecast] = field(default_factory=dict)
    leak_suspected: bool = False
    stall_suspected: bool = False


class AnomalyDetector:
    """See the module. `<state_dir>/signatures.toml`, where there is one, adds signatures."""

    def __init__(
        self,
        settings: Settings,
        state_dir: Path | None = None,
        *,
        off: frozenset[str] = frozenset(),
    ) -> None:
        """`off` leaves out parts of the joint score, for measuring what each is worth."""
        own = () if state_dir is None else _own_signatures(state_dir / "signatures.toml")
        self._signatures = SignatureMatcher((*catalogue(), *own))
        self._series = Series()
        self._forecaster = Forecaster()
        self._leak = Suspicion()
        self._joint = JointScore(off)
        self._strange: deque[float] = deque(maxlen=8)
        self._seen = 0
        self._told_s: dict[str, float] = {}
        self._deploy: float | None = None

    def ingest(self, sample: Sample, in_incident: bool) -> Assessment:
        """One sample in; learning of what is normal pauses in an incident."""
        self._seen += 1
        self._series.append(sample)
        deploy = sample.counters.get("deploy")
        if deploy is not None and self._deploy is not None and deploy != self._deploy:
            self._forecaster.restart(sample.time_s)
        self._deploy = deploy if deploy is not None else self._deploy
        alerts, suspects = self._signatures.match(sample.time_s, self._series)
        forecasts, leaking, growing = self._forecaster.ingest(sample)
        alerts += self._growth_alerts(sample.time_s, forecasts, leaking)
        score, metrics = self._score(sample, in_incident)
        alerts += self._strange_alerts(sample.time_s, score, metrics)
        return Assessment(
            score=score,
            metrics=metrics,
            alerts=tuple(alerts),
            forecasts=forecasts,
            leak_suspected=self._leak.due(
                sample.time_s, bool(leaking or growing) or "leak" in suspects
            ),
            stall_suspected="stall" in suspects or self._stalled(sample),
        )

    def close(self) -> None:
        """Ends what runs beside the engine."""
        self._joint.close()

    def _score(self, sample: Sample, in_incident: bool) -> tuple[float, tuple[str, ...]]:
        score, names = self._joint.update(sample, learning=not in_incident)
        if self._seen <= WARM_UP:
            return 0.0, ()
        return score, names if score >= NOTABLE else ()

    def _strange_alerts(self, now_s: float, score: float, names: tuple[str, ...]) -> list[Alert]:
        """Strange for most of the last samples: said, but no incident by itself."""
        self._strange.append(score)
        if sum(s >= NOTABLE for s in self._strange) < LASTING or not self._due("strange", now_s):
            return []
        what = ", ".join(names) or "the metrics together"
        metrics = tuple(n for n in names if n in METRICS)
        text = f"unusual behaviour: {what} unlike the recent past"
        return [Alert(now_s, "forest", "info", text, metrics, score)]

    def _growth_alerts(
        self, now_s: float, forecasts: dict[str, Forecast], leaking: tuple[str, ...]
    ) -> list[Alert]:
        out = []
        if leaking and self._due("leak", now_s):
            text = describe_leaks(leaking, forecasts)
            out.append(Alert(now_s, "leak", "info", text, ("memory_usage",)))
        for metric, forecast in forecasts.items():
            if not (leaking and metric == "memory_usage") and self._due(metric, now_s):
                out.append(Alert(now_s, "forecast", "info", forecast.text, (metric,)))
        return out

    def _due(self, key: str, now_s: float) -> bool:
        if now_s - self._told_s.get(key, float("-inf")) < REPEAT_S:
            return False
        self._told_s[key] = now_s
        return True

    def _stalled(self, sample: Sample) -> bool:
        """Calls that take seconds, or threads that the probe found waiting."""
        risk = sample.value("deadlock_risk") or 0.0
        recent = self._series.window("response_time", 5.0, 3)
        slow = recent is not None and float(recent.min()) >= 2000.0
        return risk >= 0.4 or slow


def _own_signatures(path: Path) -> tuple[Signature, ...]:
    return load_catalogue(path) if path.is_file() else ()
