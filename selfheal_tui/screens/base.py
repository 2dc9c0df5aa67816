"""What all screens of the app share: breakpoints, the line of keys, taking a snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.events import Resize
from textual.geometry import Size
from textual.screen import Screen

from selfheal_tui.actions import (
    ACTIONS,
    EVERYWHERE,
    WAY_OUT,
    WHEN_WANTED,
    Action,
    keys_of,
    wanted,
)
from selfheal_widgets.key_hints import Hint, KeyHints

if TYPE_CHECKING:
    from selfheal_engine.model import Snapshot
    from selfheal_tui.app import SelfhealApp


class CockpitScreen(Screen[None]):
    """A full screen with a line of keys at the bottom; subclasses fill in `show`."""

    scope: ClassVar[str] = ""

    def __init__(self) -> None:
        super().__init__()
        self._sized_for: Size | None = None
        # at once, not after the first resize event: one restyling and one full paint less
        width, height = self.app.size
        for size, breakpoints in (
            (width, self.app.HORIZONTAL_BREAKPOINTS),
            (height, self.app.VERTICAL_BREAKPOINTS),
        ):
            reached = [name for least, name in breakpoints or () if size >= least]
            self.add_class(*reached[-1:])

    @property
    def cockpit(self) -> SelfhealApp:
        return cast("SelfhealApp", self.app)

    def show(self, snapshot: Snapshot) -> None:
        """Bring the screen to the engine's state."""

    def on_mount(self) -> None:
        self.set_class(self.cockpit.settings.ascii, "ascii")
        self.show_hints()
        self.show_latest()

    def on_screen_resume(self) -> None:
        self.call_later(self.check_size)
        self.show_latest()

    def on_resize(self, event: Resize) -> None:
        self._sized_for = event.size

    def check_size(self) -> None:
        """Catch up with a resize that went to a screen which stood in front of this one."""
        size = self.app.size
        stale = self.size != size or self._sized_for not in (None, size)
        if self.is_current and stale:
            self.post_message(Resize(size, size))

    def show_latest(self) -> None:
        if self.cockpit.view is not None:
            self.show(self.cockpit.view)
        self.show_hints()

    def show_hints(self) -> None:
        """Fill the last line from the registry, with the user's own keys."""
        shown = hints_for(self.scope, self.cockpit.key_overrides, self.cockpit.latest)
        for hints in self.query(KeyHints):
            if hints.hints != tuple(shown):
                hints.show(shown, ways_out(self.scope))

    def on_key_hints_pressed(self, event: KeyHints.Pressed) -> None:
        self.cockpit.run_registered(event.action)


def hints_for(scope: str, overrides: dict[str, str], view: Snapshot | None = None) -> list[Hint]:
    """The hints of a screen in their order; its ways out come last."""
    return [
        Hint(keys_of(action, overrides)[0], action.label, action.id)
        for action in _hinted(scope)
        if action.hint != WHEN_WANTED or wanted(action, view)
    ]


def ways_out(scope: str) -> int:
    """How many of the hints, at the end, are never left out: back, help, quit."""
    return sum(1 for action in _hinted(scope) if action.hint >= WAY_OUT)


def _hinted(scope: str) -> list[Action]:
    chosen = [a for a in ACTIONS if a.scope in (scope, EVERYWHERE) and a.hint and a.name != scope]
    return sorted(chosen, key=lambda action: action.hint)
