"""Restarting the service: asked once, with what will be run and what is lost by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfheal_tui.screens.questions import Choice
from selfheal_widgets.key_hints import Hint
from selfheal_widgets.lines import Line, safe, wrap

if TYPE_CHECKING:
    from selfheal_engine.model import RestartOffer, Snapshot
    from selfheal_tui.app import SelfhealApp

WIDTH = 68
"""Cells of text in the question."""


def why_no_restart(view: Snapshot | None) -> str:
    """Why nothing can be restarted at this moment; "" when it can."""
    if view is None:
        return "the service is still being opened: wait a moment"
    if view.restart is None:
        return "the engine that watches this service is an older version: it restarts nothing"
    return view.restart.refused


def restart_lines(offer: RestartOffer) -> list[Line]:
    """What will be run, what is lost by it, and why it is needed where that is known."""
    out = [*wrap(safe(offer.does), WIDTH, "strong"), (), *wrap(safe(offer.loses), WIDTH, "warn")]
    if offer.wanted:
        out += [(), *wrap(f"Needed: {safe(offer.wanted)}.", WIDTH, "muted")]
    return out


def restart(app: SelfhealApp) -> None:
    """Ask once, then restart; the outcome is said when new processes serve."""
    view = app.latest
    refused = why_no_restart(view)
    if view is None or view.restart is None or refused:
        app.say(refused, "warning")
        return

    def answered(answer: str | None) -> None:
        if answer == "yes":
            app.bridge.ask("restart", app.engine.restart())

    app.push_screen(
        Choice(
            f"restart {safe(view.service.name)}?",
            restart_lines(view.restart),
            [Hint("y", "restart it", "yes")],
            danger=True,
        ),
        answered,
    )
