"""A simulated service for measuring detection: months of healthy life, and faults put into it.

Written from what services do, not from what the detector looks for: daily and weekly seasons,
traffic spikes, cron jobs, garbage collection, deploys, worker recycling, caches that fill,
handled errors, clock jumps. Everything follows from the seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from selfheal_engine.model import Reading, Sample

STEP_S = 5.0
DAY_S = 86_400.0
EPOCH_S = 1_760_000_000.0 - 1_760_000_000.0 % (7 * DAY_S)
MEMORY_LIMIT = 2.0 * 2**30
DESCRIPTOR_LIMIT = 1024.0
QUEUE_LIMIT = 1000.0

Floats = npt.NDArray[np.float64]

KINDS = (
    "error burst",
    "slow answers",
    "deadlock",
    "fast leak",
    "medium leak",
    "slow leak",
    "descriptor leak",
    "queue build-up",
    "busy loop",
    "retry storm",
    "dead worker",
    "blocked event loop",
)


@dataclass(frozen=True)
class Fault:
    """One injected fault; `limit_s` is when what it uses up is used up (inf: nothing is)."""

    kind: str
    start_s: float
    end_s: float
    limit_s: float = float("inf")


@dataclass
class Life:
    """The service's life as arrays, one row every `step_s`; NaN where nothing could be read."""

    times: Floats
    metrics: dict[str, Floats]
    counters: dict[str, Floats]
    faults: list[Fault] = field(default_factory=list)
    events: list[tuple[float, str]] = field(default_factory=list)
    """(time, what) of the healthy events, for explaining a false alarm."""
    step_s: float = STEP_S

    def __len__(self) -> int:
        return len(self.times)

    def samples(self) -> Iterator[Sample]:
        missing = Reading(None, "nothing to read")
        metrics = {n: v.tolist() for n, v in self.metrics.items()}
        counters = {n: v.tolist() for n, v in self.counters.items()}
        for row, time_s in enumerate(self.times.tolist()):
            readings = {
                n: Reading(v[row]) if v[row] == v[row] else missing for n, v in metrics.items()
            }
            readings["anomaly_score"] = missing
            counted = {n: v[row] for n, v in counters.items() if v[row] == v[row]}
            yield Sample(time_s, self.step_s, readings, counted)


def simulate(
    days: float,
    seed: int,
    faults: int = 0,
    kinds: tuple[str, ...] = KINDS,
    first_s: float = DAY_S,
) -> Life:
    """A service's life of `days`, with `faults` faults of `kinds` in turn after `first_s`."""
    rng = np.random.default_rng(seed)
    n = int(days * DAY_S / STEP_S)
    clock = EPOCH_S + STEP_S * np.arange(n)
    events: list[tuple[float, str]] = []
    traffic = _traffic(rng, clock, events)
    deploys = _moments(rng, n, days / 3.5, 0.04)
    recycles = np.union1d(deploys, _moments(rng, n, days * 4, 0.0))
    events += [(float(clock[row]), "deploy") for row in deploys]
    batch = _batches(rng, clock, events)
    load = traffic / 40.0
    requests = rng.poisson(traffic * STEP_S).astype(float)
    cpu = 6 + 32 * load + batch * 70 + wander(rng, n, 3.0, 0.98) + rng.normal(0, 2.5, n)
    p50 = 11 * np.exp(0.10 * np.maximum(load - 1, 0) + rng.normal(0, 0.08, n))
    slow = np.exp(0.16 * np.maximum(load - 1, 0) + 0.20 * batch + rng.normal(0, 0.20, n))
    p95 = 42 * slow * np.exp(wander(rng, n, 0.08, 0.995))
    outliers = rng.random(n) < 1 / 1500
    p95[outliers] *= rng.uniform(2, 8, int(outliers.sum()))
    queue = rng.poisson(0.25 * load**1.7).astype(float)
    errors = rng.poisson(requests * 4e-6).astype(float)
    handled = rng.poisson(requests * 0.012).astype(float)
    for row in _moments(rng, n, days * 0.7, 0.0):
        length = int(rng.integers(24, 200))
        handled[row : row + length] += rng.poisson(60, len(handled[row : row + length]))
        events.append((float(clock[row]), "a scanner collects 404s"))
    memory, uptime = _memory(rng, n, load, recycles)
    threads = np.full(n, 26.0) + rng.poisson(0.5, n)
    descriptors = 70 + 14 * load + rng.poisson(6, n)
    lag = np.exp(rng.normal(0.8, 0.5, n)) * np.exp(0.1 * np.maximum(load - 1, 0))
    risk = np.where(rng.random(n) < 0.002, rng.uniform(0.05, 0.25, n), 0.0)
    upstream = 18 * np.exp(rng.normal(0, 0.25, n))
    collections = rng.poisson(1.2 * load).astype(float)
    for row in deploys:  # the first requests of new processes are slow
        end = min(n, row + int(rng.integers(6, 18)))
        p95[row:end] *= rng.uniform(1.3, 2.5)
        cpu[row:end] += 45
    deploy = np.searchsorted(deploys, np.arange(n), side="right").astype(float)
    times = clock.copy()
    for row, jump in zip(_moments(rng, n, days / 8, 0.05), (95.0, -40.0, 3600.0), strict=False):
        times[row:] += jump
        events.append((float(times[row]), f"the clock jumps by {jump:.0f} s"))
    life = Life(
        times,
        {
            "cpu_usage": np.clip(cpu, 0.5, 400),
            "memory_usage": memory,
            "error_rate": errors,
            "response_time": p95,
            "queue_depth": queue,
            "deadlock_risk": risk,
        },
        {
            "requests": requests,
            "errors": errors,
            "handled_errors": handled,
            "log_records": requests * 1.1 + handled + 20 * errors,
            "p50_ms": p50,
            "p99_ms": p95 * np.exp(np.abs(rng.normal(0.4, 0.2, n))),
            "threads": threads,
            "threads_died": np.zeros(n),
            "descriptors": descriptors,
            "descriptors_limit": np.full(n, DESCRIPTOR_LIMIT),
            "memory_limit_bytes": np.full(n, MEMORY_LIMIT),
            "queue_limit": np.full(n, QUEUE_LIMIT),
            "gc_collections": collections,
            "loop_lag_ms": lag,
            "upstream_ms": upstream,
            "uptime_s": uptime.astype(float),
            "deploy": deploy,
            "cores": np.full(n, 4.0),
        },
        events=sorted(events),
    )
    if faults:
        _inject(rng, life, faults, kinds, first_s)
    life.metrics["error_rate"] = life.counters["errors"] * 60 / STEP_S
    for name, values in life.counters.items():
        if name not in ("deploy", "loop_lag_ms"):
            np.maximum(values, 0, out=values)
    return life


# ---------------------------------------------------------------- healthy life
def _traffic(rng: np.random.Generator, clock: Floats, events: list[tuple[float, str]]) -> Floats:
    """Requests a second: seasons, noise that lasts, spikes to five times the usual."""
    n = len(clock)
    hour = clock % DAY_S / 3600
    weekday = (clock // DAY_S + 4) % 7
    season = 1 + 0.55 * np.sin((hour - 9) / 24 * 2 * np.pi) + 0.15 * np.sin((hour - 4) / 6 * np.pi)
    season *= np.where(weekday >= 5, 0.65, 1.0)
    traffic = 40 * season * np.exp(wander(rng, n, 0.07, 0.997))
    for row in _moments(rng, n, n * STEP_S / DAY_S / 4, 0.02):
        up, stay, down = rng.integers(4, 24), rng.integers(60, 500), rng.integers(12, 120)
        factor = rng.uniform(3.5, 5.0)
        shape = np.concatenate(
            [np.linspace(1, factor, up), np.full(stay, factor), np.linspace(factor, 1, down)]
        )[: n - row]
        traffic[row : row + len(shape)] *= shape
        events.append(
            (float(clock[row]), f"traffic x{factor:.1f} for {stay * STEP_S / 60:.0f} min")
        )
    return np.asarray(np.maximum(traffic, 1.0))


def _batches(rng: np.random.Generator, clock: Floats, events: list[tuple[float, str]]) -> Floats:
    """0-1: how much of a core cron jobs take. One short job an hour, one long one a night."""
    out = np.zeros(len(clock))
    for start in np.arange(clock[0], clock[-1], 3600.0):
        hour = start % DAY_S // 3600
        long = hour == 3
        row = int((start - clock[0]) / STEP_S) + int(rng.integers(0, 12))
        length = int(rng.integers(200, 300) if long else rng.integers(12, 40))
        out[row : row + length] = 1.0 if long else rng.uniform(0.5, 0.9)
        if long:
            events.append((float(start), "nightly job"))
    return out


def _memory(
    rng: np.random.Generator, n: int, load: Floats, recycles: npt.NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """Base, a cache that fills and levels off after every restart, a sawtooth, the load's share."""
    mb = 2.0**20
    since = (
        np.arange(n)
        - np.concatenate([[-5000], recycles])[np.searchsorted(recycles, np.arange(n), side="right")]
    )
    cache = np.zeros(n)
    edges = np.concatenate([[0], recycles, [n]])
    for a, b in pairwise(edges):
        size, tau = rng.uniform(60, 160) * mb, rng.uniform(120, 500)
        cache[a:b] = size * (1 - np.exp(-since[a:b] / tau))
    saw = np.zeros(n)
    row = 0
    while row < n:
        length = int(rng.integers(30, 110))
        end = min(n, row + length)
        saw[row:end] = np.linspace(0, rng.uniform(12, 34) * mb, length)[: end - row]
        row = end
    memory = 310 * mb + cache + saw + 14 * mb * np.minimum(load, 5) + rng.normal(0, 0.8 * mb, n)
    return memory, since * STEP_S


def wander(rng: np.random.Generator, n: int, sigma: float, memory: float) -> Floats:
    """Autoregressive noise of standard deviation `sigma`."""
    shocks = rng.normal(0, sigma * np.sqrt(1 - memory**2), n)
    out = np.empty(n)
    level = 0.0
    for i, shock in enumerate(shocks):
        level = memory * level + shock
        out[i] = level
    return out


def _moments(
    rng: np.random.Generator, n: int, number: float, after: float
) -> npt.NDArray[np.int64]:
    """Rows of `number` events at random, none in the first share `after`."""
    count = int(rng.poisson(number)) if number > 3 else round(number)
    rows = rng.uniform(max(after, 600 / n) * n, n - 200, count).astype(np.int64)
    return np.sort(rows)


# ---------------------------------------------------------------- faults
def _inject(
    rng: np.random.Generator, life: Life, number: int, among: tuple[str, ...], first_s: float
) -> None:
    """Faults one after the other with quiet between them, kinds in random order."""
    kinds = [among[i % len(among)] for i in range(number)]
    rng.shuffle(kinds)
    lengths = [_length_s(rng, kind) for kind in kinds]
    free = len(life) * STEP_S - first_s - sum(lengths)
    gap = free / (number + 1)
    if gap < 600:
        raise ValueError(f"{number} faults do not fit into {len(life) * STEP_S / DAY_S:.0f} days")
    at = first_s
    for kind, length in zip(kinds, lengths, strict=True):
        at += gap * rng.uniform(0.8, 1.2)
        row = int(at / STEP_S)
        end = min(len(life), row + int(length / STEP_S))
        if end - row < 20:
            break
        limit = _FAULTS[kind](rng, life, row, end)
        life.faults.append(
            Fault(
                kind,
                float(life.times[row]),
                float(life.times[end - 1]),
                float(life.times[min(limit, len(life) - 1)]) if limit is not None else np.inf,
            )
        )
        at += length


def _length_s(rng: np.random.Generator, kind: str) -> float:
    hours = {"fast leak": (0.7, 1.2), "medium leak": (4, 7), "slow leak": (18, 30)}.get(kind)
    if kind == "descriptor leak":
        hours = (0.8, 2.5)
    if hours is not None:
        return float(rng.uniform(*hours) * 3600)
    return float(rng.uniform(300, 1500))


def _errors(rng: np.random.Generator, life: Life, a: int, b: int) -> int | None:
    """One route of several fails, always or for some customers."""
    share = rng.uniform(0.02, 0.4)
    life.counters["errors"][a:b] += rng.binomial(life.counters["requests"][a:b].astype(int), share)
    return None


def _slow(rng: np.random.Generator, life: Life, a: int, b: int) -> int | None:
    """A query without its index, a slower release, a slow upstream."""
    factor = rng.uniform(2.5, 8)
    for name in ("response_time",):
        life.metrics[name][a:b] *= factor
    life.counters["p99_ms"][a:b] *= factor
    life.counters["p50_ms"][a:b] *= rng.uniform(1.0, factor)
    life.counters["upstream_ms"][a:b] *= rng.uniform(1.0, factor)
    return None


def _deadlock(rng: np.random.Generator, life: Life, a: int, b: int) -> int | None:
    """Threads wait for each other: throughput falls, work piles up, the probe sees them stand."""
    n = b - a
    life.metrics["deadlock_risk"][a:b] = np.clip(np.linspace(0.1, 4, n), 0, rng.uniform(0.6, 1.0))
    life.metrics["queue_depth"][a:b] += np.minimum(np.arange(n) * rng.uniform(0.3, 2), 200)
    life.counters["requests"][a:b] *= rng.uniform(0.0, 0.5)
    life.metrics["cpu_usage"][a:b] *= 0.4
    return None


def _leak(rng: np.random.Generator, life: Life, a: int, b: int) -> int | None:
    """Memory grows with the traffic to its limit; the restart at the end gives it back."""
    n = b - a
    room = MEMORY_LIMIT - float(life.metrics["memory_usage"][a])
    share = np.cumsum(life.counters["requests"][a:b])
    share /= share[int(n * 0.9)]
    grown = room * share
    over = np.flatnonzero(life.metrics["memory_usage"][a:b] + grown >= MEMORY_LIMIT)
    limit = a + (int(over[0]) if len(over) else n - 1)
    grown[limit - a :] = 0.0  # killed at the limit, restarted
    life.metrics["memory_usage"][a:b] += grown
    return limit


def _descriptors(rng: np.random.Generator, life: Life, a: int, b: int) -> int | None:
    """Something opened is not closed: up to the limit, then errors until the restart."""
    n = b - a
    grown = (DESCRIPTOR_LIMIT - 100) * np.arange(n) / (n * 0.9)
    level = life.counters["descriptors"][a:b] + np.floor(grown)
    over = np.flatnonzero(level >= DESCRIPTOR_LIMIT)
    limit = a + (int(over[0]) if len(over) else n - 1)
    life.counters["descriptors"][a:b] = np.minimum(level, DESCRIPTOR_LIMIT)
    failing = life.counters["requests"][limit:b].astype(int)
    life.counters["errors"][limit:b] += rng.binomial(failing, 0.5)
    return limit


def _queue(rng: np.random.Generator, life: Life, a: int, b: int) -> int | None:
    """Consumers are slower than producers: the queue grows until it refuses work."""
    rate = QUEUE_LIMIT / (rng.uniform(4, min(20, (b - a) * STEP_S / 60 * 0.9)) * 60 / STEP_S)
    grown = np.cumsum(rng.poisson(rate, b - a))
    life.metrics["queue_depth"][a:b] += np.minimum(grown, QUEUE_LIMIT)
    over = np.flatnonzero(grown >= QUEUE_LIMIT)
    limit = a + (int(over[0]) if len(over) else b - a - 1)
    life.counters["errors"][limit:b] += 0.3 * life.counters["requests"][limit:b]
    return limit


def _busy(rng: np.random.Generator, life: Life, a: int, b: int) -> int | None:
    """A thread spins: one core more, and everybody waits for the interpreter lock."""
    life.metrics["cpu_usage"][a:b] += rng.uniform(85, 105)
    factor = rng.uniform(1.8, 4)
    life.metrics["response_time"][a:b] *= factor
    life.counters["p50_ms"][a:b] *= factor
    life.counters["loop_lag_ms"][a:b] *= rng.uniform(3, 10)
    return None


def _storm(rng: np.random.Generator, life: Life, a: int, b: int) -> int | None:
    """An upstream fails, callers retry: more requests, most of them failing."""
    life.counters["requests"][a:b] *= rng.uniform(2, 4)
    failing = life.counters["requests"][a:b].astype(int)
    life.counters["errors"][a:b] += rng.binomial(failing, rng.uniform(0.4, 0.9))
    life.metrics["cpu_usage"][a:b] *= 1.6
    return None


def _dead_worker(rng: np.random.Generator, life: Life, a: int, b: int) -> int | None:
    """A background thread ends without a word: no error, its work piles up."""
    life.counters["threads"][a:b] -= 1
    if rng.random() < 0.5:
        life.counters["threads_died"][a] = 1
    life.metrics["queue_depth"][a:b] += np.cumsum(rng.poisson(rng.uniform(0.5, 2.5), b - a))
    life.metrics["cpu_usage"][a:b] *= 0.85
    return None


def _blocked(rng: np.random.Generator, life: Life, a: int, b: int) -> int | None:
    """A blocking call in the event loop, again and again."""
    life.counters["loop_lag_ms"][a:b] = rng.uniform(600, 4000, b - a)
    life.metrics["response_time"][a:b] += rng.uniform(400, 2000, b - a)
    return None


_FAULTS = {
    "error burst": _errors,
    "slow answers": _slow,
    "deadlock": _deadlock,
    "fast leak": _leak,
    "medium leak": _leak,
    "slow leak": _leak,
    "descriptor leak": _descriptors,
    "queue build-up": _queue,
    "busy loop": _busy,
    "retry storm": _storm,
    "dead worker": _dead_worker,
    "blocked event loop": _blocked,
}
