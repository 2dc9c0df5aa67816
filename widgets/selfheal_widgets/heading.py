"""A line that names what stands below it, with a word on the right."""

from __future__ import annotations

from collections.abc import Sequence

from selfheal_widgets.lines import Line, line, spread
from selfheal_widgets.quiet import QuietLines


class Heading(QuietLines):
    """A title and, at the right, a remark."""

    def __init__(self, title: str, *, id: str | None = None, classes: str = "heading") -> None:
        super().__init__(id=id, classes=classes)
        self.title = title
        self.remark = ""

    def show(self, title: str, remark: str = "") -> None:
        self.title, self.remark = title, remark
        self.repaint()

    def build(self, width: int, height: int) -> Sequence[Line]:
        return [spread(line((self.title, "title")), line((self.remark, "muted")), width)]
