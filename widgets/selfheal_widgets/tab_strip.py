"""A row of tabs; the chosen one stands out, each answers to a click."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.events import Click
from textual.message import Message

from selfheal_widgets.lines import Line, Span
from selfheal_widgets.quiet import QuietLines


@dataclass(frozen=True, slots=True)
class Tab:
    """Name, a sign such as ✓ and the sign's role."""

    name: str
    sign: str = ""
    role: str = "muted"


class TabStrip(QuietLines):
    """Shows tabs from the first that lets the chosen one be seen."""

    @dataclass
    class Picked(Message):
        """A tab was clicked."""

        strip: TabStrip
        index: int

        @property
        def control(self) -> TabStrip:
            return self.strip

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.tabs: tuple[Tab, ...] = ()
        self.chosen = 0
        self.quiet = False
        """All tabs look alike: every one is in view below."""
        self._places: list[tuple[int, int, int]] = []

    def show(self, tabs: Sequence[Tab], chosen: int) -> None:
        self.tabs, self.chosen = tuple(tabs), chosen
        self.repaint()

    def build(self, width: int, height: int) -> Sequence[Line]:
        first = 0
        while first < self.chosen and self._cells(first, self.chosen + 1) > width - 2:
            first += 1
        spans: list[Span] = [("‹" if first else " ", "muted")]
        self._places, at = [], 1
        for index, tab in enumerate(self.tabs[first:], first):
            role = "tab" if index == self.chosen else "muted"
            text = f" {tab.name} {tab.sign}".rstrip() + " "
            spans.append((f" {tab.name}", role))
            if tab.sign:
                spans.append((f" {tab.sign}", role if index == self.chosen else tab.role))
            spans.append((" ", role))
            self._places.append((at, at + len(text), index))
            at += len(text)
            if index + 1 < len(self.tabs) and at + self._cells(index + 1, index + 2) > width - 2:
                spans.append((" ›", "muted"))
                break
        return [tuple(spans)]

    def on_click(self, event: Click) -> None:
        for start, end, index in self._places:
            if start <= event.x < end:
                self.post_message(self.Picked(self, index))

    def _cells(self, first: int, end: int) -> int:
        return sum(len(f" {t.name} {t.sign}".rstrip()) + 1 for t in self.tabs[first:end])
