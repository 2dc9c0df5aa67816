"""A patch on the screen: unified or side by side, syntax colours, changed words marked.

Built on the Line API: only the rows in view are ever rendered. A line that is longer than the
view goes on below, without a number: what a patch changes is never cut off. The text appears at
once; its colours follow when a worker has lexed the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import work
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.worker import get_current_worker

from selfheal_widgets.diff_model import (
    DiffRow,
    FileChange,
    SplitRow,
    hunk_starts,
    parse,
    split,
    unified,
)
from selfheal_widgets.highlight import Syntax, lex
from selfheal_widgets.lines import Line, fit, line, safe, wrap
from selfheal_widgets.quiet import strip_of
from selfheal_widgets.roles import overlay, style_of

CONTEXT = 3
MOST_CONTEXT = 10_000
SPLIT_CELLS = 90
"""Narrower than this, side by side would show nothing but beginnings."""


class DiffViewer(ScrollView, can_focus=True):
    """Shows one diff at a time; `show` replaces it."""

    DEFAULT_CSS = "DiffViewer { width: 1fr; height: 1fr; scrollbar-size: 0 1; }"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "scroll_down", "down", id="diff.down", tooltip="A line on"),
        Binding("k,up", "scroll_up", "up", id="diff.up", tooltip="A line back"),
        Binding("g,home", "scroll_home", "top", id="diff.top", tooltip="First line"),
        Binding("G,end", "scroll_end", "bottom", id="diff.bottom", tooltip="Last line"),
        Binding(
            "ctrl+d,pagedown", "page_down", "page down", id="diff.page_down", tooltip="A page on"
        ),
        Binding("ctrl+u,pageup", "page_up", "page up", id="diff.page_up", tooltip="A page back"),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.changes: list[FileChange] = []
        self.context = CONTEXT
        self.side_by_side = False
        self.lexed = False
        self._rows: list[DiffRow] = []
        self._split: list[SplitRow] = []
        self._places: list[tuple[int, int]] = []
        """Of each row of the view: which row of the diff it shows, and which part of it."""
        self._syntax: dict[tuple[str, str], Syntax] = {}
        self._empty: Line = ()
        self._shown = ("", 0)
        self._unplaced = False

    def show(
        self, diff: str, new_texts: Mapping[str, bytes] | None = None, empty: str = ""
    ) -> None:
        """Take a unified diff and, where known, the files' whole new texts."""
        key = (diff, len(new_texts or {}))
        self._empty = line((empty, "muted"))
        if key == self._shown and self.changes:
            return
        self._shown = key
        self.changes = parse(diff, new_texts)
        self.context, self.lexed, self._syntax = CONTEXT, False, {}
        self._arrange()
        self._go_to_first()
        if self.changes:
            self._colour()

    def _go_to_first(self) -> None:
        """To the first change, as soon as it is known how wide the view is."""
        self._unplaced = not self.size.width
        first = hunk_starts(self._rows)
        top = max(0, first[0] - self.context - 1) if first else 0
        self.scroll_to(x=0, y=self._row_position(top), animate=False)

    split_cells = SPLIT_CELLS

    @property
    def too_narrow_to_split(self) -> bool:
        return self.size.width < SPLIT_CELLS

    @property
    def shown(self) -> list[str]:
        """The rows as text, for tests and for reading aloud."""
        return [f"{_mark(row)} {row.text}" for row in self._rows]

    def toggle_split(self) -> bool:
        """Side by side or unified; returns whether it is side by side now."""
        self.side_by_side = not self.side_by_side
        self._arrange()
        return self.side_by_side

    def more_context(self, factor: int) -> None:
        """Twice (or, with a negative factor, half) the unchanged lines around changes."""
        grown = self.context * 2 if factor > 0 else self.context // 2
        self.context = max(1, min(MOST_CONTEXT, grown))
        self._arrange()

    def go_to_hunk(self, step: int) -> None:
        """Scroll to the next or the previous run of changes."""
        starts = [self._row_position(at) for at in hunk_starts(self._rows)]
        here = self.scroll_offset.y + min(self.context, 2)
        ahead = [y for y in starts if y > here] if step > 0 else [y for y in starts if y < here]
        if ahead:
            target = ahead[0] if step > 0 else ahead[-1]
            self.scroll_to(y=max(0, target - min(self.context, 2)), animate=False)

    @work(thread=True, exclusive=True, group="lex")
    def _colour(self) -> None:
        changes, found = self.changes, dict[tuple[str, str], Syntax]()
        for change in changes:
            for side, text in (("old", change.old_text), ("new", change.new_text)):
                found[change.path, side] = lex(text, change.path)
                if get_current_worker().is_cancelled:
                    return
        self.app.call_from_thread(self._take_colours, changes, found)

    def _take_colours(
        self, changes: list[FileChange], found: dict[tuple[str, str], Syntax]
    ) -> None:
        if changes is self.changes:
            self._syntax = found
            self.lexed = True
            self.refresh()

    def on_resize(self, _event: Resize) -> None:
        self._arrange()
        if self._unplaced:
            self._go_to_first()

    def _arrange(self) -> None:
        self._rows = unified(self.changes, self.context)
        self._split = split(self._rows) if self._is_split() else []
        parts = (
            map(self._parts_of_pair, self._split) if self._split else map(self._parts, self._rows)
        )
        self._places = [(at, part) for at, many in enumerate(parts) for part in range(many)]
        self.virtual_size = Size(1, len(self._places))
        self.refresh()

    def _parts(self, row: DiffRow | None, cells: int = 0) -> int:
        """How many rows of the view (of `cells`; 0: all of it) the row's text takes."""
        if row is None or row.kind in ("hunk", "file", "note"):
            return 1
        room = self._room(cells or self._width())
        return max(1, -(-cell_len(_text(row)) // room))

    def _parts_of_pair(self, pair: SplitRow) -> int:
        left, right = self._halves()
        return max(self._parts(pair.left, left), self._parts(pair.right, right))

    def _width(self) -> int:
        """Cells of a row, beside the bar that shows how far one is."""
        return max(1, self.scrollable_content_region.width or self.size.width)

    def _halves(self) -> tuple[int, int]:
        half = (self._width() - 1) // 2
        return half, self._width() - half - 1

    def _room(self, cells: int) -> int:
        """Cells of code in a row of `cells`."""
        return max(1, cells - self._gutter() - 1)

    def _is_split(self) -> bool:
        return self.side_by_side and self.size.width >= SPLIT_CELLS

    def _row_position(self, index: int) -> int:
        """The first row of the view that shows a row of the diff."""
        if self._split:
            row = self._rows[index]
            pairs = enumerate(self._split)
            index = next((at for at, pair in pairs if row in (pair.left, pair.right)), index)
        return next((y for y, (at, _) in enumerate(self._places) if at == index), 0)

    def _digits(self) -> int:
        highest = max((row.new or row.old or 0 for row in self._rows), default=0)
        return max(3, len(str(highest)))

    def _gutter(self) -> int:
        return self._digits() + 3

    def render_line(self, y: int) -> Strip:
        width, y = self._width(), y + self.scroll_offset.y
        if not self.changes:
            wrapped = wrap(self._empty[0][0], width - 2, "muted") if self._empty else []
            return strip_of(self, wrapped[y] if y < len(wrapped) else (), width)
        if y >= len(self._places):
            return strip_of(self, (), width)
        at, part = self._places[y]
        if self._split:
            return self._split_strip(self._split[at], part, width)
        row = self._rows[at]
        if row.kind in ("hunk", "file", "note"):
            return self._label_strip(row, width)
        number = row.new if row.new is not None else row.old
        return self._code_strip(row, number, width, part)

    def _label_strip(self, row: DiffRow, width: int) -> Strip:
        role = "hunk" if row.kind == "hunk" else "title" if row.kind == "file" else "warn"
        lead = " " * (self._gutter() - 1) if row.kind == "hunk" else " "
        return strip_of(
            self,
            fit(
                line((lead + "⋯ " if row.kind == "hunk" else lead, role), (safe(row.text), role)),
                width,
            ),
            width,
        )

    def _split_strip(self, row: SplitRow, part: int, width: int) -> Strip:
        if row.left is not None and row.left is row.right and row.left.kind not in ("same",):
            return self._label_strip(row.left, width)
        left_cells, right_cells = self._halves()
        left = self._side(row.left, "old", left_cells, part)
        right = self._side(row.right, "new", right_cells, part)
        bar = Strip([Segment("│", style_of(self, "faint"))])
        return Strip.join([left, bar, right])

    def _side(self, row: DiffRow | None, side: str, width: int, part: int) -> Strip:
        if row is None or part >= self._parts(row, width):
            return strip_of(self, ((" " * width, "filler"),), width)
        number = row.old if side == "old" else row.new
        return self._code_strip(row, number, width, part, side)

    def _code_strip(
        self, row: DiffRow, number: int | None, width: int, part: int, side: str = ""
    ) -> Strip:
        """One part of a line; only the first has its number."""
        role = row.kind if row.kind in ("added", "removed") else "text"
        base = style_of(self, role)
        gutter_role = f"{row.kind}-gutter" if role != "text" else "gutter"
        shown = number if number and not part else ""
        gutter = Segment(
            f" {shown:>{self._digits()}} {_mark(row)} "[: self._gutter() + 1],
            style_of(self, gutter_role),
        )
        body = self._code(row, base, side or ("old" if row.kind == "removed" else "new"))
        room = self._room(width)
        code = Strip(body).crop(part * room, (part + 1) * room).adjust_cell_length(room, base)
        return Strip([gutter, *code], width)

    def _code(self, row: DiffRow, base: Style, side: str) -> list[Segment]:
        """The line's segments: syntax colour in front, changed words behind."""
        text = _text(row)
        if text != row.text:
            return [Segment(text, base)]
        cuts = {0, len(text)}
        syntax = self._spans(row, side)
        for start, end, _ in syntax:
            cuts.update((start, end))
        for start, end in row.changed:
            cuts.update((start, end))
        points = sorted(cut for cut in cuts if 0 <= cut <= len(text))
        word = style_of(self, f"{row.kind}-word") if row.changed else base
        out: list[Segment] = []
        for start, end in pairwise(points):
            style = word if any(a <= start < b for a, b in row.changed) else base
            colour = next((name for a, b, name in syntax if a <= start < b), "")
            if colour:
                style += overlay(self, colour)
            out.append(Segment(text[start:end], style))
        return out

    def _spans(self, row: DiffRow, side: str) -> list[tuple[int, int, str]]:
        lines = self._syntax.get((row.file, side))
        number = row.old if side == "old" else row.new
        if not lines or number is None:
            return []
        return lines[number - 1] if number <= len(lines) else []


def _text(row: DiffRow) -> str:
    """The row's text as it is drawn."""
    return safe(row.text.replace("\t", "    "))


def _mark(row: DiffRow) -> str:
    return {"added": "+", "removed": "-"}.get(row.kind, " ")
