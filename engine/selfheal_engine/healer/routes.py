"""Which of the counted routes a recorded request belongs to."""

from __future__ import annotations

from collections.abc import Container

from selfheal_agent.requests import plain_path
from selfheal_engine.model import Occurrence


def route_of(occurrence: Occurrence | None, routes: Container[str]) -> str | None:
    """The counted route of the occurrence's request; None where there is none to tell.

    Frameworks name their routes; without one the probe counts a request under its method and
    path, with numbers and long ids replaced.
    """
    request = occurrence.request if occurrence is not None else None
    if request is None:
        return None
    plain = f"{request.method} {plain_path(request.path)}"
    named = (request.route, f"{request.method} {request.route}", plain, request.path)
    return next((name for name in named if name and name in routes), None)
