"""What a bug leaves behind in the processes, whatever code they run from now on.

Descriptors that nobody closes any more, locks that nobody releases, threads that wait for each
other or for an answer that never comes, workers that have ended, connections that never come back
to their pool: no swap gives them back, new processes do.
"""

from __future__ import annotations

import resource

import psutil

from selfheal_agent import long_waits
from selfheal_engine.model import Incident, ServiceInfo

NEARLY_OUT = 0.6
"""A process that holds this share of the descriptors it may have is too short of them to go on."""


def holds_on(incident: Incident | None, service: ServiceInfo) -> bool:
    """Whether the processes keep so much of what the bug did to them that new ones are needed."""
    occurrence = incident.occurrence if incident is not None else None
    if incident is None or occurrence is None:
        return False
    if occurrence.kind == "deadlock":
        return True
    if incident.diagnosis is not None and incident.diagnosis.ended_worker:
        return True
    if occurrence.kind == "stall":  # for a lock that was never given back, or in the only thread
        of_a_daemon = occurrence.caught_by == long_waits.CAUGHT_BY
        return incident.bug_type == "race_condition_fix" or of_a_daemon
    if incident.bug_type != "resource_cleanup":
        return False
    return occurrence.kind == "exception" or any(
        nearly_out(process.pid) for process in service.processes
    )


def nearly_out(pid: int) -> bool:
    """Whether most of the descriptors that the process may have are open."""
    try:
        limit = resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]
        return limit > 0 and psutil.Process(pid).num_fds() >= NEARLY_OUT * limit
    except (OSError, psutil.Error):
        return False
