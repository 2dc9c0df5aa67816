"""When will it run out? Time to limit of memory, descriptors, threads, disk, queues, pools.

Each resource is followed at three horizons: the samples of the last minutes for fast leaks,
one-minute floors for hours, quarter-hour floors for days. A floor is the smallest value of
its block, so that a garbage collector's sawtooth does not look like growth. The slope is
Theil and Sen's median of pairwise slopes; it counts when Mann and Kendall's test says so
with a variance corrected for autocorrelation (Hamed & Rao, J. Hydrology 1998), and when the
end of the window still rises as the whole does: growth that levels off is a warm-up.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from selfheal_engine.health_monitor.wording import describe_bytes, describe_duration
from selfheal_engine.model import Sample

Floats = npt.NDArray[np.float64]


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
class Resource:
    """Something that fills up: where its level is read and what bounds it."""

    key: str
    metric: str
    """The metric whose panel shows the forecast."""
    limit_name: str
    limit_key: str = ""
    limit: float = math.inf
    least_growth: float = 0.0
    """Smallest growth over a window worth a word, in the resource's unit ..."""
    least_share: float = 0.05
    """... and as a share of its level at the start of the window."""
    warn_s: float = 4 * 3600.0
    """A limit farther away than this is not announced from the fast horizons."""
    leak: bool = False
    """Growth of it may be a leak in the code."""
    sinks: bool = False
    """It runs out by going down (free disk)."""


RESOURCES = (
    Resource(
        "memory_usage",
        "memory_usage",
        "memory limit",
        "memory_limit_bytes",
        least_growth=24 * 2.0**20,
        least_share=0.10,
        leak=True,
    ),
    Resource(
        "descriptors",
        "memory_usage",
        "descriptor limit",
        "descriptors_limit",
        least_growth=40.0,
        least_share=0.25,
        leak=True,
    ),
    Resource(
        "threads",
        "memory_usage",
        "thread limit",
        "threads_limit",
        1000.0,
        least_growth=20.0,
        least_share=0.5,
        leak=True,
    ),
    Resource(
        "objects",
        "memory_usage",
        "",
        least_growth=50_000.0,
        least_share=0.25,
        leak=True,
    ),
    Resource(
        "queue_depth",
        "queue_depth",
        "queue limit",
        "queue_limit",
        1000.0,
        least_growth=25.0,
        least_share=0.5,
        warn_s=1800.0,
    ),
    Resource(
        "pool_used",
        "queue_depth",
        "pool size",
        "pool_size",
        least_growth=3.0,
        least_share=0.3,
        warn_s=1800.0,
    ),
    Resource(
        "disk_free_bytes",
        "memory_usage",
        "disk full",
        limit=0.0,
        least_growth=64 * 2.0**20,
        least_share=0.02,
        sinks=True,
    ),
    Resource(
        "response_time",
        "response_time",
        "latency budget",
        "latency_budget_ms",
        least_growth=50.0,
        least_share=0.5,
        warn_s=1800.0,
    ),
)

BLOCKS = ((0.0, 24, 20.0), (60.0, 60, 600.0), (900.0, 48, 4 * 3600.0))
"""(seconds of a block, blocks kept, seconds of history needed) of the three horizons."""
LEAST_POINTS = 8
QUIET_AFTER_START_S = (10.0, 900.0, 4 * 3600.0)
"""After a restart each horizon keeps quiet this long: caches fill, imports finish."""
NEAR_S = 600.0
"""A limit nearer than this is announced even then."""


class Forecaster:
    """Follows every resource of `resources` that the samples carry."""

    def __init__(self, resources: tuple[Resource, ...] = RESOURCES) -> None:
        self._tracks = {r.key: _Track(r) for r in resources}

    def ingest(self, sample: Sample) -> tuple[dict[str, Forecast], tuple[str, ...]]:
        """Forecasts by metric (the nearest limit of each), and the resources that may leak."""
        nearest: dict[str, Forecast] = {}
        leaking = []
        for key, track in self._tracks.items():
            level = sample.value(key) if key in sample.readings else sample.counters.get(key)
            if level is None:
                continue
            limit = sample.counters.get(track.resource.limit_key, track.resource.limit)
            forecast, leak = track.ingest(sample.time_s, level, limit)
            if leak:
                leaking.append(key)
            if forecast is None:
                continue
            held = nearest.get(forecast.metric)
            if held is None or forecast.time_to_limit_s < held.time_to_limit_s:
                nearest[forecast.metric] = forecast
        return nearest, tuple(leaking)

    def restart(self) -> None:
        """The service was restarted: what was learned of its growth says nothing any more."""
        self._tracks = {key: _Track(t.resource) for key, t in self._tracks.items()}


class _Track:
    """The three horizons of one resource."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self._began_s: float | None = None
        self._recent: deque[tuple[float, float]] = deque(maxlen=360)
        self._floors: tuple[deque[tuple[float, float]], ...] = tuple(
            deque(maxlen=kept) for _, kept, _ in BLOCKS[1:]
        )
        self._blocks: list[tuple[int, float]] = [(-1, 0.0)] * len(self._floors)
        self._found: list[Growth | None] = [None] * len(BLOCKS)

    def ingest(self, now_s: float, level: float, limit: float) -> tuple[Forecast | None, bool]:
        height = -level if self.resource.sinks else level
        if self._began_s is None:
            self._began_s = now_s
        self._recent.append((now_s, height))
        self._found[0] = self._growth(0, _window(self._recent, 20.0, LEAST_POINTS), now_s)
        for place, (seconds, _, _) in enumerate(BLOCKS[1:]):
            block, floor = self._blocks[place]
            here = int(now_s // seconds)
            if here == block:
                self._blocks[place] = (block, min(floor, height))
                continue
            if block >= 0:
                self._floors[place].append(((block + 0.5) * seconds, floor))
                points = list(self._floors[place])
                self._found[place + 1] = self._growth(place + 1, points, now_s)
            self._blocks[place] = (here, height)
        growths = [g for g in self._found if g is not None]
        if not growths:
            return None, False
        leak = self.resource.leak and any(g.steady for g in growths)
        if not math.isfinite(limit):
            return None, leak
        return self._nearest(growths, height, -limit if self.resource.sinks else limit), leak

    def _growth(
        self, horizon: int, points: list[tuple[float, float]], now_s: float
    ) -> Growth | None:
        assert self._began_s is not None
        quiet_until = self._began_s + QUIET_AFTER_START_S[horizon]
        points = [p for p in points if p[0] >= self._began_s + QUIET_AFTER_START_S[0]]
        if len(points) < LEAST_POINTS or points[-1][0] - points[0][0] < BLOCKS[horizon][2] * 0.9:
            return None
        times = np.array([t for t, _ in points])
        heights = np.array([h for _, h in points])
        growth = measure_growth(times, heights)
        if growth is None or growth.rise < self.resource.least_growth:
            return None
        if growth.rise < self.resource.least_share * abs(float(heights[0])):
            return None
        return replace(growth, steady=growth.steady and now_s >= quiet_until)

    def _nearest(self, growths: list[Growth], height: float, limit: float) -> Forecast | None:
        best: Forecast | None = None
        for growth in growths:
            left = max(limit - height, 0.0)
            soonest = left / growth.steepest
            time_s = left / growth.slope
            latest = left / growth.flattest if growth.flattest > 0 else math.inf
            if not growth.steady and time_s > NEAR_S:
                continue
            if time_s > max(self.resource.warn_s, 6 * growth.span_s):
                continue
            if best is None or time_s < best.time_to_limit_s:
                best = Forecast(
                    self.resource.metric,
                    self.resource.limit_name,
                    abs(limit),
                    time_s,
                    soonest,
                    latest,
                    growth.slope * 60.0,
                    growth.span_s,
                    self._words(growth, time_s),
                )
        return best

    def _words(self, growth: Growth, time_s: float) -> str:
        per_min = growth.slope * 60.0
        is_bytes = "bytes" in self.resource.key or self.resource.key == "memory_usage"
        amount = describe_bytes(per_min) if is_bytes else f"{per_min:.3g}"
        name = self.resource.key.removesuffix("_bytes")
        verb = "falls" if self.resource.sinks else "grows"
        return (
            f"{name} {verb} by {amount} a minute: {self.resource.limit_name} in about "
            f"{describe_duration(time_s)}"
        )


@dataclass(frozen=True, slots=True)
class Growth:
    """A significant rise over one window; slopes per second."""

    slope: float
    flattest: float
    steepest: float
    rise: float
    span_s: float
    steady: bool
    """It rises at the end as it did over the whole window."""


def measure_growth(times: Floats, heights: Floats) -> Growth | None:
    """The trend of the points if it is significantly upwards, else None.

    Theil-Sen slope with Sen's (1968) 90 % interval; Kendall's S against its variance under
    independence, inflated by (1 + r) / (1 - r) with r the lag-1 autocorrelation of the
    residuals; steady when the median slope of the last third is at least half, and that of
    the first third at most twice, the slope of the whole.
    """
    n = len(times)
    rows, columns = np.triu_indices(n, 1)
    spans = times[columns] - times[rows]
    rises = heights[columns] - heights[rows]
    slopes = np.sort(rises[spans > 0] / spans[spans > 0])
    if not len(slopes):
        return None
    slope = float(np.median(slopes))
    if slope <= 0:
        return None
    residuals = heights - slope * times
    residuals = residuals - residuals.mean()
    power = float(residuals @ residuals)
    r = float(residuals[1:] @ residuals[:-1]) / power if power > 0 else 0.0
    inflation = (1 + max(r, 0.0)) / (1 - min(max(r, 0.0), 0.95))
    spread = math.sqrt(n * (n - 1) * (2 * n + 5) / 18.0 * inflation)
    if float(np.sign(rises).sum()) / spread < 2.33:
        return None
    reach = 1.645 * spread
    low = slopes[max(0, int((len(slopes) - reach) / 2))]
    high = slopes[min(len(slopes) - 1, math.ceil((len(slopes) + reach) / 2))]
    third = n // 3
    start = _end_slope(times[: third + 1], heights[: third + 1])
    end = _end_slope(times[-third - 1 :], heights[-third - 1 :])
    span = float(times[-1] - times[0])
    return Growth(
        slope,
        float(low),
        max(float(high), slope),
        slope * span,
        span,
        steady=end >= 0.6 * slope and start <= 1.6 * slope,
    )


def _end_slope(times: Floats, heights: Floats) -> float:
    rows, columns = np.triu_indices(len(times), 1)
    spans = times[columns] - times[rows]
    slopes = (heights[columns] - heights[rows])[spans > 0] / spans[spans > 0]
    return float(np.median(slopes)) if len(slopes) else 0.0


def _window(
    recent: deque[tuple[float, float]], seconds: float, least: int
) -> list[tuple[float, float]]:
    """The newest points: as many as cover `seconds`, at least `least`, at most 40."""
    points: list[tuple[float, float]] = []
    for point in reversed(recent):
        if len(points) >= least and points[0][0] - point[0] > seconds:
            break
        points.append(point)
        if len(points) >= 40:
            break
    return points[::-1]


def describe_leaks(leaking: tuple[str, ...], limits: Mapping[str, Forecast]) -> str:
    """One line for the feed."""
    for forecast in limits.values():
        if forecast.metric == "memory_usage":
            return forecast.text
    names = {"memory_usage": "memory", "objects": "the number of live objects"}
    return " and ".join(names.get(k, k) for k in leaking) + " grows steadily: it may be a leak"
