"""What is left of the app on a terminal too small for it: health and what waits for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import ComposeResult

from selfheal_engine.model import IncidentState
from selfheal_tui.screens.base import CockpitScreen
from selfheal_widgets.health_gauge import causes, health_role
from selfheal_widgets.lines import Line, line, safe, wrap
from selfheal_widgets.pages import LinesPage
from selfheal_widgets.words import plural

if TYPE_CHECKING:
    from selfheal_engine.model import Snapshot

LEAST_COLUMNS, LEAST_ROWS = 60, 15


def is_tiny(columns: int, rows: int) -> bool:
    return columns < LEAST_COLUMNS or rows < LEAST_ROWS


def summary(view: Snapshot | None, width: int) -> list[Line]:
    """One line that says it all, then what to do about the size."""
    if view is None:
        out = [line(("connecting …", "muted"))]
    else:
        score = view.health.score
        waiting = sum(1 for i in view.incidents if i.state is IncidentState.PROPOSED)
        running = sum(1 for i in view.incidents if not i.state.ended) - waiting
        text = line((f"HEALTH {score:.0f}", health_role(score)))
        if waiting:
            text = (*text, (f" ◆ {plural(waiting, 'proposal')}", "accent"))
        if running:
            text = (*text, (f" ● {running} open", "bad"))
        if not view.service.alive:
            text = (*text, (" ended", "alarm"))
        out = [(*text, (f" {safe(view.service.name)}", "muted"))]
        why = ", ".join(causes(view.health))
        out += wrap(why, width, "muted") if why else []
    size = f"{LEAST_COLUMNS}x{LEAST_ROWS}"
    return [
        *out,
        (),
        *wrap(f"make the terminal {size} or larger for more; q quits", width, "faint"),
    ]


class Tiny(CockpitScreen):
    """Stands before the others while the terminal is too small."""

    scope = "tiny"

    def compose(self) -> ComposeResult:
        yield LinesPage(lambda width: summary(self.cockpit.view, width), id="tiny")

    def show(self, snapshot: Snapshot) -> None:
        self.query_one(LinesPage).repaint()
