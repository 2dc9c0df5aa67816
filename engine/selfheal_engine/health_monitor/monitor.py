"""HealthMonitor: the seven metrics over time, their control limits, and the health score.

Owned by the engine's thread. One `ingest` a sample: the value goes to the roll-ups, then to
its chart; a chart whose persistence rule holds gives an Alert when the rise is also large
enough to matter. The alert's severity says whom it hurts: "warning" for the metrics that
callers feel, "info" for those that only say where to look.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from selfheal_engine.config import Settings
from selfheal_engine.health_monitor import state_file
from selfheal_engine.health_monitor.baseline import Baseline
from selfheal_engine.health_monitor.control_chart import (
    RULE,
    ChartPoint,
    ControlChart,
    average_run_length,
)
from selfheal_engine.health_monitor.failures import Failures
from selfheal_engine.health_monitor.health_score import Recovery, Vital, damages
from selfheal_engine.health_monitor.load import Load
from selfheal_engine.health_monitor.profile import HourProfile
from selfheal_engine.health_monitor.recurring import Recurring
from selfheal_engine.health_monitor.rollups import Rollups, Table, Times
from selfheal_engine.health_monitor.slow_shift import LEAST_FACTOR as SHIFT_FACTOR
from selfheal_engine.health_monitor.slow_shift import SlowShift
from selfheal_engine.health_monitor.subgroups import ENOUGH_REQUESTS, Subgroup
from selfheal_engine.health_monitor.transforms import RULES, from_chart, to_chart
from selfheal_engine.health_monitor.usual_peaks import UsualPeaks
from selfheal_engine.health_monitor.wording import describe_duration, describe_value
from selfheal_engine.model import (
    METRICS,
    RISE_SIGMA,
    Alert,
    ControlLimits,
    HealthScore,
    MetricState,
    Reading,
    Sample,
    Severity,
)

if TYPE_CHECKING:
    from selfheal_engine.anomaly_detector.forecast import Forecast

HISTORY = 720
"""Samples of each metric in the snapshot: one hour at 5 s."""
ALERT_EVERY_S = 60.0
ALONE = 0.3
"""So much higher than the usual peaks must the level be where the persistence rule is silent."""
TYPICAL = 5
"""Samples whose median is the value that has to matter: one outlier does not."""
LEAST_FACTOR = 1.4
"""Smallest rise of latency or errors over their centre worth an alert, as a factor."""
START_S, START_FACTOR = 60.0, 4.0
"""A process younger than this is still importing and filling caches: answers may be so much
slower."""
DOUBTFUL = 0.25
"""What a sample teaches while a small lasting rise is in the making, which else fades from view."""
HARD_SAMPLES = 2
"""Samples in a row beyond a hard limit."""
HARMFUL_SHARE = 0.01
"""Share of failing requests from which a burst is no mere burst of work."""
CLIMB_SAMPLES = 6
"""So many rises in a row are no accident, even while limits are still learned."""


@dataclass(slots=True)
class _Metric:
    baseline: Baseline
    chart: ControlChart
    profile: HourProfile = field(default_factory=HourProfile)
    group: Subgroup = field(default_factory=Subgroup)
    peaks: UsualPeaks = field(default_factory=UsualPeaks)
    shift: SlowShift | None = None
    """Only where a small lasting rise hurts."""
    bursts: Recurring = field(default_factory=Recurring)
    point: ChartPoint | None = None
    standing: bool = False
    """It has risen lastingly, and by more than its own past and the load explain."""
    shifted: bool = False
    """It has done so by little, for minutes."""
    period_s: float | None = None
    """The schedule on which it has risen just now, if there is one."""
    beyond_hard: int = 0
    """Samples in a row beyond the hard limit."""
    lowest: float = math.inf
    """Lowest value since the start: what was never below a hard limit has not crossed it."""
    center: float = 0.0
    """Charted centre at this time of day."""
    told_s: float = float("-inf")
    newest: deque[float] = field(default_factory=lambda: deque(maxlen=TYPICAL))


class HealthMonitor:
    """See the module. `state_dir` None: nothing is kept across restarts."""

    def __init__(self, settings: Settings, state_dir: Path | None = None) -> None:
        self._interval_s = settings.interval_s
        self._file = None if state_dir is None else state_dir / "rollups.npz"
        self._profiles_file = None if state_dir is None else state_dir / "profiles.json"
        self._rollups = Rollups()
        self._metrics = {
            name: _Metric(Baseline(rule, settings.interval_s), ControlChart())
            for name, rule in RULES.items()
        }
        for metric in self._metrics.values():
            if metric.baseline.rule.log and metric.baseline.rule.harms_users:
                metric.shift = SlowShift()
        self._samples: deque[Sample] = deque(maxlen=HISTORY)
        self._forecasts: Mapping[str, Forecast] = {}
        self._load = Load()
        self._failures = Failures()
        self._recovery = Recovery()
        self._health = HealthScore(100.0)
        self._deploy: float | None = None
        if self._file is not None and self._profiles_file is not None:
            self._rollups.load(self._file)
            profiles = {name: m.profile for name, m in self._metrics.items()}
            state_file.load_profiles(self._profiles_file, profiles)

    # ------------------------------------------------------------ samples in
    def ingest(self, sample: Sample, *, in_incident: bool) -> list[Alert]:
        """Takes one sample in; what the charts say about it. Learning pauses in an incident."""
        self._samples.append(sample)
        self._rollups.append(sample.time_s, [sample.value(m) for m in METRICS])
        alerts = self._follow_deploys(sample)
        self._load.update(sample, learning=not in_incident)
        self._failures.update(sample, learning=not in_incident)
        harmed = self._chart(sample, in_incident=in_incident)
        adopted = self._learn(sample, in_incident=in_incident, harmed=harmed)
        alerts += self._static_alerts(sample) + self._chart_alerts(sample) + adopted
        self._health = self._recovery.update(sample.time_s, self._damages(sample))
        return alerts

    def set_anomaly(self, score: float, metrics: tuple[str, ...]) -> None:
        """The detector's score of the newest sample, and the metrics that it is about."""
        if not self._samples:
            return
        reading = Reading(score, ", ".join(metrics))
        latest = self._samples[-1]
        readings = {**latest.readings, "anomaly_score": reading}
        self._samples[-1] = replace(latest, readings=readings)
        self._rollups.amend("anomaly_score", score)

    def set_forecasts(self, forecasts: Mapping[str, Forecast]) -> None:
        """Metric -> when it reaches which limit."""
        self._forecasts = forecasts

    def note_deploy(self, now_s: float, why: str) -> Alert:
        """The service is not what it was: every baseline is learned anew, and that is said."""
        for metric in self._metrics.values():
            metric.baseline.relearn()
            metric.chart.reset()
            metric.group.clear()
            if metric.shift is not None:
                metric.shift.reset()
            metric.point = None
            metric.standing = False
        return Alert(now_s, "deploy", "info", f"learning what is normal again: {why}")

    def note_healed(self, now_s: float) -> None:
        """The cause is gone: what it cost stops counting, and only what is seen now counts."""
        self._failures.healed(now_s)
        for metric in self._metrics.values():
            metric.bursts.healed()
        self._recovery = Recovery()
        if self._samples:
            self._health = self._recovery.update(now_s, self._damages(self._samples[-1]))

    # ------------------------------------------------------------ state out
    def states(self) -> tuple[MetricState, ...]:
        """The seven panels, in METRICS order."""
        return tuple(self._state(name) for name in METRICS)

    def times(self) -> tuple[float, ...]:
        """Unix seconds of each position of the states' history."""
        return tuple(s.time_s for s in self._samples)

    def health(self) -> HealthScore:
        return self._health

    def recent(self, number: int) -> tuple[Sample, ...]:
        """The newest `number` samples, oldest first."""
        kept = list(self._samples)
        return tuple(kept[-number:]) if number > 0 else ()

    def rollups(self, name: str) -> tuple[Times, Table]:
        """(times, roll-ups x metrics x min, mean, max, p95) of "1min" or "15min"."""
        return self._rollups.level(name)

    def save(self) -> None:
        """Writes roll-ups and hour profiles under the state folder, if there is one."""
        if self._file is None or self._profiles_file is None:
            return
        self._rollups.save(self._file)
        profiles = {name: m.profile for name, m in self._metrics.items()}
        state_file.save_profiles(self._profiles_file, profiles)

    # ------------------------------------------------------------ charts
    def _follow_deploys(self, sample: Sample) -> list[Alert]:
        deploy = sample.counters.get("deploy")
        if deploy is None:
            return []
        before, self._deploy = self._deploy, deploy
        if before is None or before == deploy:
            return []
        return [self.note_deploy(sample.time_s, "the service runs new code or new processes")]

    def _chart(self, sample: Sample, *, in_incident: bool) -> bool:
        """Brings every chart up to date; True when a metric that callers feel has risen."""
        harmed = False
        failing = (self._failures.share(60.0) or 0.0) > HARMFUL_SHARE
        for name, metric in self._metrics.items():
            value = sample.value(name)
            if value is None:
                continue
            metric.lowest = min(metric.lowest, value)
            if not metric.baseline.ready:
                metric.point = None
                continue
            metric.newest.append(value)
            charted = to_chart(metric.baseline.rule, value)
            metric.center = metric.baseline.center + metric.profile.offset(sample.time_s)
            z = (charted - metric.center) / metric.baseline.sigma
            requests = self._worth(name, sample)
            grouped = metric.group.add(z, sample.interval_s, requests, learning=not in_incident)
            if grouped is not None:
                metric.point = metric.chart.update(grouped)
                if metric.shift is not None:
                    metric.shift.update(grouped)
            point = metric.point
            if point is None:
                continue
            metric.shifted = self._shifted(name, sample)
            metric.standing = metric.shifted or (
                self._stands(metric, point) and self._matters(name, sample)
            )
            calm = not in_incident
            metric.peaks.update(sample.time_s, point.level, calm=calm)
            if metric.shift is not None:
                level = metric.shift.level
                metric.shift.peaks.update(sample.time_s, level, calm=calm)
            metric.bursts.update(sample.time_s, charted, beyond=metric.standing, harmful=failing)
            metric.period_s = metric.bursts.period_s() if metric.standing else None
            rose = metric.standing and metric.period_s is None
            harmed |= rose and metric.baseline.rule.harms_users
        return harmed

    def _worth(self, name: str, sample: Sample) -> float | None:
        """Requests behind a latency, None where they are not known or do not matter."""
        if name != "response_time":
            return None
        return sample.counters.get("requests")

    def _stands(self, metric: _Metric, point: ChartPoint) -> bool:
        limit = metric.peaks.limit
        return point.level >= (limit if point.beyond else limit + ALONE)

    def _learn(self, sample: Sample, *, in_incident: bool, harmed: bool) -> list[Alert]:
        if in_incident:
            for metric in self._metrics.values():
                metric.baseline.interrupt()
            return []
        told = []
        for name, metric in self._metrics.items():
            value = sample.value(name)
            if value is None:
                continue
            charted = to_chart(metric.baseline.rule, value)
            metric.profile.learn(sample.time_s, charted)
            level = charted - metric.profile.offset(sample.time_s)
            point = metric.point
            if point is None or not (point.beyond or point.below):
                metric.baseline.interrupt()
                requests = self._worth(name, sample)
                weight = 1.0 if requests is None else min(requests / ENOUGH_REQUESTS, 1.0)
                if metric.shift is not None and metric.shift.doubtful:
                    weight *= DOUBTFUL
                metric.baseline.learn(level, weight)
            elif harmed:
                metric.baseline.interrupt()
            elif metric.baseline.stand(sample.time_s, level):
                metric.chart.reset()
                text = f"{name} has a new normal: {describe_value(name, value)} for an hour"
                told.append(Alert(sample.time_s, "control_chart", "info", text, (name,)))
        return told

    def _chart_alerts(self, sample: Sample) -> list[Alert]:
        out = []
        troubled = any(self._metrics[m].standing for m in ("error_rate", "queue_depth"))
        for name, metric in self._metrics.items():
            value, point = sample.value(name), metric.point
            if value is None or point is None or name == "anomaly_score":
                continue
            down = point.below and troubled and name in ("cpu_usage", "response_time")
            if not metric.standing and not down:
                continue
            if 0.0 <= sample.time_s - metric.told_s < ALERT_EVERY_S:
                continue
            metric.told_s = sample.time_s
            harms = metric.baseline.rule.harms_users and not down and metric.period_s is None
            why = metric.chart.rule(point)
            if metric.shift is not None and metric.shifted and not point.beyond:
                why = f"a lasting shift of {metric.shift.level:.1f} sigma"
            if metric.period_s is not None:
                why += f", as every {describe_duration(metric.period_s)}"
            text = (
                f"{name} {describe_value(name, value)}, usually "
                f"{describe_value(name, from_chart(metric.baseline.rule, metric.center))} ({why})"
            )
            severity: Severity = "warning" if harms else "info"
            strength = min(1.0, abs(point.z) / 10)
            out.append(Alert(sample.time_s, "control_chart", severity, text, (name,), strength))
        return out

    def _static_alerts(self, sample: Sample) -> list[Alert]:
        """What is bad whatever is usual; the only chart-like alerts of the warm-up."""
        out = []
        for name, metric in self._metrics.items():
            value, limit = sample.value(name), metric.baseline.rule.hard_limit
            if limit is None or value is None:
                continue
            # what has always been there is how this service is: long polls take their minute
            crossed = value >= limit > 2.0 * metric.lowest
            usual = metric.point is not None and not metric.standing
            metric.beyond_hard = metric.beyond_hard + 1 if crossed and not usual else 0
            if metric.beyond_hard >= HARD_SAMPLES and self._due(metric, sample.time_s):
                text = f"{name} {describe_value(name, value)}, beyond the hard limit"
                out.append(Alert(sample.time_s, "hard_limit", "critical", text, (name,)))
        errors = self._metrics["error_rate"]
        usual = errors.point is not None and not errors.point.nominated
        text = "" if usual else self._failures.told()
        if text and self._due(errors, sample.time_s):
            out.append(Alert(sample.time_s, "hard_limit", "warning", text, ("error_rate",)))
        return out

    def _due(self, metric: _Metric, now_s: float) -> bool:
        if 0.0 <= now_s - metric.told_s < ALERT_EVERY_S:
            return False
        metric.told_s = now_s
        return True

    def _beyond(self, name: str) -> bool:
        point = self._metrics[name].point
        return point is not None and point.beyond

    def _shifted(self, name: str, sample: Sample) -> bool:
        """A small lasting rise whose size, noise taken out, is felt."""
        metric = self._metrics[name]
        shift, baseline = metric.shift, metric.baseline
        if shift is None or metric.point is None or not shift.standing:
            return False
        # after a burst the average stays up for a while: what stands now has both levels
        level = min(shift.level, metric.point.level)
        rise = level * metric.group.spread * baseline.sigma
        value = from_chart(baseline.rule, metric.center + rise)
        return self._felt(name, sample, value, SHIFT_FACTOR)

    def _matters(self, name: str, sample: Sample) -> bool:
        newest = self._metrics[name].newest
        return self._felt(name, sample, sorted(newest)[len(newest) // 2], LEAST_FACTOR)

    def _felt(self, name: str, sample: Sample, value: float, least_factor: float) -> bool:
        """The rise over the centre is large enough, and more than load or youth explain.

        Under L times the usual requests, as many more fail, latency may rise L times and a queue
        L * L times: the busy end of any queueing model, far more than a service with room does.
        """
        metric = self._metrics[name]
        rule = metric.baseline.rule
        center = from_chart(rule, metric.center)
        ratio = self._load.ratio
        if name == "response_time":
            factor = max(least_factor, ratio, START_FACTOR if _young(sample) else 1.0)
            if value < factor * center:
                return False
        if name == "error_rate" and value < LEAST_FACTOR * ratio * center:
            return False
        if name == "queue_depth" and value < ratio * ratio * (center + 1.0):
            return False
        return value - center >= rule.least_effect

    # ------------------------------------------------------------ the score
    def _damages(self, sample: Sample) -> dict[str, float]:
        limit = sample.counters.get("memory_limit_bytes")
        memory = sample.value("memory_usage")
        vitals = {name: self._vital(name, sample) for name in METRICS}
        return damages(
            vitals,
            failed_share=self._failures.share(15.0),
            memory_share=memory / limit if memory is not None and limit else None,
            cores=sample.counters.get("cores", 1.0),
        )

    def _vital(self, name: str, sample: Sample) -> Vital:
        value = sample.value(name)
        if name == "anomaly_score" and value is None and len(self._samples) > 1:
            value = self._samples[-2].value(name)  # the newest is filled in after the charts
        metric = self._metrics[name]
        if metric.point is None:
            return Vital(value, climbing=self._climbs(name))
        upper = metric.center + 3.0 * metric.baseline.sigma
        return Vital(
            value,
            from_chart(metric.baseline.rule, metric.center),
            from_chart(metric.baseline.rule, upper),
            metric.standing and metric.period_s is None,
        )

    def _climbs(self, name: str) -> bool:
        """Whether each of the last samples was above the one before."""
        newest_first = islice(reversed(self._samples), CLIMB_SAMPLES)
        known = [value for s in newest_first if (value := s.value(name)) is not None]
        rises = all(later > earlier for later, earlier in pairwise(known))
        return rises and len(known) == CLIMB_SAMPLES

    # ------------------------------------------------------------ panels
    def _limits(self, name: str) -> ControlLimits | None:
        metric = self._metrics[name]
        baseline = metric.baseline
        if not baseline.ready:
            return None
        center = metric.center if metric.point is not None else baseline.center
        reach = 3.0 * baseline.sigma
        low, middle, high = (
            from_chart(baseline.rule, c) for c in (center - reach, center, center + reach)
        )
        return ControlLimits(
            low,
            middle,
            high,
            baseline.samples,
            RULE,
            average_run_length(),
            average_run_length(RISE_SIGMA),
        )

    def _state(self, name: str) -> MetricState:
        metric = self._metrics[name]
        latest = self._samples[-1] if self._samples else None
        reading = Reading(None, "no sample yet")
        if latest is not None:
            reading = latest.readings.get(name, Reading(None, "not measured"))
        history = tuple(s.value(name) for s in self._samples)
        forecast = self._forecasts.get(name)
        return MetricState(
            name=name,
            reading=reading,
            history=history,
            limits=self._limits(name),
            beyond_limits=self._beyond(name),
            rule=metric.chart.rule(metric.point),
            trend_per_min=self._trend(history),
            time_to_limit_s=forecast.time_to_limit_s if forecast is not None else None,
            limit_name=forecast.limit_name if forecast is not None else "",
            learning_left=metric.baseline.learning_left,
        )

    def _trend(self, history: tuple[float | None, ...]) -> float | None:
        """Rise per minute over the last minute (12 samples at least), from thirds' medians."""
        number = max(12, round(60.0 / max(self._interval_s, 0.1)))
        values = [v for v in history[-number:] if v is not None]
        third = len(values) // 3
        if third < 3:
            return None
        first = sorted(values[:third])[third // 2]
        last = sorted(values[-third:])[third // 2]
        times = list(self._samples)[-number:]
        span_s = (times[-1].time_s - times[0].time_s) * 2 / 3
        return 60.0 * (last - first) / span_s if span_s > 0 else None


def _young(sample: Sample) -> bool:
    return sample.counters.get("uptime_s", START_S) < START_S
