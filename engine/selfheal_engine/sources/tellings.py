"""What one delivery tells: occurrences and requests; and how foreign JSON is read safely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from selfheal_engine.model import Occurrence


@dataclass(frozen=True, slots=True)
class Request:
    """One request that the service served."""

    route: str
    failed: bool
    duration_s: float


@dataclass(frozen=True, slots=True)
class Buckets:
    """Requests of one route since the last report, with a histogram of their durations."""

    route: str
    requests: int
    errors: int
    bounds_s: tuple[float, ...] = ()
    in_bucket: tuple[int, ...] = ()
    """One more than bounds: the last holds what lies above them all."""


@dataclass(frozen=True, slots=True)
class Telling:
    """What one delivery tells."""

    occurrences: tuple[Occurrence, ...] = ()
    requests: tuple[Request, ...] = ()
    buckets: tuple[Buckets, ...] = ()


def as_map(plain: object) -> dict[str, Any]:
    """The object, {} when it is none."""
    return plain if isinstance(plain, dict) else {}


def as_list(plain: object) -> list[Any]:
    """The list, [] when it is none."""
    return plain if isinstance(plain, list) else []


def as_text(plain: object) -> str:
    """The text, "" when it is none."""
    return plain if isinstance(plain, str) else ""


def as_number(plain: object) -> float:
    """The number, also one written as text as protobuf's JSON does; 0 when it is none."""
    if isinstance(plain, bool):
        return 0.0
    if isinstance(plain, (int, float)):
        return float(plain) if plain == plain and abs(plain) < 1e300 else 0.0
    if isinstance(plain, str) and len(plain) < 40:
        try:
            return as_number(float(plain))
        except ValueError:
            return 0.0
    return 0.0
