"""What the terminal shows, cell by cell, so that nothing it shows already is sent again.

Textual repaints regions; when one cell of a widget's row changes, the row is sent from the
widget's left edge, and a new layout sends whole screens several times. Over a slow line that
is felt. `CellMemory.reduce` reads such an update, compares it with the cells on the screen
and gives back the shortest update with the same result.
"""

from __future__ import annotations

import re
from functools import cache

from rich.cells import cell_len

Cell = tuple[str, str]
"""A character and the parameters of its SGR sequence; a space keeps only what shows."""

TOKEN = re.compile(
    r"\x1b\[(?P<y>\d+);(?P<x>\d+)H"
    r"|\x1b\[(?P<sgr>[\d;]*)m"
    r"|(?P<newline>\r?\n)"
    r"|(?P<text>[^\x00-\x1f\x7f]+)"
    r"|(?P<other>.)",
    re.DOTALL,
)
SILENT = re.compile(r"(?:\x1b\[[?>=<][\d;]*\$?[a-zA-Z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x07)*")
"""Modes, titles, notifications, the bell: nothing that draws."""

SCREENS = ("\x1b[?1049", "\x1b[?47", "\x1b[?1047")
JOIN = 14
"""Unchanged cells between two changes that are cheaper to send than a movement and a style."""


class CellMemory:
    """The cells of one terminal. Whatever is not understood is passed on and forgets them."""

    def __init__(self) -> None:
        self._rows: dict[int, dict[int, Cell]] = {}
        self._cursor = (0, 0)

    def forget(self) -> None:
        """The terminal may show anything now: everything is sent again."""
        self._rows.clear()
        self._cursor = (0, 0)

    def reduce(self, update: str) -> str:
        """An update with the same result on the screen, as short as can be."""
        if SILENT.fullmatch(update):
            if any(switch in update for switch in SCREENS):
                self.forget()
            return update
        read = _read(update)
        if read is None:
            self.forget()
            return update
        cells, cursor = read
        out: list[str] = []
        style = ""
        for y in sorted(cells):
            for first, last in self._changed(y, cells[y]):
                style = _draw(out, y, first, last, cells[y], style)
        if style:
            out.append("\x1b[0m")
        if cursor is not None and (out or cursor != self._cursor):
            out.append(f"\x1b[{cursor[0]};{cursor[1]}H")
        self._cursor = cursor or (0, 0)
        reduced = "".join(out)
        return reduced if len(reduced) < len(update) else update

    def _changed(self, y: int, new: dict[int, Cell]) -> list[tuple[int, int]]:
        """First and last column of the parts that differ; the memory is brought up to date."""
        row = self._rows.setdefault(y, {})
        changed = [x for x in sorted(new) if row.get(x) != new[x]]
        row.update(new)
        out: list[tuple[int, int]] = []
        start = 0
        while start < len(changed):
            end = start
            while end + 1 < len(changed) and self._joins(changed[end], changed[end + 1], new):
                end += 1
            out.append((changed[start], changed[end]))
            start = end + 1
        return out

    def _joins(self, left: int, right: int, new: dict[int, Cell]) -> bool:
        """Whether two changed cells go into one run."""
        if right - left == 1:
            return True
        return right - left <= JOIN and all(x in new for x in range(left, right))


def _read(update: str) -> tuple[dict[int, dict[int, Cell]], tuple[int, int] | None] | None:
    """The cells that an update writes and where it leaves the cursor; None if not understood."""
    cells: dict[int, dict[int, Cell]] = {}
    y = x = 0
    sgr = ""
    cursor: tuple[int, int] | None = None
    for token in TOKEN.finditer(update):
        kind = token.lastgroup
        if kind == "x":
            y, x = int(token["y"]), int(token["x"])
            cursor = (y, x)
        elif kind == "sgr":
            sgr = _after(sgr, token["sgr"])
        elif kind == "text":
            text = token["text"]
            if not y or cell_len(text) != len(text):
                return None
            row = cells.setdefault(y, {})
            blank = _shown_by_a_space(sgr)
            for ch in text:
                row[x] = (ch, blank if ch == " " else sgr)
                x += 1
            cursor = None
        elif kind == "newline":
            y = 0
            cursor = None
        else:
            return None
    return cells, cursor


def _draw(out: list[str], y: int, first: int, last: int, cells: dict[int, Cell], style: str) -> str:
    """Add movement and text of neighbouring cells to `out`, with as little of SGR as does.

    `style` is what is in force before; what is in force afterwards is given back.
    """
    out.append(f"\x1b[{y};{first}H")
    for x in range(first, last + 1):
        ch, wanted = cells[x]
        if wanted != style and not (ch == " " and _shown_by_a_space(style) == wanted):
            out.append(f"\x1b[{_change(style, wanted)}m")
            style = wanted
        out.append(ch)
    return style


OFF = {"1": "22", "2": "22", "3": "23", "4": "24", "5": "25", "7": "27", "9": "29"}
"""SGR attributes and what ends them."""


@cache
def _change(before: str, after: str) -> str:
    """The shortest SGR parameters that lead from one style to another (ECMA-48, 8.3.117)."""
    whole = f"0;{after}" if before and after else after or "0"
    old, new = _parts(before), _parts(after)
    if not (old.keys() | new.keys()) <= {*OFF, "front", "back"}:
        return whole
    codes: list[str] = []
    gone = [key for key in old if key not in new]
    codes += dict.fromkeys(OFF[key] for key in gone if key in OFF)
    ended = {key for key, off in OFF.items() if off in codes}
    codes += ["39"] * ("front" in gone) + ["49"] * ("back" in gone)
    codes += [code for key, code in new.items() if old.get(key) != code or key in ended]
    return min(";".join(codes), whole, key=len)


def _parts(sgr: str) -> dict[str, str]:
    """Attributes and colours of a style, each by what it sets."""
    out: dict[str, str] = {}
    for part in _split(sgr):
        first = int(part.partition(";")[0])
        if first == 38 or 30 <= first <= 37 or 90 <= first <= 97:
            out["front"] = part
        elif first == 48 or 40 <= first <= 47 or 100 <= first <= 107:
            out["back"] = part
        else:
            out[part] = part
    return out


def _split(sgr: str) -> list[str]:
    """The parameters of a style, those of one colour together."""
    codes = sgr.split(";") if sgr else []
    out: list[str] = []
    at = 0
    while at < len(codes):
        length = 1
        if codes[at] in ("38", "48", "58") and at + 1 < len(codes):
            length = 5 if codes[at + 1] == "2" else 3
        out.append(";".join(codes[at : at + length]))
        at += length
    return out


@cache
def _after(before: str, parameters: str) -> str:
    """The SGR in force after a sequence; Textual resets before each new one."""
    if parameters in ("", "0"):
        return ""
    return f"{before};{parameters}" if before else parameters


@cache
def _shown_by_a_space(sgr: str) -> str:
    """The part of a style that a space shows: background, underline, strike; all if reversed."""
    kept: list[str] = []
    for part in _split(sgr):
        code = part.partition(";")[0]
        if code == "7":
            return sgr
        if code in ("4", "9", "21", "53") or (len(code) > 1 and code.startswith(("4", "10"))):
            kept.append(part)
    return ";".join(kept)
