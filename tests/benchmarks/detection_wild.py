"""Other services than detection_service.py's: a second opinion on detection.

Six characters, from a shop that sees a request a minute at night to a streaming service whose
answers take a minute. Readings are what the sources would read: the p95 is the exact order
statistic of the interval's requests, in buckets of 8 %; counts are integers and mostly zero; what
was not read is missing. Faults come at once, over a while, or on and off. All from the seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from detection_service import DAY_S, EPOCH_S, Fault, Floats, Life, wander
from detection_wild_faults import FAULTS, LENGTHS_H, NEEDS_PROBE, NEEDS_REQUESTS

MB = 2.0**20
DRAWS = 200_000


@dataclass(frozen=True)
class Character:
    """What one kind of service is like."""

    rate: float
    """Requests a second at the peak of the day."""
    night: float
    median_ms: float
    sigma: float
    """Of the logarithm of the durations."""
    tail: float
    alpha: float
    """Share of durations in a Pareto tail, and its index."""
    failing: float
    """Share of requests that fail as a matter of course."""
    base_mb: float
    room: float
    """Capacity over the peak's traffic."""


CHARACTERS = {
    "busy web": Character(120, 0.25, 14, 0.5, 0.01, 2.5, 2e-5, 700, 7),
    "small shop": Character(1.2, 0.04, 35, 0.7, 0.02, 2.2, 3e-4, 180, 60),
    "worker": Character(6, 0.6, 400, 0.9, 0.02, 2.5, 1e-3, 350, 7),
    "heavy-tailed api": Character(25, 0.3, 8, 1.1, 0.04, 1.7, 5e-3, 420, 9),
    "bare": Character(40, 0.3, 20, 0.6, 0.01, 2.2, 1e-4, 260, 7),
    "streaming": Character(3, 0.3, 900, 1.3, 0.05, 2.0, 2e-4, 300, 20),
}
""""bare" is seen from outside: no counters but requests, or (odd seeds) none at all."""

Events = list[tuple[float, str]]


def simulate_wild(
    days: float,
    seed: int,
    faults: int = 0,
    *,
    name: str = "",
    step_s: float = 5.0,
    kinds: tuple[str, ...] = (),
) -> Life:
    """A life of `days` of the character `name` (or the seed's), faults after a fifth of it."""
    name = name or list(CHARACTERS)[seed % len(CHARACTERS)]
    who, rng = CHARACTERS[name], np.random.default_rng([seed, 77])
    n = int(days * DAY_S / step_s)
    clock = EPOCH_S + step_s * np.arange(n)
    events: Events = []
    season, traffic = _traffic(rng, who, clock, step_s, events)
    deploys = moments(rng, n, days / 4, int(7200 / step_s))
    events += [(float(clock[row]), "deploy") for row in deploys]
    recycles = moments(rng, n, days * float(rng.choice([0, 2, 12])), int(600 / step_s))
    release = np.searchsorted(deploys, np.arange(n), side="right")
    since = _since_start(n, np.union1d(deploys, recycles), step_s)
    requests = rng.poisson(traffic * step_s).astype(float)
    load = np.minimum(traffic / (who.rate * who.room), 0.85)
    jobs = _jobs(rng, step_s * np.arange(n), clock)
    p50, p95, p99 = _latencies(rng, who, requests, load, jobs, since, release, step_s)
    errors = rng.binomial(requests.astype(int), who.failing).astype(float)
    for row in moments(rng, n, days * 6):
        errors[row] += min(float(rng.geometric(0.6)), requests[row])
    handled = rng.binomial(requests.astype(int), 0.02).astype(float)
    memory = _memory(rng, who, season, traffic, since, release, step_s)
    metrics = {
        "cpu_usage": _cpu(rng, load, jobs, since, release, step_s),
        "memory_usage": memory,
        "error_rate": errors,
        "response_time": p95,
        "queue_depth": _queue(rng, name, load, clock, step_s),
        "deadlock_risk": np.where(rng.random(n) < 0.001, rng.uniform(0.05, 0.3, n), 0.0),
    }
    busy = traffic / who.rate
    counters = {
        "requests": requests,
        "errors": errors,
        "handled_errors": handled,
        "p50_ms": p50,
        "p99_ms": p99,
        "threads": np.round(14 + np.minimum(busy * 6, 30)) + rng.poisson(0.3, n),
        "threads_died": np.zeros(n),
        "descriptors": np.round(40 + 25 * np.minimum(busy, 5)) + rng.poisson(4, n),
        "descriptors_limit": np.full(n, 1024.0),
        "memory_limit_bytes": np.full(n, 4 * who.base_mb * MB),
        "disk_free_bytes": 40e9 - np.cumsum(traffic) * step_s * 400 % 3e9,
        "gc_collections": rng.poisson(requests / 700).astype(float),
        "loop_lag_ms": np.where(rng.random(n) < 0.01, rng.uniform(5, 120, n), 0.0),
        "uptime_s": since,
        "restarts": np.zeros(n),
        "objects": np.round(memory / 400 + rng.normal(0, 3000, n)),
        "lock_waiters": (rng.random(n) < 0.02).astype(float),
        "stalled_threads": np.zeros(n),
        "oldest_stall_s": np.zeros(n),
        "cores": np.full(n, 4.0),
        "deploy": release.astype(float),
    }
    life = Life(clock.copy(), metrics, counters, events=events, step_s=step_s)
    jumps = rng.permutation([95.0, -40.0, 3600.0, -3600.0, 7.0])
    for row, jump in zip(moments(rng, n, days / 6, int(7200 / step_s)), jumps, strict=False):
        life.times[row:] += jump
        events.append((float(life.times[row]), f"the clock jumps by {jump:.0f} s"))
    if faults:
        _inject(rng, life, name, faults, kinds)
    return _as_read(rng, life, name, seed)


def moments(
    rng: np.random.Generator, n: int, number: float, first: int = 0
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Rows of about `number` events at random."""
    return np.sort(rng.integers(first, max(n - 100, first + 1), rng.poisson(number)))


def lasting(rng: np.random.Generator, n: int, sigma: float, tau_s: float, step_s: float) -> Floats:
    """Noise whose neighbours resemble each other for about `tau_s`."""
    return wander(rng, n, sigma, float(np.exp(-step_s / tau_s)))


def _traffic(
    rng: np.random.Generator, who: Character, clock: Floats, step_s: float, events: Events
) -> tuple[Floats, Floats]:
    """(season of the day, requests a second)."""
    n = len(clock)
    peak = rng.uniform(10, 20)
    hour = clock % DAY_S / 3600
    bell = np.exp(2.2 * (np.cos((hour - peak) / 12 * np.pi) - 1))
    season = who.night + (1 - who.night) * bell
    weekend = (clock // DAY_S).astype(int) % 7 >= 5
    season = season * np.where(weekend, rng.uniform(0.4, 0.9), 1.0)
    noise = lasting(rng, n, 0.10, 600, step_s) + lasting(rng, n, 0.12, 40, step_s)
    traffic = who.rate * season * np.exp(noise)
    for row in moments(rng, n, n * step_s / DAY_S / 3, int(3600 / step_s)):
        stay, up = int(rng.uniform(120, 3600) / step_s), int(rng.choice([5, 30, 120]) / step_s)
        factor = rng.uniform(2.5, 5)
        ends = np.linspace(1, factor, max(up, 1)), np.geomspace(factor, 1, int(300 / step_s) + 2)
        shape = np.concatenate([ends[0], np.full(stay, factor), ends[1]])[: n - row]
        traffic[row : row + len(shape)] *= shape
        events.append(
            (float(clock[row]), f"traffic x{factor:.1f} for {stay * step_s / 60:.0f} min")
        )
    return season, np.asarray(traffic)


def _since_start(n: int, starts: Floats, step_s: float) -> Floats:
    """Seconds since the newest process began; before the first start, hours."""
    firsts = np.concatenate([[-5 * 3600 / step_s], starts])
    return (np.arange(n) - firsts[np.searchsorted(starts, np.arange(n), side="right")]) * step_s


def _jobs(rng: np.random.Generator, passed: Floats, clock: Floats) -> Floats:
    """Cores that jobs take: every ten minutes, every hour, every night."""
    jobs = ((passed - 60 * rng.integers(0, 60)) % 3600 < rng.uniform(20, 150)) * rng.uniform(0.3, 1)
    jobs = jobs + ((passed + 111) % 600 < rng.uniform(3, 15)) * rng.uniform(0.2, 0.8)
    night, hour = rng.uniform(0, 5), clock % DAY_S / 3600
    return np.asarray(jobs + 0.9 * ((hour > night) & (hour < night + rng.uniform(0.3, 1.5))))


def _latencies(
    rng: np.random.Generator,
    who: Character,
    requests: Floats,
    load: Floats,
    jobs: Floats,
    since: Floats,
    release: Floats,
    step_s: float,
) -> tuple[Floats, Floats, Floats]:
    """p50, p95, p99 in ms: order statistics of the durations of the interval's requests."""
    durations = who.median_ms * np.exp(who.sigma * rng.normal(0, 1, DRAWS))
    if rng.random() < 0.5:  # answers from a cache
        durations *= np.where(rng.random(DRAWS) < 0.6, 0.2, 1.0)
    tail = rng.random(DRAWS) < who.tail
    durations[tail] *= np.minimum(1 + 3 * rng.pareto(who.alpha, int(tail.sum())), 200)
    durations = np.sort(durations)
    levels = np.exp(np.clip(np.cumsum(rng.normal(0, 0.25, int(release.max()) + 1)), -0.6, 0.6))
    levels[0] = 1.0
    factor = levels[release.astype(int)] / (1 - load) * (1 + 0.25 * np.minimum(jobs, 1))
    factor = factor * np.exp(lasting(rng, len(requests), 0.08, 900, step_s))
    factor *= np.where(since < 60, 1 + np.exp(-since / 15), 1.0)

    def quantile(q: float) -> Floats:
        rank = np.ceil(q * np.maximum(requests, 1))
        place = rng.beta(rank, np.maximum(requests, 1) - rank + 1)
        value = np.interp(place, (np.arange(DRAWS) + 0.5) / DRAWS, durations) * factor
        return np.asarray(1.08 ** (np.floor(np.log(value) / np.log(1.08)) + 0.5))

    p50, p95 = quantile(0.5), quantile(0.95)
    p95 = np.maximum(p95, p50)
    return p50, p95, np.maximum(quantile(0.99), p95)


def _cpu(
    rng: np.random.Generator,
    load: Floats,
    jobs: Floats,
    since: Floats,
    release: Floats,
    step_s: float,
) -> Floats:
    """Percent of a core, in the kernel's ticks of 10 ms."""
    n = len(load)
    levels = np.exp(rng.normal(0, 0.2, int(release.max()) + 1))[release.astype(int)]
    cpu = 1.5 + 220 * levels * load + 70 * jobs * rng.uniform(0.3, 1.2)
    cpu = (cpu + lasting(rng, n, 1.2, 30, step_s)) * np.exp(rng.normal(0, 0.27 / step_s**0.5, n))
    cpu += np.where(since < 20, 60, 0)
    return np.asarray(np.maximum(0, np.round(cpu * step_s) / step_s))


def _memory(
    rng: np.random.Generator,
    who: Character,
    season: Floats,
    traffic: Floats,
    since: Floats,
    release: Floats,
    step_s: float,
) -> Floats:
    """Base, cache that fills, sawtooth, the day's drift, the load's share, a big upload."""
    base, n = who.base_mb * MB, len(traffic)
    memory = base * np.exp(rng.normal(0, 0.12, int(release.max()) + 1))[release.astype(int)]
    memory = memory + rng.uniform(0.05, 0.5) * base * (1 - np.exp(-since / rng.uniform(60, 5400)))
    period = rng.uniform(60, 2400)
    uneven = np.exp(lasting(rng, n, 0.3, period, step_s))
    teeth = np.cumsum(traffic / traffic.mean() * step_s / period * uneven)
    memory += teeth % 1.0 * rng.uniform(0.02, 0.12) * base
    late = np.roll(season, int(3600 / step_s)) if n > 3600 / step_s else season
    memory += rng.uniform(0, 0.2) * base * late
    memory += rng.uniform(0.02, 0.1) * base * np.minimum(traffic / who.rate, 5)
    for row in moments(rng, n, 3 * n * step_s / DAY_S):
        memory[row : row + int(rng.uniform(5, 120) / step_s) + 1] += rng.uniform(20, 150) * MB
    return np.asarray(np.round((memory + rng.normal(0, 0.4 * MB, n)) / 65536) * 65536)


def _queue(
    rng: np.random.Generator, name: str, load: Floats, clock: Floats, step_s: float
) -> Floats:
    """Integers; a worker gets a batch of work every hour and works it off."""
    queue = rng.poisson(2 * load * load / (1 - load)).astype(float)
    if name != "worker":
        return queue
    queue += rng.poisson(3, len(queue))
    minute = 60 * int(rng.integers(0, 60))
    for row in np.flatnonzero((clock - minute) % 3600 < step_s):
        rows = int(rng.uniform(30, 240) / step_s) + 2
        batch = np.linspace(rng.uniform(20, 150), 0, rows).round()
        queue[row : row + rows] += batch[: len(queue[row : row + rows])]
    return queue


def _inject(
    rng: np.random.Generator, life: Life, name: str, number: int, kinds: tuple[str, ...]
) -> None:
    """Faults one after the other, with quiet between them."""
    unfit = {"bare": NEEDS_PROBE, "worker": NEEDS_REQUESTS}.get(name, ())
    usable = [k for k in kinds or tuple(FAULTS) if k not in unfit]
    chosen = [usable[i % len(usable)] for i in range(number)]
    rng.shuffle(chosen)
    lengths = [rng.uniform(*LENGTHS_H.get(kind, (0.1, 0.5))) * 3600 for kind in chosen]
    whole_s = len(life) * life.step_s
    gap = (0.8 * whole_s - sum(lengths)) / (number + 1)
    if gap < 1200:
        raise ValueError(f"{number} faults do not fit into {whole_s / DAY_S:.1f} days")
    at = 0.2 * whole_s
    for kind, length in zip(chosen, lengths, strict=True):
        at += gap * rng.uniform(0.7, 1.2)
        a, b = int(at / life.step_s), min(len(life), int((at + length) / life.step_s))
        if b - a < 20:
            break
        limit = FAULTS[kind](rng, life, a, b)
        ends = float(life.times[min(limit, len(life) - 1)]) if limit else float("inf")
        life.faults.append(Fault(kind, float(life.times[a]), float(life.times[b - 1]), ends))
        at += length


def _as_read(rng: np.random.Generator, life: Life, name: str, seed: int) -> Life:
    """What follows from the rest, what this character's sources have, and what was missed."""
    counters, metrics, n = life.counters, life.metrics, len(life)
    requests, errors = counters["requests"], np.maximum(counters["errors"], 0)
    counters["errors"] = np.minimum(errors, requests)
    metrics["error_rate"] = counters["errors"] * 60 / life.step_s
    counters["log_records"] = requests * 1.2 + counters["handled_errors"] + 5 * errors
    none = (requests <= 0) | (name == "worker" and seed % 2 == 1)
    for values in (metrics["response_time"], counters["p50_ms"], counters["p99_ms"]):
        values[none] = np.nan
    if name == "bare":
        kept = () if seed % 2 else ("requests", "errors", "memory_limit_bytes")
        life.counters = {k: v for k, v in counters.items() if k in kept}
    for values in metrics.values():
        values[rng.random(n) < 1e-3] = np.nan
    seen = rng.random(n) >= 2e-4
    for row in moments(rng, n, n * life.step_s / DAY_S / 3):
        seen[row : row + int(rng.uniform(10, 900) / life.step_s)] = False
    life.times = life.times[seen]
    life.metrics = {k: v[seen] for k, v in life.metrics.items()}
    life.counters = {k: v[seen] for k, v in life.counters.items()}
    life.events.sort()
    return life
