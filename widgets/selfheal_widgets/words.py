"""Numbers and times in the words of the screen: a number always with its unit."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selfheal_engine.model import ControlLimits, MetricState


SIGNS = {"info": "○", "warning": "▲", "critical": "●"}
"""Severity is never told by colour alone."""

STATE_SIGNS = {
    "open": "●",
    "diagnosed": "●",
    "proposed": "◆",
    "approved": "◆",
    "applied": "◇",
    "watching": "◇",
    "healed": "✓",
    "rolled_back": "✗",
    "rejected": "✗",
    "dismissed": "○",
}


def number(value: float, digits: int = 3) -> str:
    """`value` with about `digits` significant digits and no exponent."""
    if value != value or value in (float("inf"), float("-inf")):
        return "-"
    size = abs(value)
    if size >= 10 ** (digits - 1) or value == int(value):
        return f"{value:.0f}"
    decimals = digits - 1 if size < 1 else digits - len(str(int(size)))
    text = f"{value:.{max(0, decimals)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def rough(count: float) -> str:
    """A large count in words: "42 million", "3 thousand", "87"."""
    for name, scale in (("billion", 1e9), ("million", 1e6), ("thousand", 1e3)):
        if count >= scale:
            return f"{number(count / scale, 2)} {name}"
    return f"{count:.0f}"


def size(value: float) -> str:
    """Bytes as kB, MB or GB (powers of 1000)."""
    sign, value = ("-", -value) if value < 0 else ("", value)
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= scale:
            return f"{sign}{number(value / scale)} {unit}"
    return f"{sign}{value:.0f} B"


def duration(seconds: float) -> str:
    """A length of time in its largest sensible unit: "42 s", "12 min", "4 h", "3 d"."""
    seconds = max(0.0, seconds)
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{number(seconds, 2)} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 36 * 3600:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86400:.0f} d"


def clock(time_s: float, *, date: bool = False) -> str:
    """Local time of day, with the date where asked."""
    return time.strftime("%Y-%m-%d %H:%M" if date else "%H:%M:%S", time.localtime(time_s))


def percent(share: float) -> str:
    """A share in [0, 1] as percent."""
    return f"{share * 100:.0f} %"


def amount(metric: str, value: float) -> str:
    """A metric's value with its unit."""
    if metric == "memory_usage":
        return size(value)
    if metric == "cpu_usage":
        return f"{value:.0f} %"
    if metric == "error_rate":
        return f"{number(value, 2)} /min"
    if metric == "response_time":
        return f"{number(value, 2)} ms" if value < 10_000 else f"{number(value / 1000)} s"
    if metric == "queue_depth":
        return f"{value:.0f} waiting"
    return f"{value:.2f}"


def bare(metric: str, value: float) -> str:
    """A metric's value without unit, short: for limits beside a value that has one."""
    if metric == "memory_usage":
        return size(value).partition(" ")[0]
    if metric in ("deadlock_risk", "anomaly_score"):
        return f"{value:.2f}".rstrip("0").rstrip(".") or "0"
    return number(value, 2)


def band(metric: str, limits: ControlLimits) -> str:
    """Control limits in short: "3σ 9-38"."""
    low, high = bare(metric, max(0.0, limits.lower)), bare(metric, limits.upper)
    return f"3σ {low}-{high}" if low != high else f"3σ {high}"


def trend(metric: str, per_min: float) -> str:
    """A slope in words: "+1.2 MB/min"; "" where it would read as none."""
    text = size(per_min) if metric == "memory_usage" else number(per_min, 2)
    if not any(digit in text for digit in "123456789"):
        return ""
    unit = {"cpu_usage": " %", "response_time": " ms"}.get(metric, "")
    return f"{'' if text.startswith('-') else '+'}{text}{unit}/min"


def time_to_limit(state: MetricState) -> str:
    """ "limit in 12 min", or "" where none is in sight."""
    if state.time_to_limit_s is None:
        return ""
    if state.time_to_limit_s > 4 * 3600:
        return "limit in > 4 h"
    return f"{state.limit_name or 'limit'} in {duration(state.time_to_limit_s)}"


def plural(count: int, one: str, many: str = "") -> str:
    """ "1 patch", "2 patches"."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def short_command(command: str) -> str:
    """A command as a person would type it: programs by their names, no interpreter before them."""
    words = command.split()
    if len(words) > 1 and _name(words[0]).startswith("python") and not words[1].startswith("-"):
        words = words[1:]
    return " ".join([_name(words[0]), *words[1:]]) if words else ""


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def short_path(path: str, project: str = "") -> str:
    """A file as a person names it: from the project, the package or the standard library on."""
    if project and path.startswith(project.rstrip("/") + "/"):
        return path[len(project.rstrip("/")) + 1 :]
    for place in ("/site-packages/", "/dist-packages/"):
        if place in path:
            return path.rpartition(place)[2]
    library = re.search(r"/lib/python3\.\d+/", path)
    return path[library.end() :] if library else path
