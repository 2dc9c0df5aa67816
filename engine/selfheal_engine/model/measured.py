"""What was measured: samples, control limits, health, alerts."""

from __future__ import annotations

from dataclasses import dataclass, field

from selfheal_engine.model.vocabulary import Severity


@dataclass(frozen=True, slots=True)
class Reading:
    """One metric at one time; `value` is None where it cannot be had, and `reason` says why."""

    value: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading of the seven metrics over the interval that ends at `time_s`.

    cpu_usage is percent of one core over the whole process tree, memory_usage bytes (PSS, or
    RSS where PSS cannot be read), error_rate per minute, response_time the p95 in ms,
    queue_depth a count, deadlock_risk and anomaly_score in [0, 1]. `counters` holds further
    named numbers for detection and display: requests, errors, p50_ms, p99_ms, threads,
    descriptors, gc_collections, loop_lag_ms, exceptions:<fingerprint>, ...
    """

    time_s: float
    interval_s: float
    readings: dict[str, Reading]
    counters: dict[str, float] = field(default_factory=dict)

    def value(self, metric: str) -> float | None:
        """The metric's number, or None where it cannot be had."""
        reading = self.readings.get(metric)
        return None if reading is None else reading.value


RISE_SIGMA = 4.0
"""The rise by which `ControlLimits.run_length_risen` shows how quick a rule is."""


@dataclass(frozen=True, slots=True)
class ControlLimits:
    """The SPC band of one metric, in the metric's own unit."""

    lower: float
    center: float
    upper: float
    samples: int
    """How many samples the baseline rests on."""
    rule: str = ""
    """When a metric counts as beyond them, in words: "3 of 5 samples beyond 3 sigma"."""
    run_length: float = 0.0
    """Average run length: samples from one false alarm of the rule to the next."""
    run_length_risen: float = 0.0
    """Samples until the rule tells of a rise of `RISE_SIGMA`."""


@dataclass(frozen=True, slots=True)
class MetricState:
    """What one panel of the dashboard shows."""

    name: str
    reading: Reading
    history: tuple[float | None, ...]
    """Readings at full resolution, oldest first; None where there was none."""
    limits: ControlLimits | None
    """None while the baseline is being learned."""
    beyond_limits: bool = False
    """The persistence rule holds (3 of the last 5 samples beyond the limits)."""
    rule: str = ""
    """The control rule that fired, in words: "5 of 5 samples beyond 3 sigma"."""
    trend_per_min: float | None = None
    time_to_limit_s: float | None = None
    """Forecast: seconds until `limit_name` is reached; None when it is not in sight."""
    limit_name: str = ""
    learning_left: int = 0
    """Samples still to come before the limits are known."""


@dataclass(frozen=True, slots=True)
class HealthCause:
    """One named reason for lost health points."""

    name: str
    points: float
    metric: str = ""
    """The metric that it is read from."""


@dataclass(frozen=True, slots=True)
class HealthScore:
    """0-100, 100 is well. `causes` sum to about 100 - score, largest first."""

    score: float
    causes: tuple[HealthCause, ...] = ()


@dataclass(frozen=True, slots=True)
class Alert:
    """One detector's statement at one time."""

    time_s: float
    detector: str
    """control_chart, range_record, forest, signature:<name>, forecast, occurrence, ..."""
    severity: Severity
    text: str
    """One line for the feed, in the person's terms."""
    metrics: tuple[str, ...] = ()
    score: float = 1.0
    """Tail probability turned strength, 0-1."""
    fingerprint: str = ""
    place: str = ""
    """file:line where known."""
