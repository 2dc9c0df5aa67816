"""Known patterns of failing services, read from a catalogue (signatures.toml), matched live.

A signature is data: conditions on metrics and counters that must hold together for some
samples in a row. People add their own in a file of the same form. A condition names a
series (or a quotient `a/b` of two) and a measure of it:

    level      median of the last `over_s` seconds
    least      smallest value of the last `over_s` seconds
    total      sum of the last `over_s` seconds
    ratio      level over what was usual (the median of the ten minutes before)
    rise       level minus what was usual
    floors     how many of five equal blocks of `over_s` have a higher floor than the one before
    peak       largest value of the last `over_s` seconds
    climb      last floor over the first of those five, minus one
    burst      newest sample over the mean of the two minutes before
    step       absolute value of the newest sample

Conditions on what was usual cannot hold before there is a past of a dozen samples.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np

from selfheal_engine.anomaly_detector.series import Series
from selfheal_engine.errors import ConfigError
from selfheal_engine.model import Alert, Severity

MEASURES = ("level", "least", "total", "ratio", "rise", "peak", "floors", "climb", "burst", "step")
USUAL_S, USUAL_LEAST = 600.0, 12
USUAL_FRESH_S = 20.0
"""What is usual is looked up again after so long."""
REPEAT_S = 60.0

Usual = dict[str, float | None]
Measured = dict[tuple[str, str, float], float | None]


@dataclass(frozen=True, slots=True)
class Condition:
    """One clause: `above` and `below` are strict bounds, in the series' own unit."""

    of: str
    measure: str
    above: float | None = None
    below: float | None = None
    over_s: float = 15.0

    def holds(self, value: float) -> bool:
        return (self.above is None or value > self.above) and (
            self.below is None or value < self.below
        )


@dataclass(frozen=True, slots=True)
class Signature:
    """One entry of the catalogue."""

    name: str
    title: str
    """One line for the feed; {0}, {1}, ... stand for the values of the conditions."""
    severity: Severity
    when: tuple[Condition, ...]
    samples: int = 3
    """How many samples in a row the conditions must hold."""
    metrics: tuple[str, ...] = ()
    bug_types: tuple[tuple[str, float], ...] = ()
    """Which bug types it speaks for, with weights (log-odds)."""
    suspects: str = ""
    """"leak" or "stall" where the probe should be asked to look closer."""
    example: Mapping[str, str] = field(default_factory=dict)
    counter_example: Mapping[str, str] = field(default_factory=dict)


class SignatureMatcher:
    """Matches a catalogue against the series, one sample at a time."""

    def __init__(self, catalogue: Sequence[Signature]) -> None:
        self._catalogue = tuple(catalogue)
        self._held = [0] * len(self._catalogue)
        self._told_s = [float("-inf")] * len(self._catalogue)
        self._usual: Usual = {}
        self._usual_s = float("-inf")

    def match(self, now_s: float, series: Series) -> tuple[list[Alert], frozenset[str]]:
        """Alerts (each signature at most once a minute), and what should be looked into."""
        alerts = []
        suspects = set()
        if now_s - self._usual_s >= USUAL_FRESH_S or now_s < self._usual_s:
            self._usual_s = now_s
            self._usual.clear()
        measured: Measured = {}
        for place, signature in enumerate(self._catalogue):
            values = _values(signature, series, measured, self._usual)
            if values is None:
                self._held[place] = 0
                continue
            self._held[place] += 1
            if self._held[place] < signature.samples:
                continue
            if signature.suspects:
                suspects.add(signature.suspects)
            if now_s - self._told_s[place] >= REPEAT_S or now_s < self._told_s[place]:
                self._told_s[place] = now_s
                alerts.append(
                    Alert(
                        now_s,
                        f"signature:{signature.name}",
                        signature.severity,
                        signature.title.format(*(f"{v:.3g}" for v in values)),
                        signature.metrics,
                    )
                )
        return alerts, frozenset(suspects)


def measure(condition: Condition, series: Series, usual: dict[str, float | None]) -> float | None:
    """The condition's number, or None where it cannot be had. `usual` is a cache of one tick."""
    top, _, bottom = condition.of.partition("/")
    if bottom:
        return _quotient(condition, series, top, bottom)
    kind = condition.measure
    if kind == "step":
        newest = series.window(top, 0.0, 1)
        return None if newest is None else abs(float(newest[-1]))
    if kind == "burst":
        return _burst(top, series)
    least = 10 if kind in ("floors", "climb") else 3
    values = series.window(top, condition.over_s, least)
    if values is None:
        return None
    if kind == "least":
        return float(values.min())
    if kind == "total":
        return float(values.sum())
    if kind == "peak":
        return float(values.max())
    if kind in ("floors", "climb"):
        size = len(values) // 5
        floors: list[float] = values[-5 * size :].reshape(5, size).min(axis=1).tolist()
        if kind == "climb":
            return floors[-1] / max(floors[0], 1e-9) - 1.0
        return float(sum(b > 1.02 * a for a, b in pairwise(floors)))
    level = _median(values)
    if kind == "level":
        return level
    before = _usual(condition, series, top, usual)
    if before is None:
        return None
    if kind == "rise":
        return level - before
    # nothing where nothing is usual is no fall
    return None if level <= 0.0 and before <= 0.0 else level / max(before, 1e-9)


def _usual(condition: Condition, series: Series, name: str, usual: Usual) -> float | None:
    key = f"{name}:{condition.over_s}"
    if key not in usual:
        skip = series.samples_in(max(condition.over_s, 60.0), 3)
        before = series.window(name, USUAL_S, USUAL_LEAST, skip=skip)
        if before is None:
            skip = series.samples_in(condition.over_s, 3)
            before = series.window(name, USUAL_S, USUAL_LEAST, skip=skip)
        usual[key] = None if before is None else _median(before)
    return usual[key]


def _burst(name: str, series: Series) -> float | None:
    newest = series.window(name, 0.0, 1)
    before = series.window(name, 120.0, 6, skip=1)
    if newest is None or before is None:
        return None
    return float(newest[-1]) / max(float(before.mean()), 1e-9)


def _quotient(condition: Condition, series: Series, top: str, bottom: str) -> float | None:
    above = series.window(top, condition.over_s, 3)
    below = series.window(bottom, condition.over_s, 3)
    if above is None or below is None or float(below.sum()) <= 0:
        return None
    return float(above.sum()) / float(below.sum())


def _median(values: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    # np.median costs 15 us on a dozen values, a partition 2, sorting a handful less
    middle = len(values) // 2
    if len(values) <= 16:
        return float(sorted(values.tolist())[middle])
    return float(np.partition(values, middle)[middle])


def _values(
    signature: Signature, series: Series, measured: Measured, usual: Usual
) -> list[float] | None:
    """The values of all conditions, or None as soon as one does not hold."""
    out = []
    for condition in signature.when:
        key = (condition.of, condition.measure, condition.over_s)
        if key in measured:
            value = measured[key]
        else:
            value = measured[key] = measure(condition, series, usual)
        if value is None or not condition.holds(value):
            return None
        out.append(value)
    return out


# ---------------------------------------------------------------- the catalogue
@cache
def catalogue() -> tuple[Signature, ...]:
    """The signatures that come with the engine."""
    text = files("selfheal_engine.anomaly_detector").joinpath("signatures.toml").read_text("utf-8")
    return parse(text, "signatures.toml")


def load_catalogue(path: Path) -> tuple[Signature, ...]:
    """A person's own signatures. Raises ConfigError that names the entry and what is wrong."""
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except OSError as why:
        raise ConfigError(f"cannot read signatures from {path}: {why.strerror}") from None


def parse(text: str, where: str) -> tuple[Signature, ...]:
    try:
        entries = tomllib.loads(text).get("signature", [])
    except tomllib.TOMLDecodeError as why:
        raise ConfigError(f"{where} is not valid TOML: {why}") from None
    out = []
    for number, entry in enumerate(entries, 1):
        try:
            out.append(_signature(entry))
        except (KeyError, TypeError, ValueError) as why:
            name = entry.get("name", f"number {number}") if isinstance(entry, dict) else number
            raise ConfigError(f"{where}: signature {name}: {why}") from None
    return tuple(out)


def bug_types_of(name: str) -> tuple[tuple[str, float], ...]:
    """The bug types that a signature of the engine's own catalogue speaks for."""
    return next((s.bug_types for s in catalogue() if s.name == name), ())


def _signature(entry: dict[str, Any]) -> Signature:
    severity = entry.get("severity", "warning")
    if severity not in ("info", "warning", "critical"):
        raise ValueError("severity must be info, warning or critical")
    conditions = tuple(_condition(c) for c in entry["when"])
    if not conditions:
        raise ValueError("it has no conditions")
    return Signature(
        name=str(entry["name"]),
        title=str(entry["title"]),
        severity=cast(Severity, severity),
        when=conditions,
        samples=int(entry.get("samples", 3)),
        metrics=tuple(entry.get("metrics", ())),
        bug_types=tuple((str(k), float(v)) for k, v in entry.get("bug_types", {}).items()),
        suspects=str(entry.get("suspects", "")),
        example=dict(entry.get("example", {})),
        counter_example=dict(entry.get("counter_example", {})),
    )


def _condition(entry: dict[str, Any]) -> Condition:
    kind = str(entry["is"])
    if kind not in MEASURES:
        raise ValueError(f"unknown measure {kind!r} (one of {', '.join(MEASURES)})")
    if "above" not in entry and "below" not in entry:
        raise ValueError(f"the condition on {entry['of']} has neither above nor below")
    if "/" in entry["of"] and kind not in ("level", "total"):
        raise ValueError(f"{entry['of']}: a quotient has a level only")
    return Condition(
        of=str(entry["of"]),
        measure=kind,
        above=None if "above" not in entry else float(entry["above"]),
        below=None if "below" not in entry else float(entry["below"]),
        over_s=float(entry.get("over_s", 15.0)),
    )


def draw(notation: str) -> list[float]:
    """A series in the catalogue's notation: "40x60 40>200x12" is 60 times 40, then a ramp."""
    out: list[float] = []
    for part in notation.split():
        shape, _, times = part.rpartition("x")
        start, _, end = shape.partition(">")
        number = int(times)
        first, last = float(start), float(end or start)
        out += [first + (last - first) * i / max(number - 1, 1) for i in range(number)]
    return out
