"""A page of text lines made by a function of the width, scrolled when too long."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from selfheal_widgets.lines import Line
from selfheal_widgets.row_list import Row, RowList


class LinesPage(RowList):
    """Repaints only the lines that came out different."""

    def __init__(
        self,
        lines: Callable[[int], Sequence[Line]],
        *,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(cursor=False, id=id, classes=classes)
        self._lines_for = lines

    def build(self, width: int) -> Sequence[Row]:
        return [Row("", tuple(self._lines_for(width)))]
