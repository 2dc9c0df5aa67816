"""From cumulative counts to the readings of one interval."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping

from selfheal_agent import histogram
from selfheal_engine.model import Reading
from selfheal_engine.sources.occurrences import OccurrenceStore
from selfheal_engine.sources.outside import WAYS, Outside
from selfheal_engine.sources.probes import ProbeSet
from selfheal_engine.sources.traffic import Traffic


class Totals:
    """Cumulative counts at one time."""

    def __init__(self) -> None:
        self.requests = self.errors = self.exceptions = self.outside = self.restarts = 0
        self.failures = 0
        """Exceptions that others than the probe told of; they may have failed a request or not."""
        self.durations: Counter[int] = Counter()
        self.totals: dict[str, int] = {}
        self.fingerprints: dict[str, int] = {}

    @staticmethod
    def of(probes: ProbeSet, store: OccurrenceStore, other: Outside) -> Totals:
        made = Totals()
        told = teller_of(probes, other)
        made.requests, made.errors = told.requests, told.errors
        made.exceptions, made.outside = probes.exceptions + other.exceptions, probes.outside
        made.failures = other.exceptions
        made.restarts = probes.restarts
        made.totals = dict(probes.totals)
        made.fingerprints = dict(store.counts)
        for route in told.routes.values():
            made.durations.update(route.histogram)
        return made


def teller_of(probes: ProbeSet, other: Outside) -> ProbeSet | Traffic:
    """Who tells of requests: the probe, unless it has seen none and somebody else has."""
    return probes if probes.requests or not other.traffic.requests else other.traffic


def increase(now: int, before: int) -> int:
    """What was added; a count that started anew has added nothing yet."""
    return max(0, now - before)


def or_level(reading: Reading, level: float | None) -> Reading:
    """The reading, or what a metrics page says where it cannot be had."""
    return reading if reading.value is not None or level is None else Reading(level)


def rate(errors: int, failures: int, interval_s: float, known: bool) -> Reading:
    """Failed requests or exceptions, whichever are more: one crash is mostly both."""
    if not known:
        return Reading(None, f"needs {WAYS}")
    return Reading(60.0 * max(errors, failures) / interval_s)


def latency(durations: Mapping[int, int], any_request: bool, missing: str) -> Reading:
    """p95 in ms of the interval's requests; `missing` says what would be needed to see any."""
    p95 = histogram.quantile_s(durations, 0.95)
    if p95 is not None:
        return Reading(1000.0 * p95)
    if missing:
        return Reading(None, missing)
    return Reading(
        None, "no request ended in this interval" if any_request else "no requests seen yet"
    )


def spool_depth(folder: str) -> int | None:
    """Files that lie in a spool folder; None where there is none."""
    if not folder:
        return None
    try:
        return sum(1 for entry in os.scandir(folder) if entry.is_file())
    except OSError:
        return None
