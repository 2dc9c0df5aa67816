"""Jump mode: a letter stands on every part of the screen; pressing it moves the focus there."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Key
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Label

LETTERS = "asdfghjklwertyuiop"


class Jump(ModalScreen[None]):
    """Letters are laid over the screen below; Esc gives up."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "give_up", "cancel", show=False)]

    def __init__(self, below: Screen[Any]) -> None:
        super().__init__()
        self.targets: dict[str, Widget] = {}
        places = [w for w in below.focus_chain if w.region.area and w.display]
        for letter, widget in zip(LETTERS, places, strict=False):
            self.targets[letter] = widget

    def compose(self) -> ComposeResult:
        for letter, widget in self.targets.items():
            label = Label(f" {letter} ", classes="jump-letter")
            region = widget.region
            label.styles.offset = (max(0, region.x - (1 if region.x else 0)), region.y)
            yield label

    def on_key(self, event: Key) -> None:
        if event.key == "escape":
            return
        event.stop()
        target = self.targets.get(event.character or "")
        self.dismiss(None)
        if target is not None:
            self.app.call_later(target.focus)

    def action_give_up(self) -> None:
        self.dismiss(None)
