"""The watched program: which one, its processes and routes, and what a swap asks of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """The service to watch: exactly one of the fields is set."""

    command: tuple[str, ...] = ()
    """Started by us, with the probe inside."""
    pid: int = 0
    name: str = ""
    """Name of a service that carries the probe."""
    port: int = 0
    unit: str = ""


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """One process of the service."""

    pid: int
    ppid: int
    command: str
    started_s: float
    python: str = ""
    has_probe: bool = False
    cpu_percent: float = 0.0
    memory_bytes: int = 0
    threads: int = 0
    descriptors: int = 0
    role: str = ""
    """master, worker, ... where known."""


@dataclass(frozen=True, slots=True)
class FunctionSwap:
    """What the healer asks of every process: bring these functions to the file's new text."""

    path: str
    """Absolute path of the file."""
    sha256: str
    """Hash of the content on disk that the probe must find."""
    functions: tuple[str, ...] = ()
    """Qualified names; empty: whatever differs from the running code."""


@dataclass(frozen=True, slots=True)
class SwapResult:
    """One process's answer."""

    pid: int
    ok: bool
    swapped: tuple[str, ...] = ()
    reason: str = ""
    """Why it was refused."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """The watched program as a whole."""

    name: str
    project: str
    command: str
    processes: tuple[ProcessInfo, ...] = ()
    framework: str = ""
    started_by_us: bool = False
    alive: bool = True


@dataclass(frozen=True, slots=True)
class RestartOffer:
    """What a restart would run if a person asked for it now."""

    does: str = ""
    loses: str = ""
    refused: str = ""
    """Why it cannot be done; "" when it can."""
    wanted: str = ""
    """Why one is needed: processes keep what a bug took from them; "" when none is."""


@dataclass(frozen=True, slots=True)
class EndpointStat:
    """Requests of one route over the recent past."""

    route: str
    requests: int
    errors: int
    p50_ms: float
    p95_ms: float
