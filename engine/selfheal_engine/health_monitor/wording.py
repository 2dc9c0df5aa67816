"""Metric values in words for alerts: 412 MB, 1.2 s, 37 %."""

from __future__ import annotations

from selfheal_engine.model import UNITS


def describe_value(metric: str, value: float) -> str:
    """The value with its unit, two or three significant figures."""
    unit = UNITS.get(metric, "")
    if unit == "bytes":
        return describe_bytes(value)
    if unit == "ms":
        return f"{value / 1000:.2g} s" if value >= 1000 else f"{value:.3g} ms"
    if unit == "/min":
        return f"{value:.3g}/min"
    if unit == "%":
        return f"{value:.0f} %"
    return f"{value:.3g}"


def describe_bytes(value: float) -> str:
    for size, name in ((2**30, "GB"), (2**20, "MB"), (2**10, "KB")):
        if abs(value) >= size:
            return f"{value / size:.3g} {name}"
    return f"{value:.0f} B"


def describe_duration(seconds: float) -> str:
    """45 s, 12 min, 3 h, 2 days."""
    for size, name in ((2 * 86400, "days"), (2 * 3600, "h"), (120, "min")):
        if seconds >= size:
            divisor = {"days": 86400, "h": 3600, "min": 60}[name]
            return f"{seconds / divisor:.0f} {name}"
    return f"{seconds:.0f} s"
