"""What the probe adds to each library, right after the service imports it."""

from __future__ import annotations

from selfheal_agent import hooks
from selfheal_agent.capture import Capture


def install(capture: Capture) -> None:
    """Register every integration; each runs only when its library is imported."""
    from selfheal_agent.integrations import asgi, logs, runtime, web, workers

    for module, integration in (
        *logs.integrations(capture),
        *runtime.integrations(capture),
        *web.integrations(capture),
        *asgi.integrations(capture),
        *workers.integrations(capture),
    ):
        hooks.after_import(module, integration)
