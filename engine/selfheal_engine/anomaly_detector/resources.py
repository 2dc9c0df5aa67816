"""What can run out: where each level is read, what bounds it, how much growth is worth a word."""

from __future__ import annotations

import math
from dataclasses import dataclass

MB = 2.0**20


@dataclass(frozen=True, slots=True)
class Resource:
    """Something that fills up. `key` is a metric or a counter of the samples."""

    key: str
    name: str
    metric: str
    """The metric whose panel shows the forecast."""
    limit_name: str = ""
    limit_key: str = ""
    """Counter that holds the limit; `limit` where there is none."""
    default_name: str = ""
    """What `limit` is called when it is used."""
    limit: float = math.inf
    worst_key: str = ""
    """Counter of the fullest process's level, read instead where the limit is each one's own."""
    least_growth: float = 0.0
    """Smallest growth over a window worth an announcement, in the resource's unit ..."""
    least_share: float = 0.05
    """... and as a share of its level at the start of the window."""
    early_growth: float = math.inf
    """The same for the probe's closer look, over some 20 seconds."""
    early_share: float = 0.04
    warn_s: float = 4 * 3600.0
    """A limit farther away than this (and than 12 windows) is not announced."""
    leak: bool = False
    """Growth of it may be a leak in the code."""
    sinks: bool = False
    """It runs out by going down (free disk)."""
    is_bytes: bool = False


RESOURCES = (
    Resource(
        "memory_usage",
        "memory",
        "memory_usage",
        "memory limit",
        "memory_limit_bytes",
        least_growth=48 * MB,
        least_share=0.2,
        early_growth=3 * MB,
        leak=True,
        is_bytes=True,
    ),
    Resource(
        "descriptors",
        "the number of open descriptors",
        "memory_usage",
        "descriptor limit",
        "descriptors_limit",
        worst_key="descriptors_worst",
        least_growth=60.0,
        least_share=0.4,
        early_growth=20.0,
        early_share=0.3,
        leak=True,
    ),
    Resource(
        "threads",
        "the number of threads",
        "memory_usage",
        "thread limit",
        "threads_limit",
        "2000 threads",
        2000.0,
        least_growth=20.0,
        least_share=0.5,
        leak=True,
    ),
    Resource(
        "objects",
        "the number of live objects",
        "memory_usage",
        least_growth=100_000.0,
        least_share=0.4,
        early_growth=20_000.0,
        early_share=0.15,
        leak=True,
    ),
    Resource(
        "queue_depth",
        "the queue",
        "queue_depth",
        "queue limit",
        "queue_limit",
        "1000 waiting",
        1000.0,
        least_growth=25.0,
        least_share=0.5,
        warn_s=1800.0,
    ),
    Resource(
        "pool_used",
        "the pool's use",
        "queue_depth",
        "pool size",
        "pool_size",
        least_growth=3.0,
        least_share=0.3,
        warn_s=1800.0,
    ),
    Resource(
        "disk_free_bytes",
        "free disk",
        "memory_usage",
        "disk full",
        limit=0.0,
        least_growth=64 * MB,
        least_share=0.02,
        sinks=True,
        is_bytes=True,
    ),
    Resource(
        "response_time",
        "response_time",
        "response_time",
        "latency budget",
        "latency_budget_ms",
        least_growth=50.0,
        least_share=0.5,
        warn_s=1800.0,
    ),
)
