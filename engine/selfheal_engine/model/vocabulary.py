"""The words: metrics, units, strategies, and the levels that settings and verdicts use."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

METRICS = (
    "cpu_usage",
    "memory_usage",
    "error_rate",
    "response_time",
    "queue_depth",
    "deadlock_risk",
    "anomaly_score",
)
"""The seven metrics, in the order in which every screen and every row shows them."""

UNITS = {
    "cpu_usage": "%",
    "memory_usage": "bytes",
    "error_rate": "/min",
    "response_time": "ms",
    "queue_depth": "",
    "deadlock_risk": "",
    "anomaly_score": "",
}

STRATEGIES = (
    "null_check",
    "error_handling",
    "resource_cleanup",
    "timeout_guard",
    "race_condition_fix",
    "syntax_fix",
    "logic_correction",
    "memory_leak_fix",
)

OccurrenceKind = Literal[
    "exception",  # raised and not handled by the project's own code
    "log",  # an ERROR record without an exception
    "syntax",  # a module that does not compile or import
    "stall",  # a call or a thread that does not move on
    "deadlock",  # a cycle of waits, or lock orders seen in both directions
    "leak",  # growth that a memory report located
    "resource",  # a file, socket or connection that was never closed
    "thread_death",  # a worker thread or task that ended by an exception
]
Severity = Literal["info", "warning", "critical"]
Risk = Literal["low", "medium", "high"]
Level = Literal["never", "low", "medium", "high"]


UPSTREAM_ERRORS = (
    "ConnectionError",
    "ConnectionResetError",
    "ConnectionRefusedError",
    "ConnectionAbortedError",
    "BrokenPipeError",
    "ConnectError",
    "ConnectTimeout",
    "ReadTimeout",
    "ReadError",
    "RemoteProtocolError",
    "URLError",
    "HTTPError",
    "SSLError",
    "gaierror",
    "RemoteDisconnected",
    "IncompleteRead",
    "OperationalError",
    "ServiceUnavailable",
    "TimeoutError",
    "timeout",
    "Timeout",
)
"""Last names of the exceptions by which a peer's failure shows, in the common client libraries."""


class IncidentState(StrEnum):
    """The life of an incident; DESIGN: open -> ... -> healed or another end."""

    OPEN = "open"
    DIAGNOSED = "diagnosed"
    PROPOSED = "proposed"
    APPROVED = "approved"
    APPLIED = "applied"
    WATCHING = "watching"
    HEALED = "healed"
    ROLLED_BACK = "rolled_back"
    REJECTED = "rejected"
    DISMISSED = "dismissed"

    @property
    def ended(self) -> bool:
        return self in (self.HEALED, self.ROLLED_BACK, self.REJECTED, self.DISMISSED)
