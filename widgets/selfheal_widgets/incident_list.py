"""The incidents of the session, newest first, each with its state and what happens next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from selfheal_engine.model import IncidentState
from selfheal_widgets.lines import Span, line, safe, spread, width_of, wrap, wrap_most
from selfheal_widgets.row_list import Row, RowList
from selfheal_widgets.words import STATE_SIGNS, duration, plural

if TYPE_CHECKING:
    from selfheal_engine.model import Incident, Snapshot

STATE_ROLES = {
    "open": "bad",
    "diagnosed": "bad",
    "proposed": "accent",
    "approved": "accent",
    "applied": "accent",
    "watching": "accent",
    "healed": "good",
    "rolled_back": "warn",
    "rejected": "muted",
    "dismissed": "muted",
}


def how_often(incident: Incident, now_s: float) -> str:
    """ "41 in 1 min": how many times, since when."""
    if incident.count <= 1:
        return "once" if incident.count else ""
    end = incident.ended_s or now_s
    return f"{incident.count} in {duration(end - incident.first_seen_s)}"


def what_next(incident: Incident, now_s: float) -> Span:
    """The state with what follows from it, short."""
    state = incident.state
    role = STATE_ROLES[state.value]
    if state is IncidentState.PROPOSED and incident.proposal:
        if incident.proposal.tier == "diagnosis" or not incident.proposal.candidates:
            return ("diagnosis ↵", role)
        return (f"{plural(len(incident.proposal.candidates), 'proposal')} ↵", role)
    if state is IncidentState.HEALED:
        took = duration(incident.ended_s - incident.first_seen_s) if incident.ended_s else ""
        return (f"healed {took}".strip(), role)
    if state is IncidentState.WATCHING and incident.applied_s:
        return (f"watching {duration(now_s - incident.applied_s)}", role)
    return (state.value.replace("_", " "), role)


class IncidentList(RowList):
    """One line for each incident; Enter opens its review."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.incidents: tuple[Incident, ...] = ()
        self._now_s = 0.0
        self._empty = "opening the service …"

    def show(self, snapshot: Snapshot) -> None:
        self.incidents, self._now_s = snapshot.incidents, snapshot.time_s
        learning = max((state.learning_left for state in snapshot.metrics), default=0)
        if learning:
            left = duration(learning * snapshot.interval_s)
            self._empty = (
                f"no incidents: limits are being learned, {left} to go. "
                "Exceptions are caught from the first second on."
            )
        else:
            self._empty = (
                "no incidents: the seven metrics are within their limits and nothing was raised. "
                "When something breaks it appears here, with patches to review."
            )
        self.repaint()

    def build(self, width: int) -> Sequence[Row]:
        if not self.incidents:
            return [Row("", tuple(wrap(self._empty, width - 1, "muted")))]
        return [self._row(incident, width) for incident in self.incidents]

    def _row(self, incident: Incident, width: int) -> Row:
        role = STATE_ROLES[incident.state.value]
        often = how_often(incident, self._now_s)
        live = not incident.state.ended
        left = line(
            (STATE_SIGNS[incident.state.value] + " ", role),
            (f"#{incident.number} ", "strong" if live else "muted"),
            (safe(incident.title), "text" if live else "muted"),
        )
        following = what_next(incident, self._now_s)
        counted = (*left, (f"  {often}", "muted"))
        if often and live and width_of((*counted, following)) + 2 <= width:
            left = counted
        lines = [spread(left, (following,), width)]
        for text, text_role, most in _below(incident):
            folded = wrap_most(safe(text), width - 2, most, text_role)
            lines += [line(("  ", "text"), *part) for part in folded]
        return Row(incident.id, tuple(lines))


def _below(incident: Incident) -> list[tuple[str, str, int]]:
    """Texts under the title, each with its role and the most lines it may take."""
    if incident.state.ended:
        return [(incident.outcome, "faint", 1)] if incident.outcome else []
    out = [(incident.diagnosis.summary, "muted", 2)] if incident.diagnosis else []
    if incident.activity and incident.state is not IncidentState.PROPOSED:
        out.append((incident.activity, "accent", 2))
    return out
