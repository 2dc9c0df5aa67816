"""The last line: the keys that matter here, and each of them answers to a click."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.events import Click
from textual.message import Message

from selfheal_widgets.lines import Line, Span, width_of
from selfheal_widgets.quiet import QuietLines


@dataclass(frozen=True, slots=True)
class Hint:
    """A key, what it does and the action behind it."""

    key: str
    label: str
    action: str


class KeyHints(QuietLines):
    """As many hints as fit, most important first; `keep_last` are always shown."""

    @dataclass
    class Pressed(Message):
        """A hint was clicked."""

        action: str

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.hints: tuple[Hint, ...] = ()
        self.keep_last = 2
        self._places: list[tuple[int, int, str]] = []

    def show(self, hints: Sequence[Hint], keep_last: int = 2) -> None:
        self.hints, self.keep_last = tuple(hints), keep_last
        self.repaint()

    def build(self, width: int, height: int) -> Sequence[Line]:
        fixed = self.hints[len(self.hints) - self.keep_last :] if self.keep_last else ()
        rest = self.hints[: len(self.hints) - len(fixed)]
        room = width - sum(_cells(hint) for hint in fixed)
        chosen: list[Hint] = []
        for hint in rest:
            if _cells(hint) <= room:
                chosen.append(hint)
                room -= _cells(hint)
            else:
                break
        spans: list[Span] = []
        self._places = []
        at = 0
        for hint in (*chosen, *fixed):
            part: list[Span] = [(" ", "text"), (hint.key, "key"), (f" {hint.label} ", "muted")]
            spans.extend(part)
            end = at + width_of(tuple(part))
            self._places.append((at, end, hint.action))
            at = end + 1
            spans.append((" ", "text"))
        return [tuple(spans)]

    def on_click(self, event: Click) -> None:
        for start, end, action in self._places:
            if start <= event.x < end:
                self.post_message(self.Pressed(action))


def _cells(hint: Hint) -> int:
    return len(hint.key) + len(hint.label) + 4
