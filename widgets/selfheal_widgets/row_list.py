"""A scrolling list of rows with a cursor, on the Line API: feeds, tables and pages of text.

The stock table repaints itself as a whole; this one repaints the rows that differ, which on
a quiet service is none. Rows keep their identity, so that the cursor stays on the same
incident when a new one arrives above it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.events import Click, Resize
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from selfheal_widgets.lines import Line, fit, plain
from selfheal_widgets.quiet import strip_of


@dataclass(frozen=True, slots=True)
class Row:
    """One entry: an identity ("" cannot be chosen) and one or more lines."""

    id: str
    lines: tuple[Line, ...]


class RowList(ScrollView, can_focus=True):
    """Subclasses build rows for a width; the list keeps cursor and scroll position."""

    DEFAULT_CSS = """
    RowList { width: 1fr; height: 1fr; overflow-x: hidden; scrollbar-size-vertical: 1; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "move(1)", "down", id="list.down", tooltip="Next row"),
        Binding("k,up", "move(-1)", "up", id="list.up", tooltip="Previous row"),
        Binding("g,home", "move_to(0)", "first", id="list.first", tooltip="First row"),
        Binding("G,end", "move_to(-1)", "last", id="list.last", tooltip="Last row"),
        Binding(
            "ctrl+d,pagedown", "page(1)", "page down", id="list.page_down", tooltip="A page on"
        ),
        Binding("ctrl+u,pageup", "page(-1)", "page up", id="list.page_up", tooltip="A page back"),
        Binding(
            "enter", "choose", "open", id="list.choose", tooltip="Open the row under the cursor"
        ),
    ]

    @dataclass
    class Moved(Message):
        """The cursor came to another row."""

        list: RowList
        id: str

        @property
        def control(self) -> RowList:
            return self.list

    @dataclass
    class Chosen(Message):
        """Enter or a click on the row under the cursor."""

        list: RowList
        id: str

        @property
        def control(self) -> RowList:
            return self.list

    def __init__(
        self,
        *,
        cursor: bool = True,
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self.has_cursor = cursor
        self.selected = ""
        """Identity of the row under the cursor."""
        self._rows: list[Row] = []
        self._drawn: list[tuple[Line, int]] = []
        """Every line of the list with the index of its row."""
        self._tops: list[int] = []

    def build(self, width: int) -> Sequence[Row]:
        """The rows for a width in cells, in the order of the screen."""
        return ()

    def repaint(self) -> None:
        """Build the rows again, keep the cursor on its row, repaint the lines that differ."""
        width = self._text_width()
        if width <= 0:
            return
        before = self._drawn
        self._take(self.build(width), width)
        # never less than the window: growing inside it is then no change of layout
        grows = self.styles.height is not None and self.styles.height.is_auto
        least = 0 if grows else self.size.height
        self.virtual_size = Size(width, max(len(self._drawn), least))
        top = self.scroll_offset.y
        last_top = max(0, len(self._drawn) - self.size.height)
        if top > last_top:  # fewer lines than before: none is hidden above while there is room
            self.scroll_to(y=last_top, animate=False)
            self.refresh()
            return
        dirty = [
            Region(0, at - top, self.size.width, 1)
            for at, (was, now) in enumerate(zip_longest(before, self._drawn))
            if was != now and top <= at < top + self.size.height
        ]
        if dirty:
            self.refresh(*dirty)

    def on_resize(self, _event: Resize) -> None:
        self.repaint()
        self._reveal()

    def render_line(self, y: int) -> Strip:
        width = self._text_width()
        at = y + self.scroll_offset.y
        if at >= len(self._drawn):
            return strip_of(self, (), width)
        content, index = self._drawn[at]
        row = self._rows[index]
        over = ""
        if self.has_cursor and row.id and row.id == self.selected:
            over = "cursor" if self.has_focus else "idle-cursor"
        return strip_of(self, fit(content, width), width, over)

    def watch_has_focus(self, _had: bool) -> None:
        self._refresh_row(self.selected)

    @property
    def shown(self) -> list[str]:
        """The text of all lines, whether scrolled into view or not."""
        return [plain(content) for content, _ in self._drawn]

    @property
    def row_ids(self) -> list[str]:
        """Identities of the rows that can be chosen, in order."""
        return [row.id for row in self._rows if row.id]

    def select(self, id: str) -> None:
        """Put the cursor on a row; an unknown identity is ignored."""
        if id == self.selected or id not in self.row_ids:
            return
        before, self.selected = self.selected, id
        self._refresh_row(before)
        self._refresh_row(id)
        self._reveal()
        self.post_message(self.Moved(self, id))

    def action_move(self, step: int) -> None:
        if not self.has_cursor or not self.row_ids:
            self.scroll_to(y=self.scroll_offset.y + step, animate=False)
            return
        ids = self.row_ids
        at = ids.index(self.selected) if self.selected in ids else -1
        self.select(ids[max(0, min(len(ids) - 1, at + step))])

    def action_move_to(self, index: int) -> None:
        if not self.has_cursor or not self.row_ids:
            self.scroll_to(y=0 if index == 0 else len(self._drawn), animate=False)
            return
        self.select(self.row_ids[index])
        if index == 0:
            self.scroll_to(y=0, animate=False)

    def action_page(self, step: int) -> None:
        self.action_move(step * max(1, self.size.height - 2))

    def action_choose(self) -> None:
        if self.selected:
            self.post_message(self.Chosen(self, self.selected))

    def on_click(self, event: Click) -> None:
        at = event.y + self.scroll_offset.y
        if not self.has_cursor or at >= len(self._drawn):
            return
        row = self._rows[self._drawn[at][1]]
        if not row.id:
            return
        if row.id == self.selected or event.chain > 1:
            self.post_message(self.Chosen(self, row.id))
        self.select(row.id)

    def watch_show_vertical_scrollbar(self, _shown: bool) -> None:
        """The bar takes a column from the text, or gives it back."""
        self.call_later(self.repaint)

    def _text_width(self) -> int:
        return self.scrollable_content_region.width

    def _take(self, rows: Sequence[Row], width: int) -> None:
        self._rows = list(rows)
        self._drawn, self._tops = [], []
        for index, row in enumerate(self._rows):
            self._tops.append(len(self._drawn))
            self._drawn.extend((content, index) for content in row.lines)
        ids = self.row_ids
        if self.selected not in ids:
            self.selected = ids[0] if ids else ""
            if self.selected:
                self.post_message(self.Moved(self, self.selected))

    def _refresh_row(self, id: str) -> None:
        for index, row in enumerate(self._rows):
            if row.id and row.id == id:
                self.refresh_lines(self._tops[index], len(row.lines))

    def _reveal(self) -> None:
        """Scroll so that the whole row under the cursor is in view."""
        for index, row in enumerate(self._rows):
            if row.id and row.id == self.selected:
                top, bottom = self._tops[index], self._tops[index] + len(row.lines)
                y, height = self.scroll_offset.y, self.size.height
                if top < y:
                    self.scroll_to(y=top, animate=False)
                elif bottom > y + height:
                    self.scroll_to(y=bottom - height, animate=False)
