"""When will it run out? Time to limit of memory, descriptors, threads, disk, queues, pools.

Each resource is followed at three horizons: the samples of the last minute for what rises
fast, one-minute floors for hours, quarter-hour floors for days. A floor is the smallest value
of its block, so that a garbage collector's sawtooth does not look like growth. After a restart
every horizon is quiet for a while, because caches fill and imports finish, unless the limit
is near.

Two things are said: forecasts, which are announced, and suspicions, which only make the
probe look closer and may therefore come early.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from selfheal_engine.anomaly_detector.growth import (
    Growth,
    Point,
    floor_rise,
    measure_growth,
    rises_evenly,
)
from selfheal_engine.anomaly_detector.resources import RESOURCES, Resource
from selfheal_engine.health_monitor.wording import describe_bytes, describe_duration
from selfheal_engine.model import Sample


@dataclass(frozen=True, slots=True)
class Forecast:
    """A resource that will reach its limit if it goes on like this."""

    metric: str
    limit_name: str
    limit: float
    time_to_limit_s: float
    soonest_s: float
    latest_s: float
    """Interval of about 90 %; `latest_s` is infinite when standing still cannot be excluded."""
    per_min: float
    horizon_s: float
    """Length of the window that it rests on."""
    text: str


@dataclass(frozen=True, slots=True)
class _Horizon:
    """Blocks of `seconds` (0: single samples); windows of so many blocks are looked at."""

    seconds: float
    windows: tuple[int, ...]
    quiet_s: float
    """After a restart nothing is announced from it for so long."""


HORIZONS = (
    _Horizon(0.0, (36,), 120.0),
    _Horizon(60.0, (12, 30, 60), 900.0),
    _Horizon(900.0, (16, 32, 64), 3 * 3600.0),
)
SHORT_WINDOW = (12,)
"""Samples of the first horizon for what is no leak: a queue rises within a minute."""
EARLY_S, EARLY_SAMPLES, EARLY_MOST = 24.0, 8, 40
"""Suspicion: a climb over so long, in at least and at most so many samples ..."""
EARLY_QUIET_S = 18.0
"""... from so long after a restart."""
NEAR_S = 1000.0
"""A limit nearer than this is announced whatever the horizon and however young the process."""
DROP = 0.25
"""A level that falls by this share at once was given back by a restart."""
SETTLED_BLOCKS, SETTLED_LEAST, SETTLED_SHARE = 288, 32, 0.9
"""The level that the resource is used to: this quantile of its quarter-hour floors of three days,
once there are eight hours of them. Growth still below it is a cache that refills, or morning."""
ABOVE_SETTLED = 1.05
DOUBTED_S = 86_400.0
"""A leak shows now and then as none: for so long, levels above the one at which it was told are no
usual ones."""
PEAKS = 48
"""Highest levels of so many quarter-hours: what it has been at before, and came down from, is the
tooth of a collector or a cache that refills."""
BUSIER, WITH_LOAD = 1.5, 1.25
"""Traffic that has risen by this factor explains a level that has risen by the same, and a bit."""


class Forecaster:
    """Follows every resource of `resources` that the samples carry."""

    def __init__(self, resources: tuple[Resource, ...] = RESOURCES) -> None:
        self._tracks = {r.key: _Track(r) for r in resources}
        self._uptime_s = 0.0

    def ingest(
        self, sample: Sample
    ) -> tuple[dict[str, Forecast], tuple[str, ...], tuple[str, ...]]:
        """Forecasts by metric (the nearest limit of each), what leaks, what may be about to."""
        uptime_s = sample.counters.get("uptime_s", math.inf)
        if uptime_s < self._uptime_s:
            self.restart(sample.time_s)
        self._uptime_s = uptime_s if math.isfinite(uptime_s) else 0.0
        nearest: dict[str, Forecast] = {}
        leaking, suspected = [], []
        for key, track in self._tracks.items():
            level = sample.value(key) if key in sample.readings else sample.counters.get(key)
            if level is None:
                continue
            level = sample.counters.get(track.resource.worst_key, level)
            track.ingest(sample.time_s, level, sample.counters.get("requests"))
            if track.resource.leak and track.suspicious():
                suspected.append(key)
            limit, name = track.resource.limit, track.resource.default_name
            if track.resource.limit_key in sample.counters or not name:
                limit = sample.counters.get(track.resource.limit_key, limit)
                name = track.resource.limit_name
            forecast = track.forecast(limit, name)
            if track.resource.leak and (forecast is not None or track.grows_for_long):
                leaking.append(key)
                track.note_leak(sample.time_s)
            if forecast is None:
                continue
            held = nearest.get(forecast.metric)
            if held is None or forecast.time_to_limit_s < held.time_to_limit_s:
                nearest[forecast.metric] = forecast
        return nearest, tuple(leaking), tuple(suspected)

    def restart(self, now_s: float) -> None:
        """The service was restarted: every horizon is quiet for its while, and starts anew."""
        for track in self._tracks.values():
            track.restart(now_s)


class _Track:
    """The horizons of one resource. Heights are levels turned so that the limit is above."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self._recent: deque[Point] = deque(maxlen=240)
        self._floors: tuple[deque[Point], ...] = tuple(
            deque(maxlen=max(h.windows)) for h in HORIZONS[1:]
        )
        self._blocks: list[tuple[int, float]] = [(-1, 0.0)] * len(self._floors)
        self._found: list[Growth | None] = [None] * len(HORIZONS)
        self._began_s: float | None = None
        self._highest = -math.inf
        """Highest level before the window of suspicion, since the restart."""
        self._settled: deque[float] = deque(maxlen=SETTLED_BLOCKS)
        self._used_to = -math.inf
        self._peaks: deque[Point] = deque(maxlen=PEAKS)
        self._leaked = False
        """Growth was told since the last restart, ..."""
        self._told_s = -math.inf
        """... and when last."""
        self._told_height = math.inf
        self._load = 0.0
        """Requests of a sample, smoothed."""
        self._loads: deque[tuple[float, float]] = deque(maxlen=max(HORIZONS[1].windows))

    @property
    def grows_for_long(self) -> bool:
        """Steady growth that the slower horizons see; no limit is needed for that."""
        steady = self._steady
        return bool(steady) and not self._usual and any(self._is_new(g) for g in steady)

    @property
    def _steady(self) -> list[Growth]:
        return [g for g in self._found[1:] if g is not None and g.steady]

    def restart(self, now_s: float) -> None:
        if self._leaked:
            self._peaks.clear()  # a leak's end at its limit is no level to be used to
        self._leaked = False
        self._began_s = now_s
        self._recent.clear()
        for floors in self._floors:
            floors.clear()
        self._blocks = [(-1, 0.0)] * len(self._floors)
        self._found = [None] * len(HORIZONS)
        self._highest = -math.inf

    def note_leak(self, now_s: float) -> None:
        """Growth was told."""
        if not self._leaked or now_s - self._told_s > DOUBTED_S:
            self._told_height = self._recent[-1][1]
        self._leaked, self._told_s = True, now_s

    @property
    def _usual(self) -> bool:
        """Growth, but within what the resource is used to, or no more than the traffic's."""
        height = self._recent[-1][1]
        return (self.resource.leak and height <= self._used_to) or self._follows_load(height)

    def _is_new(self, growth: Growth) -> bool:
        """The level lies above all that it was at before it began to grow."""
        if not self.resource.leak or not self._floors[0]:
            return True
        began_s = self._recent[-1][0] - growth.span_s
        before = [peak for at, peak in self._peaks if began_s - PEAKS * 900.0 <= at < began_s]
        return not before or self._floors[0][-1][1] > max(before)

    def _follows_load(self, height: float) -> bool:
        floors = self._floors[0]
        if len(floors) < 2 or not self._loads or self.resource.sinks:
            return False
        then = min(load for _, load in self._loads)
        busier = self._load / max(then, 1.0)
        return busier >= BUSIER and height <= WITH_LOAD * busier * max(floors[0][1], 1.0)

    def ingest(self, now_s: float, level: float, requests: float | None = None) -> None:
        """One reading; `requests` of the sample where they are counted."""
        height = -level if self.resource.sinks else level
        if requests is not None:
            self._load += 0.1 * (requests - self._load)
        if self._recent:
            last_s, last = self._recent[-1]
            if now_s <= last_s:
                self._recent.clear()  # the clock was set back
            elif abs(last) > 0 and last - height > DROP * abs(last):
                self.restart(now_s)
        if self._began_s is None:
            self._began_s = now_s
        if len(self._recent) >= EARLY_MOST:
            self._highest = max(self._highest, self._recent[-EARLY_MOST][1])
        self._recent.append((now_s, height))
        self._found[0] = self._growth(0, self._recent, now_s)
        if self._peaks and 0.0 <= now_s - self._peaks[-1][0] < 900.0:
            if height > self._peaks[-1][1]:
                self._peaks[-1] = (self._peaks[-1][0], height)
        else:
            self._peaks.append((now_s, height))
        for place, horizon in enumerate(HORIZONS[1:]):
            block, floor = self._blocks[place]
            here = int(now_s // horizon.seconds)
            if here == block:
                if height < floor:
                    self._blocks[place] = (block, height)
                continue
            if block >= 0 and now_s - self._began_s >= horizon.quiet_s + horizon.seconds:
                self._floors[place].append(((block + 0.5) * horizon.seconds, floor))
                self._found[place + 1] = self._growth(place + 1, self._floors[place], now_s)
                if place == 0 and requests is not None:
                    self._loads.append((now_s, self._load))
                doubted = 0.0 <= now_s - self._told_s < DOUBTED_S and floor > self._told_height
                if place == 1 and not doubted and not self._steady:
                    self._settle(floor)
            self._blocks[place] = (here, height)

    def _settle(self, floor: float) -> None:
        self._settled.append(floor)
        if len(self._settled) >= SETTLED_LEAST and not self.resource.sinks:
            ordered = sorted(self._settled)
            self._used_to = ABOVE_SETTLED * ordered[int(SETTLED_SHARE * (len(ordered) - 1))]

    def _growth(self, place: int, points: deque[Point], now_s: float) -> Growth | None:
        """The growth of the longest window that has one and is steady, else of any."""
        assert self._began_s is not None
        quiet = now_s - self._began_s < HORIZONS[place].quiet_s
        windows = HORIZONS[place].windows
        if place == 0 and not self.resource.leak:
            windows = SHORT_WINDOW
        best: Growth | None = None
        for number in reversed(windows):
            if len(points) < number:
                continue
            if not self._enough(points[-1][1] - points[-number][1], points[-number][1]):
                continue  # the cheap question first
            window = list(points)[-number:]
            growth = measure_growth(window)
            if growth is None or not self._enough(floor_rise(window), window[0][1]):
                continue
            if growth.steady and not quiet:
                return growth
            best = best or growth
        if best is not None and quiet:
            best = Growth(
                best.slope, best.flattest, best.steepest, best.rise, best.span_s, steady=False
            )
        return best

    def _enough(self, rise: float, start: float) -> bool:
        resource = self.resource
        return rise >= max(resource.least_growth, resource.least_share * abs(start))

    def suspicious(self) -> bool:
        """A straight climb above everything seen since the restart."""
        assert self._began_s is not None
        resource = self.resource
        newest_s, newest = self._recent[-1]
        known = self._recent[max(-EARLY_MOST, -len(self._recent))][1]
        if newest - known < resource.early_growth:
            return False  # the cheap question first
        points: list[Point] = []
        earlier = self._highest
        for number, point in enumerate(reversed(self._recent)):
            if point[0] < self._began_s + EARLY_QUIET_S or number >= EARLY_MOST:
                break
            if len(points) >= EARLY_SAMPLES and newest_s - point[0] > EARLY_S:
                earlier = max(earlier, point[1])
            else:
                points.append(point)
        if len(points) < EARLY_SAMPLES or newest_s - points[-1][0] < 0.9 * EARLY_S:
            return False
        points.reverse()
        start, rise = points[0][1], points[-1][1] - points[0][1]
        if rise < max(resource.early_growth, resource.early_share * abs(start)):
            return False
        return points[-1][1] - 0.5 * rise > earlier and rises_evenly(points)

    def forecast(self, limit: float, name: str) -> Forecast | None:
        """The nearest time at which a steady growth reaches the limit; None once it has."""
        if not math.isfinite(limit):
            return None
        height = self._recent[-1][1]
        left = (-limit if self.resource.sinks else limit) - height
        if left <= 0 or not any(self._found):
            return None
        best: Forecast | None = None
        usual = self._usual
        for place, growth in enumerate(self._found):
            if growth is None:
                continue
            time_s = left / growth.slope
            if time_s > NEAR_S and (not growth.steady or (place == 0 and self.resource.leak)):
                continue
            if not growth.steady and growth.flattest <= 0:
                continue
            if time_s > max(self.resource.warn_s, 12 * growth.span_s):
                continue
            if time_s > NEAR_S and (usual or not self._is_new(growth)):
                continue
            if best is None or time_s < best.time_to_limit_s:
                latest = left / growth.flattest if growth.flattest > 0 else math.inf
                best = Forecast(
                    self.resource.metric,
                    name,
                    abs(limit),
                    time_s,
                    left / growth.steepest,
                    latest,
                    growth.slope * 60.0,
                    growth.span_s,
                    self._words(growth, name, time_s),
                )
        return best

    def _words(self, growth: Growth, limit_name: str, time_s: float) -> str:
        per_min = growth.slope * 60.0
        amount = describe_bytes(per_min) if self.resource.is_bytes else f"{per_min:.3g}"
        verb = "falls" if self.resource.sinks else "grows"
        return (
            f"{self.resource.name} {verb} by {amount} a minute: {limit_name} in "
            f"about {describe_duration(time_s)}"
        )


def describe_leaks(leaking: tuple[str, ...], forecasts: Mapping[str, Forecast]) -> str:
    """One line for the feed."""
    forecast = forecasts.get("memory_usage")
    if forecast is not None:
        return forecast.text
    names = {r.key: r.name for r in RESOURCES}
    return " and ".join(names[k] for k in leaking) + " grows steadily: it may be a leak"


class Suspicion:
    """When to look closer: at once, then 1, 2, 4, ... minutes apart while nothing comes of it."""

    FIRST_S, LONGEST_S, FORGET_S = 60.0, 3600.0, 900.0

    def __init__(self) -> None:
        self._next_s = -math.inf
        self._wait_s = self.FIRST_S
        self._seen_s = -math.inf

    def due(self, now_s: float, suspected: bool) -> bool:
        """True on the ticks that should start a look."""
        if now_s < self._seen_s:  # the clock was set back
            self._next_s = self._seen_s = now_s
        if not suspected:
            return False
        if now_s - self._seen_s > self.FORGET_S:
            self._wait_s = self.FIRST_S
        self._seen_s = now_s
        if now_s < self._next_s:
            return False
        self._next_s = now_s + self._wait_s
        self._wait_s = min(2 * self._wait_s, self.LONGEST_S)
        return True
