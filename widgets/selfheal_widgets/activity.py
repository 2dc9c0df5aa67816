"""What the engine does now: always one sentence, and a bar while something long is under way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.widget import Widget

from selfheal_widgets.lines import Line, fit, line, wrap
from selfheal_widgets.quiet import QuietLines
from selfheal_widgets.words import duration, plural

if TYPE_CHECKING:
    from selfheal_engine.model import Snapshot


def doing(snapshot: Snapshot) -> str:
    """The engine's activity, or what it waits for."""
    if snapshot.activity:
        return snapshot.activity
    if not snapshot.service.alive:
        return "the service has ended"
    learning = max((state.learning_left for state in snapshot.metrics), default=0)
    if learning:
        return f"learning what is normal, {duration(learning * snapshot.interval_s)} to go"
    waiting = waiting_for_person(snapshot)
    if waiting:
        return f"{plural(waiting, 'proposal')} waiting for you"
    return "watching"


def waiting_for_person(snapshot: Snapshot) -> int:
    """Incidents whose patches wait for a decision."""
    return sum(1 for incident in snapshot.incidents if incident.state.value == "proposed")


def bar(progress: float, width: int, *, ascii_only: bool = False) -> str:
    full, empty = ("#", ".") if ascii_only else ("█", "░")
    filled = round(max(0.0, min(1.0, progress)) * width)
    return full * filled + empty * (width - filled)


def elapsed(snapshot: Snapshot) -> str:
    """How long the activity takes already, and of how much where that can be told."""
    if snapshot.activity_s < 0.5:
        return ""
    text = duration(snapshot.activity_s)
    if snapshot.progress and 0.05 < snapshot.progress < 1:
        text += f" of ~{duration(snapshot.activity_s / snapshot.progress)}"
    return text


def standing(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Facts that stay: what isolation this machine reaches, whether we may act."""
    facts: list[tuple[str, str]] = []
    if snapshot.read_only:
        facts.append((f"read only: {snapshot.read_only}", "warn"))
    if snapshot.sandbox_tier == 3:
        facts.append((f"no sandbox: {snapshot.sandbox_note}", "warn"))
    elif snapshot.sandbox_tier:
        facts.append((f"sandbox tier {snapshot.sandbox_tier}", "faint"))
    return facts


class ActivityFace(QuietLines):
    """The text inside the frame."""

    DEFAULT_CSS = "ActivityFace { height: 1fr; width: 1fr; }"

    def __init__(self, *, ascii_only: bool = False) -> None:
        super().__init__()
        self.ascii_only = ascii_only
        self.snapshot: Snapshot | None = None

    def build(self, width: int, height: int) -> Sequence[Line]:
        if self.snapshot is None:
            return [line(("waiting for the first sample", "muted"))]
        text, took = doing(self.snapshot), elapsed(self.snapshot)
        progress = self.snapshot.progress if self.snapshot.activity else None
        role = "text" if self.snapshot.activity else "muted"
        if height == 1:
            out: Line = line((" ▸ ", "accent"), (text, role))
            if progress is not None:
                drawn = bar(progress, 12, ascii_only=self.ascii_only)
                out = (*out, ("  ", "text"), (drawn, "accent"))
            return [fit((*out, (f"  {took}", "muted")) if took else out, width)]
        lines = wrap(text, width, role)[: max(1, height - 1)]
        if progress is not None:
            drawn = bar(progress, max(6, width - len(took) - 2), ascii_only=self.ascii_only)
            lines.append(line((drawn, "accent"), (f"  {took}", "muted")))
        elif took:
            lines.append(line((took, "muted")))
        alive = self.snapshot.service.alive
        if waiting_for_person(self.snapshot) and progress is None and alive:
            lines.append(
                line(
                    ("↵" if not self.ascii_only else "Enter", "key"),
                    (" review  ", "muted"),
                    ("a", "key"),
                    (" approve", "muted"),
                )
            )
        for fact, fact_role in standing(self.snapshot):
            lines.extend(wrap(fact, width, fact_role)[:2])
        return lines[:height]


class Activity(Widget):
    """A panel of a few rows on wide terminals, one line on narrow ones."""

    DEFAULT_CSS = "Activity { height: 1; width: 1fr; }"

    def __init__(self, *, ascii_only: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self.face = ActivityFace(ascii_only=ascii_only)
        self.border_title = "what the engine does"

    def compose(self) -> ComposeResult:
        yield self.face

    def show(self, snapshot: Snapshot) -> None:
        self.face.snapshot = snapshot
        self.face.repaint()

    @property
    def shown(self) -> list[str]:
        return self.face.shown
