"""A restart that a person asks for: which way there is, in words before it, and done.

What a bug took from a process (descriptors, locks, a pool's connections) comes back with a new
process only. The first way that there is counts: the owner's restart_command, a reload that
replaces the processes, or ending and starting again what this app started itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from selfheal_engine.config import Settings
from selfheal_engine.healer import live
from selfheal_engine.healer.applied import Swapping

GONE = "the service has ended: there is nothing to restart, start it as it was started before"
NO_WAY = (
    "this app does not know how to restart it: set restart_command, or restart it as you "
    "started it; it is seen by its new processes"
)
_MEMORY = "what only its memory holds"


@dataclass(frozen=True, slots=True)
class RestartWay:
    """One way to new processes; `does` and `loses` are sentences for the person."""

    does: str
    loses: str
    run: Callable[[], str | None]
    """None when it was done, else why not."""
    owned: bool = False
    """By the source itself, on the thread that owns it; the others run anywhere."""


def way_to_restart(
    source: Swapping, settings: Settings, *, reload_failed: bool = False
) -> RestartWay | None:
    """What a restart would run now; None where nothing is known.

    `reload_failed`: a reload was tried for these processes already and did not replace them.
    """
    service = source.service()
    if settings.restart_command:
        return RestartWay(
            f"Runs your restart_command: {settings.restart_command}",
            f"Requests in flight are lost unless the command waits for them; {_MEMORY} is gone.",
            lambda: live.run_command(settings.restart_command, "restart_command"),
        )
    if not (reload_failed and service.started_by_us):
        reload = live.way_to_reload(service, settings)
        if reload is not None:
            finished = "The old processes finish their requests in flight"
            if not reload.graceful:
                finished = "Requests in flight are lost unless that waits for them"
            return RestartWay(reload.does, f"{finished}; {_MEMORY} is gone.", reload.run)
    if service.started_by_us:
        return RestartWay(
            f"Ends the processes that this app started and starts them again: {service.command}",
            "Requests in flight are lost, and callers are refused until it listens again; "
            f"{_MEMORY} is gone.",
            source.restart,
            owned=True,
        )
    return None
