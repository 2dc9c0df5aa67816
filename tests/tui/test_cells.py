"""Only what the terminal does not show already is sent, and the result is the same."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from selfheal_tui.cells import CellMemory

WIDTH, HEIGHT = 24, 4
STYLES = (
    "", "1;38;2;1;2;3;48;2;9;9;9", "38;2;4;5;6;48;2;9;9;9", "48;2;7;7;7", "7;39;49", "4;31",
    "1;2;31", "2;31;44", "1;4;9;32",
)  # fmt: skip


class Emulator:
    """A terminal of a few cells that understands what Textual's frames are made of."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, int], object] = {
            (y, x): (" ", (frozenset(), "", ""))
            for y in range(1, HEIGHT + 1)
            for x in range(1, WIDTH + 1)
        }
        self.cursor = (1, 1)
        self.attributes: set[int] = set()
        self.front = self.back = ""

    def feed(self, data: str) -> None:
        for move_y, move_x, sgr, text in re.findall(
            r"\x1b\[(\d+);(\d+)H|\x1b\[([\d;]*)m|([^\x1b\n]+)|\n", data
        ):
            if move_y:
                self.cursor = (int(move_y), int(move_x))
            elif text:
                for ch in text:
                    y, x = self.cursor
                    self.cells[y, x] = (ch, self._look(ch))
                    self.cursor = (y, x + 1)
            elif sgr:
                self._style([int(code) for code in sgr.split(";")])

    def _style(self, codes: list[int]) -> None:
        """SGR as ECMA-48 and xterm have it."""
        while codes:
            code = codes.pop(0)
            if code == 0:
                self.attributes, self.front, self.back = set(), "", ""
            elif code < 10:
                self.attributes.add(code)
            elif 22 <= code <= 29:
                self.attributes -= {1, 2} if code == 22 else {code - 20}
            elif code in (38, 48):
                colour = ";".join(map(str, codes[:4]))
                del codes[:4]
                self.front, self.back = (colour, self.back) if code == 38 else (self.front, colour)
            elif 30 <= code <= 39:
                self.front = "" if code == 39 else str(code)
            else:
                assert 40 <= code <= 49
                self.back = "" if code == 49 else str(code)

    def _look(self, ch: str) -> tuple[frozenset[int], str, str]:
        """What can be seen of the style; of a space only its ground and its lines."""
        if ch != " " or 7 in self.attributes:
            return frozenset(self.attributes), self.front, self.back
        return frozenset(self.attributes & {4, 9}), "", self.back


@st.composite
def frames(draw: st.DrawFn) -> str:
    """An update: pieces of text at places, each styled and reset, rows parted by newlines."""
    out = []
    for _ in range(draw(st.integers(1, 6))):
        y, x = draw(st.integers(1, HEIGHT)), draw(st.integers(1, WIDTH - 1))
        out.append(f"\x1b[{y};{x}H")
        room = WIDTH - x + 1
        while room > 0 and draw(st.booleans()):
            text = draw(st.text("ab █ ", min_size=1, max_size=room))
            style = draw(st.sampled_from(STYLES))
            out.append(f"\x1b[{style}m{text}\x1b[0m" if style else text)
            room -= len(text)
        out.append("\n")
    return "".join(out) + f"\x1b[{draw(st.integers(1, HEIGHT))};1H"


@given(st.lists(frames(), max_size=8))
def test_the_screen_is_the_same_with_fewer_bytes(updates: list[str]) -> None:
    memory, whole, reduced = CellMemory(), Emulator(), Emulator()
    for update in updates:
        shorter = memory.reduce(update)
        assert len(shorter) <= len(update)
        whole.feed(update)
        reduced.feed(shorter)
        assert reduced.cells == whole.cells
        assert reduced.cursor == whole.cursor


def test_what_is_on_the_screen_is_not_sent_again() -> None:
    memory = CellMemory()
    frame = "\x1b[1;1H\x1b[31mhealth 61\x1b[0m\n\x1b[1;1H"
    assert memory.reduce(frame)
    assert memory.reduce(frame) == ""
    assert memory.reduce(frame.replace("61", "62")) == "\x1b[1;9H\x1b[31m2\x1b[0m\x1b[1;1H"


def test_a_change_of_colour_sends_that_colour_alone() -> None:
    ground = "48;2;9;9;9"
    frame = f"\x1b[1;1H\x1b[1;31;{ground}mbad\x1b[0m\x1b[32;{ground}mgood\x1b[0m\n\x1b[1;1H"
    assert (
        CellMemory().reduce(frame)
        == f"\x1b[1;1H\x1b[1;31;{ground}mbad\x1b[22;32mgood\x1b[0m\x1b[1;1H"
    )


def test_after_a_resize_everything_is_sent_again() -> None:
    memory = CellMemory()
    frame = "\x1b[1;1Hhealth\x1b[1;1H"
    memory.reduce(frame)
    memory.forget()
    assert memory.reduce(frame) == frame


def test_what_is_not_understood_is_passed_on_and_forgotten() -> None:
    memory = CellMemory()
    frame = "\x1b[1;1Hhealth\x1b[1;1H"
    for odd in ("\x1b[2J", "\x1b[1;1Hlogs\x1b[K", "\x1b[?1049h", "\x1b[1;1H日本"):
        memory.reduce(frame)
        assert memory.reduce(odd) == odd
        assert memory.reduce(frame) == frame


def test_the_bell_and_notifications_pass_and_nothing_is_forgotten() -> None:
    memory = CellMemory()
    frame = "\x1b[1;1Hhealth\x1b[1;1H"
    memory.reduce(frame)
    for silent in ("\x07", "\x1b]9;a: b\x07\x1b]777;notify;a;b\x07", "\x1b[?2026h"):
        assert memory.reduce(silent) == silent
    assert memory.reduce(frame) == ""
