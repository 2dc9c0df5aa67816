"""Small windows that ask one thing: yes or no, a reason, one of a few ways to leave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.events import Key
from textual.screen import ModalScreen
from textual.widgets import Input

from selfheal_widgets.key_hints import Hint, KeyHints
from selfheal_widgets.lines import Line
from selfheal_widgets.row_list import Row, RowList


class Paragraphs(RowList):
    """Fixed lines, scrolled when they do not fit."""

    def __init__(self, content: Sequence[Line], *, id: str | None = None) -> None:
        super().__init__(cursor=False, id=id, classes="page")
        self.content = tuple(content)

    def on_mount(self) -> None:
        self.styles.height = max(1, len(self.content))

    def build(self, width: int) -> Sequence[Row]:
        return [Row("", self.content)]


class Choice(ModalScreen[str]):
    """Shows lines and waits for one of a few keys; Esc answers ""."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "answer('')", "no", show=False)]

    def __init__(
        self, title: str, content: Sequence[Line], choices: Sequence[Hint], *, danger: bool = False
    ) -> None:
        super().__init__()
        self.question = title
        self.content = content
        self.choices = tuple(choices)
        self.danger = danger

    def compose(self) -> ComposeResult:
        with Vertical(classes="question -danger" if self.danger else "question") as box:
            box.border_title = self.question
            yield Paragraphs(self.content, id="question-text")
            yield KeyHints(id="choices")

    def on_mount(self) -> None:
        self.query_one(KeyHints).show([*self.choices, Hint("Esc", "cancel", "")], keep_last=1)
        self.query_one(Paragraphs).focus()

    def on_key(self, event: Key) -> None:
        pressed = "↵" if event.key == "enter" else event.character
        for choice in self.choices:
            if pressed == choice.key or (event.key == "enter" and choice is self.choices[0]):
                event.stop()
                self.dismiss(choice.action)
                return

    def on_key_hints_pressed(self, event: KeyHints.Pressed) -> None:
        self.dismiss(event.action)

    def action_answer(self, answer: str) -> None:
        self.dismiss(answer)


class Reason(ModalScreen[str | None]):
    """Asks for a line of text; Esc answers None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "give_up", "cancel", show=False)]

    def __init__(
        self, title: str, content: Sequence[Line], *, value: str = "", placeholder: str = ""
    ) -> None:
        super().__init__()
        self.question = title
        self.content = content
        self.value = value
        self.placeholder = placeholder

    def compose(self) -> ComposeResult:
        with Vertical(classes="question") as box:
            box.border_title = self.question
            yield Paragraphs(self.content, id="question-text")
            yield Input(self.value, placeholder=self.placeholder, id="reason")
            yield KeyHints(id="choices")

    def on_mount(self) -> None:
        hints = [Hint("↵", "send", "send"), Hint("Esc", "cancel", "")]
        self.query_one(KeyHints).show(hints, keep_last=1)
        self.query_one(Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip())

    def on_key_hints_pressed(self, event: KeyHints.Pressed) -> None:
        self.dismiss(self.query_one(Input).value.strip() if event.action else None)

    def action_give_up(self) -> None:
        self.dismiss(None)
