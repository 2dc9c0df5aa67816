"""The empty dashboard, drawn by a few escape codes while Python is still importing the app.

Loading the toolkit takes a third of a second and the service may take longer to start; a
person who opens the app should see it at once. Nothing here imports more than the standard
library. The app paints over it, cell by cell the same.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TextIO

from selfheal_tui.plain_characters import in_ascii, locale_is_ascii

ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[0m\x1b[?25h\x1b[?1049l"
GROUND, BAR = ("17;21;26", "16"), ("22;27;33", "16")
FRAME, TITLE = ("43;52;61", "23"), ("132;145;157", "245")
"""The theme's colours, each as red, green and blue and as the nearest of 256."""

TITLES = (
    "cpu_usage",
    "memory_usage",
    "error_rate",
    "response_time",
    "queue_depth",
    "deadlock_risk",
    "anomaly_score",
    "what the engine does",
)


@contextmanager
def first_frame(stream: TextIO, words: str, *, ascii_only: bool = False) -> Iterator[None]:
    """Draw, and take the drawing away again when what follows fails."""
    try:
        columns, rows = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        yield
        return
    drawn = frame(columns, rows, words, os.environ)
    ascii_only = ascii_only or locale_is_ascii(os.environ)
    _send(stream, ENTER + (in_ascii(drawn) if ascii_only else drawn))
    try:
        yield
    except BaseException:
        _send(stream, LEAVE)
        raise


def frame(columns: int, rows: int, words: str, environ: Mapping[str, str]) -> str:
    """The escape codes and text of the empty dashboard."""
    colours = _colours_of(environ)
    ground, bar = _colour(FRAME, GROUND, colours), _colour(TITLE, BAR, colours)
    title = _colour(TITLE, GROUND, colours)
    lines = [f"{bar}{f' {words}'[:columns]:<{columns}}"]
    if columns >= 100 and rows >= 30:
        panel_rows = 12 if rows >= 50 else 7 if rows >= 38 else 6
        lines += _panels(columns, panel_rows, ground, title)
    else:
        lines += [f"{title}{f' {name}'[:columns]:<{columns}}" for name in TITLES]
    blank = f"{ground}{' ' * columns}"
    lines = [*lines, *[blank] * (rows - 1 - len(lines))][: max(0, rows - 1)]
    lines.append(f"{bar}{' ' * (columns - 1)}")
    return "".join(f"\x1b[{at};1H{line}" for at, line in enumerate(lines, 1)) + "\x1b[0m"


def _panels(columns: int, rows: int, ground: str, title: str) -> list[str]:
    """Two rows of four frames with their titles."""
    out: list[str] = []
    widths = [columns * (at + 1) // 4 - columns * at // 4 for at in range(4)]
    for names in (TITLES[:4], TITLES[4:]):
        tops = [
            f"{ground}╭─{title} {name} {ground}{'─' * (width - len(name) - 5)}╮"
            for name, width in zip(names, widths, strict=True)
        ]
        out.append("".join(tops))
        middle = "".join(f"│{' ' * (width - 2)}│" for width in widths)
        out += [ground + middle] * (rows - 2)
        out.append(ground + "".join(f"╰{'─' * (width - 2)}╯" for width in widths))
    return out


def _colours_of(environ: Mapping[str, str]) -> int:
    """How many colours the terminal has, as far as its environment says: 0, 256 or 1 << 24."""
    if "NO_COLOR" in environ:
        return 0
    if environ.get("COLORTERM") in ("truecolor", "24bit"):
        return 1 << 24
    return 256 if environ.get("TERM", "").endswith(("256color", "kitty")) else 0


def _colour(front: tuple[str, str], back: tuple[str, str], colours: int) -> str:
    if colours == 256:
        return f"\x1b[38;5;{front[1]};48;5;{back[1]}m"
    return f"\x1b[38;2;{front[0]};48;2;{back[0]}m" if colours else ""


def _send(stream: TextIO, text: str) -> None:
    """A terminal that has gone is noticed by the app soon enough."""
    try:
        stream.write(text)
        stream.flush()
    except (OSError, ValueError):
        sys.stderr.flush()
