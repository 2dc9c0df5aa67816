"""Widgets send again only what changed, and draw large things fast."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import App, ComposeResult
from textual.geometry import Region

from selfheal_widgets.diff_viewer import DiffViewer
from selfheal_widgets.lines import Line, line
from selfheal_widgets.quiet import QuietLines, changed_cells
from selfheal_widgets.row_list import Row, RowList


class Board(QuietLines):
    DEFAULT_CSS = "Board { height: 3; }"
    texts: tuple[str, ...] = ("one", "two", "three")

    def build(self, width: int, height: int) -> Sequence[Line]:
        return [line(text) for text in self.texts]


class Items(RowList):
    items: tuple[str, ...] = ("a", "b", "c")

    def build(self, width: int) -> Sequence[Row]:
        return [Row(item, (line(item), line(("  more", "muted")))) for item in self.items]


class Stage(App[None]):
    def compose(self) -> ComposeResult:
        yield Board()
        yield Items()


def _watch(widget: QuietLines | RowList) -> list[Region]:
    seen: list[Region] = []
    kept = widget.refresh

    def refresh(*regions: Region, **more: bool) -> object:
        seen.extend(regions or [Region(0, 0, 0, 0)])
        return kept(*regions, **more)

    widget.refresh = refresh  # type: ignore[method-assign,assignment]
    return seen


async def test_only_the_rows_that_differ_are_sent() -> None:
    async with Stage().run_test(size=(40, 12)) as pilot:
        board = pilot.app.query_one(Board)
        await pilot.pause()
        seen = _watch(board)
        board.repaint()
        assert seen == []
        board.texts = ("one", "twX", "three")
        board.repaint()
        assert [(region.y, region.width) for region in seen] == [(1, 3)]


async def test_a_row_is_sent_up_to_its_last_difference() -> None:
    assert changed_cells(line("abcdef"), line("abXdef")) == 3
    assert changed_cells(line("abc"), line("abc")) == 0
    assert changed_cells(line("abc"), line("abcd")) == 4
    assert changed_cells(line(("abc", "muted")), line(("abc", "bad"))) == 3


async def test_a_new_row_at_the_end_leaves_the_others_alone() -> None:
    async with Stage().run_test(size=(40, 20)) as pilot:
        items = pilot.app.query_one(Items)
        await pilot.pause()
        seen = _watch(items)
        items.items = ("a", "b", "c", "d")
        items.repaint()
        assert {region.y for region in seen} == {6, 7}


async def test_the_row_under_the_cursor_stays_in_view() -> None:
    async with Stage().run_test(size=(40, 9)) as pilot:
        items = pilot.app.query_one(Items)
        items.focus()
        await pilot.press("G")
        assert items.selected == "c"
        assert items.scroll_offset.y + items.size.height >= 6
        await pilot.press("g")
        assert items.scroll_offset.y == 0


async def test_no_row_stays_hidden_above_when_the_list_gets_shorter() -> None:
    async with Stage().run_test(size=(40, 9)) as pilot:
        items = pilot.app.query_one(Items)
        items.items = tuple("abcdef")
        items.repaint()
        await pilot.pause()
        items.select("f")
        await pilot.pause()
        assert items.scroll_offset.y > 0
        items.items = ("e", "f")
        items.repaint()
        await pilot.pause()
        assert items.scroll_offset.y == 0


async def test_a_row_that_vanishes_gives_the_cursor_to_the_first() -> None:
    async with Stage().run_test(size=(40, 12)) as pilot:
        items = pilot.app.query_one(Items)
        items.select("b")
        items.items = ("a", "c")
        items.repaint()
        await pilot.pause()
        assert items.selected == "a"


class Viewer(App[None]):
    def compose(self) -> ComposeResult:
        yield DiffViewer()


async def test_a_file_of_3000_lines_renders_only_what_is_in_view() -> None:
    text = "".join(f"def f_{n}(x):\n    return x + {n}\n\n" for n in range(1000))
    new = text.replace("return x + 500\n", "return x - 500\n")
    diff = (
        "--- a/big.py\n+++ b/big.py\n@@ -1502,1 +1502,1 @@\n"
        "-    return x + 500\n+    return x - 500\n"
    )
    async with Viewer().run_test(size=(100, 30)) as pilot:
        viewer = pilot.app.query_one(DiffViewer)
        viewer.show(diff, {"big.py": new.encode()})
        for _ in range(12):
            viewer.more_context(1)
        rendered: list[int] = []
        kept = viewer.render_line
        viewer.render_line = lambda y: rendered.append(y) or kept(y)  # type: ignore[method-assign,func-returns-value]
        await pilot.pause()
        viewer.refresh()
        await pilot.pause()
        assert len(viewer.shown) == 3001
        assert 0 < len(set(rendered)) <= 30
