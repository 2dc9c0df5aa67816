"""Faults for the services of detection_wild.py. Each changes rows a to b of a life in place.

A fault returns the row at which what it uses up is used up, or None. It may come at once, over
a while, or on and off.
"""

from __future__ import annotations

import numpy as np
from detection_service import Floats, Life

Rng = np.random.Generator


def shape(rng: Rng, rows: int) -> Floats:
    """0-1 over the fault's rows: a step (half of the time), a ramp, or on and off."""
    kind = rng.integers(0, 4)
    if kind <= 1:
        return np.ones(rows)
    if kind == 2:
        return np.clip(np.linspace(0, 4, rows), 0, 1)
    length = max(1, rows // int(rng.integers(4, 9)))
    return ((np.arange(rows) // length) % 2 == 0).astype(float)


def _fail(rng: Rng, life: Life, a: int, b: int, share: Floats | float) -> None:
    counters = life.counters
    left = np.maximum(counters["requests"][a:b] - counters["errors"][a:b], 0)
    counters["errors"][a:b] += rng.binomial(left.astype(int), share)


def _slow_down(life: Life, a: int, b: int, factor: Floats | float, *, all_of_them: bool) -> None:
    life.metrics["response_time"][a:b] *= factor
    life.counters["p99_ms"][a:b] *= factor
    if all_of_them:
        life.counters["p50_ms"][a:b] *= factor


def error_burst(rng: Rng, life: Life, a: int, b: int) -> int | None:
    share = 10 ** rng.uniform(-1.4, -0.1)
    _fail(rng, life, a, b, share * shape(rng, b - a))
    return None


def slow_answers(rng: Rng, life: Life, a: int, b: int) -> int | None:
    factor = 1 + (rng.uniform(3, 12) - 1) * shape(rng, b - a)
    _slow_down(life, a, b, factor, all_of_them=bool(rng.random() < 0.5))
    return None


def deadlock(rng: Rng, life: Life, a: int, b: int) -> int | None:
    passed = life.step_s * np.arange(b - a)
    life.metrics["deadlock_risk"][a:b] = np.clip(passed / 40, 0, rng.uniform(0.6, 1))
    life.counters["stalled_threads"][a:b] = np.minimum(2 + passed // 20, 16)
    life.counters["oldest_stall_s"][a:b] = passed
    kept = float(rng.choice([0.0, 0.4]))
    life.counters["requests"][a:b] = np.floor(life.counters["requests"][a:b] * kept)
    life.metrics["cpu_usage"][a:b] *= max(kept, 0.1)
    life.metrics["queue_depth"][a:b] += np.minimum(np.floor(passed * rng.uniform(0.05, 0.5)), 128)
    return None


def hang(rng: Rng, life: Life, a: int, b: int) -> int | None:
    """Nothing ends any more, and nothing says so."""
    life.counters["requests"][a:b] = 0
    life.metrics["cpu_usage"][a:b] = rng.uniform(0, 1, b - a).round(1)
    waiting = np.arange(b - a) * life.step_s * rng.uniform(0.2, 2)
    life.metrics["queue_depth"][a:b] += np.minimum(np.floor(waiting), 128)
    return None


def leak(rng: Rng, life: Life, a: int, b: int) -> int | None:
    """Straight, with the traffic, or in stairs, to the limit; then killed and started again."""
    memory, rows = life.metrics["memory_usage"], b - a
    limit = float(life.counters["memory_limit_bytes"][a])
    grown = np.arange(rows) / (0.9 * rows)
    kind = rng.integers(0, 3)
    if kind == 1:
        served = np.cumsum(life.counters["requests"][a:b] + 1e-9)
        grown = served / served[int(0.9 * rows)]
    elif kind == 2:
        stairs = int(rng.integers(12, 60))
        grown = np.floor(grown * stairs) / stairs
    grown = grown * (limit - float(memory[a]))
    over = np.flatnonzero(memory[a:b] + grown >= limit)
    end = int(over[0]) if len(over) else rows - 1
    grown[end:] = 0
    memory[a:b] = np.round((memory[a:b] + grown) / 65536) * 65536
    life.counters["objects"][a:b] += np.round(grown / 500)
    _restart(life, a + end)
    return a + end


def _restart(life: Life, row: int) -> None:
    uptime = life.counters["uptime_s"]
    starts = np.flatnonzero(np.diff(uptime[row:]) < 0)
    stop = row + int(starts[0]) + 1 if len(starts) else len(life)
    uptime[row:stop] = life.step_s * np.arange(stop - row)
    life.counters["restarts"][row] += 1


def descriptor_leak(rng: Rng, life: Life, a: int, b: int) -> int | None:
    open_now, rows = life.counters["descriptors"], b - a
    limit = float(life.counters["descriptors_limit"][a])
    level = open_now[a:b] + np.floor(np.arange(rows) / (0.9 * rows) * (limit - open_now[a]))
    over = np.flatnonzero(level >= limit)
    end = int(over[0]) if len(over) else rows - 1
    open_now[a:b] = np.minimum(level, limit)
    _fail(rng, life, a + end, b, 0.6)
    return a + end


def thread_leak(rng: Rng, life: Life, a: int, b: int) -> int | None:
    grown = np.floor(np.arange(b - a) / (0.9 * (b - a)) * 1900)
    life.counters["threads"][a:b] += grown
    life.metrics["memory_usage"][a:b] += grown * 65536
    return a + int(0.9 * (b - a))


def queue_build_up(rng: Rng, life: Life, a: int, b: int) -> int | None:
    minutes = rng.uniform(4, max(5.0, 0.8 * (b - a) * life.step_s / 60))
    grown = np.cumsum(rng.poisson(1000 / (minutes * 60 / life.step_s), b - a))
    life.metrics["queue_depth"][a:b] += np.minimum(grown, 1000)
    over = np.flatnonzero(grown >= 1000)
    return a + (int(over[0]) if len(over) else b - a - 1)


def dead_worker(rng: Rng, life: Life, a: int, b: int) -> int | None:
    """What it worked off piles up; half of the time the probe saw it die."""
    life.metrics["queue_depth"][a:b] += np.cumsum(
        rng.poisson(rng.uniform(0.1, 0.6) * life.step_s, b - a)
    )
    life.metrics["cpu_usage"][a:b] *= 0.7
    if rng.random() < 0.5:
        life.counters["threads_died"][a] = 1
    return None


def busy_loop(rng: Rng, life: Life, a: int, b: int) -> int | None:
    life.metrics["cpu_usage"][a:b] += rng.uniform(90, 102, b - a)
    _slow_down(life, a, b, rng.uniform(2, 4), all_of_them=True)
    return None


def retry_storm(rng: Rng, life: Life, a: int, b: int) -> int | None:
    life.counters["requests"][a:b] = np.floor(life.counters["requests"][a:b] * rng.uniform(1.5, 4))
    _fail(rng, life, a, b, rng.uniform(0.3, 0.9))
    return None


def blocked_loop(rng: Rng, life: Life, a: int, b: int) -> int | None:
    life.counters["loop_lag_ms"][a:b] = rng.uniform(600, 5000, b - a)
    usual = float(np.nanmedian(life.metrics["response_time"]))
    extra = rng.uniform(2, 6, b - a) * usual + rng.uniform(300, 1500, b - a)
    life.metrics["response_time"][a:b] += extra
    return None


def crash_loop(rng: Rng, life: Life, a: int, b: int) -> int | None:
    every_s, passed = rng.uniform(8, 40), life.step_s * np.arange(b - a)
    uptime = passed % every_s
    life.counters["uptime_s"][a:b] = uptime
    life.counters["restarts"][a:b] += np.diff(np.floor(passed / every_s), prepend=0)
    down = uptime < rng.uniform(2, 6)
    served = life.counters["requests"][a:b] * np.where(down, 0.1, 1.0)
    life.counters["requests"][a:b] = np.floor(served)
    _fail(rng, life, a, b, np.where(down, 0.5, 0.05))
    return None


FAULTS = {
    "error burst": error_burst,
    "slow answers": slow_answers,
    "deadlock": deadlock,
    "hang": hang,
    "fast leak": leak,
    "medium leak": leak,
    "slow leak": leak,
    "descriptor leak": descriptor_leak,
    "thread leak": thread_leak,
    "queue build-up": queue_build_up,
    "dead worker": dead_worker,
    "busy loop": busy_loop,
    "retry storm": retry_storm,
    "blocked loop": blocked_loop,
    "crash loop": crash_loop,
}
LENGTHS_H = {
    "fast leak": (0.5, 1.3),
    "medium leak": (4.0, 8.0),
    "slow leak": (18.0, 36.0),
    "descriptor leak": (0.5, 3.0),
    "thread leak": (0.3, 2.0),
    "queue build-up": (0.15, 0.5),
}
"""Others last 6 to 30 minutes."""
NEEDS_REQUESTS = (
    "error burst",
    "slow answers",
    "hang",
    "busy loop",
    "retry storm",
    "blocked loop",
    "crash loop",
)
NEEDS_PROBE = (
    "slow answers",
    "deadlock",
    "descriptor leak",
    "thread leak",
    "busy loop",
    "blocked loop",
    "crash loop",
)
"""Faults that nothing of a service shows whose sources have no requests, or no counters."""
