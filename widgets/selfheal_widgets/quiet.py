"""Widgets that repaint only what changed: the ground that all the others stand on.

A terminal over SSH pays for every cell that is sent again. `QuietLines` keeps the lines it
last drew, compares, and asks Textual to repaint only the rows that differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from rich.cells import cell_len
from rich.segment import Segment
from textual.events import Resize
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from selfheal_widgets.lines import Line, fit, width_of
from selfheal_widgets.roles import overlay


def strip_of(widget: Widget, content: Line, width: int, cursor: str = "") -> Strip:
    """`content` as exactly `width` cells; `cursor` names a role laid over the whole line."""
    base = widget.rich_style
    over = overlay(widget, cursor) if cursor else None
    segments = []
    for text, role in content:
        if text:
            style = base + overlay(widget, role)
            segments.append(Segment(text, style if over is None else style + over))
    return Strip(segments).adjust_cell_length(width, base if over is None else base + over)


def changed_cells(old: Line, new: Line) -> int:
    """Cells from the left up to the last that differs; 0 when two lines are the same.

    What is right of that is not sent again; Textual always sends a row from its widget's left.
    """
    if old == new:
        return 0
    olds = [(ch, role) for text, role in old for ch in text]
    news = [(ch, role) for text, role in new for ch in text]
    if len(olds) != len(news) or any(not ch.isascii() and cell_len(ch) != 1 for ch, _ in news):
        return max(width_of(old), width_of(new))
    return max(at for at, (a, b) in enumerate(zip(olds, news, strict=True), 1) if a != b)


class QuietLines(Widget):
    """A widget of a few lines. Subclasses build them; `repaint` sends what differs."""

    DEFAULT_CSS = "QuietLines { height: 1; width: 1fr; }"

    def __init__(
        self, *, name: str | None = None, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._drawn: list[Line] = []
        self._drawn_size = (0, 0)

    def build(self, width: int, height: int) -> Sequence[Line]:
        """The lines to show in a space of `width` x `height` cells."""
        return ()

    def repaint(self) -> None:
        """Build the lines again and repaint the rows that differ."""
        width, height = self.size
        if width <= 0 or height <= 0:
            return
        new = self._built(width, height)
        if self._drawn_size != (width, height):
            self._drawn, self._drawn_size = new, (width, height)
            self.refresh()
            return
        old, self._drawn = self._drawn, new
        dirty = [
            Region(0, row, min(width, changed_cells(was, now)), 1)
            for row, (was, now) in enumerate(zip_longest(old, new, fillvalue=()))
            if was != now
        ]
        if dirty:
            self.refresh(*dirty)

    def on_resize(self, _event: Resize) -> None:
        self.repaint()

    def render_line(self, y: int) -> Strip:
        width, height = self.size
        if self._drawn_size != (width, height):
            self._drawn, self._drawn_size = self._built(width, height), (width, height)
        content = self._drawn[y] if y < len(self._drawn) else ()
        return strip_of(self, content, width)

    @property
    def shown(self) -> list[str]:
        """The text on the screen, row by row."""
        return ["".join(text for text, _ in content) for content in self._drawn]

    def _built(self, width: int, height: int) -> list[Line]:
        return [fit(content, width) for content in self.build(width, height)][:height]
