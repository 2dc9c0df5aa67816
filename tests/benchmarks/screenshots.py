"""Pictures of every screen, drawn by the app itself over a scripted engine.

    python -m tests.benchmarks.screenshots docs/images

writes an SVG for each screen and, where `rsvg-convert` is installed, a PNG beside it. Every
segment is placed at its own column and block characters are drawn as shapes, so that the
picture does not depend on the fonts of the machine that shows it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from rich.cells import cell_len
from rich.color import Color
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from textual.strip import Strip

from selfheal_engine.config import Settings
from selfheal_engine.model import Snapshot
from selfheal_tui.app import SelfhealApp
from tests.tui import fake_engine

CELL_W, CELL_H, MARGIN = 8.4, 18.0, 14.0
FONT = "'DejaVu Sans Mono','Menlo','Consolas',monospace"
INK = TerminalTheme(
    (17, 21, 26),
    (200, 208, 216),
    [(17, 21, 26), (224, 108, 117), (152, 195, 121), (229, 192, 123),
     (97, 175, 239), (198, 120, 221), (86, 182, 194), (171, 178, 191)],
    [(92, 99, 112), (224, 108, 117), (152, 195, 121), (229, 192, 123),
     (97, 175, 239), (198, 120, 221), (86, 182, 194), (255, 255, 255)],
)  # fmt: skip
"""What a terminal's own sixteen colours look like in the picture."""

BOX = {
    "─": "M0 9H8.4", "┄": "M0.8 9H3.2M5 9H7.6", "│": "M4.2 0V18",
    "╭": "M4.2 18V12Q4.2 9 8.4 9", "╮": "M0 9Q4.2 9 4.2 12V18",
    "╰": "M4.2 0V6Q4.2 9 8.4 9", "╯": "M0 9Q4.2 9 4.2 6V0",
    "├": "M4.2 0V18M4.2 9H8.4", "└": "M4.2 0V9H8.4", "┤": "M4.2 0V18M0 9H4.2",
}  # fmt: skip
"""Line-drawing characters as paths in a cell of 8.4 x 18."""

EIGHTHS = {ch: n for n, ch in enumerate("▁▂▃▄▅▆▇█", 1)}


@dataclass(frozen=True)
class Picture:
    """One screen: its state, the keys that lead to it, the size of the terminal."""

    name: str
    snapshot: Snapshot
    keys: tuple[str, ...] = ()
    size: tuple[int, int] = (120, 40)
    settings: Settings = Settings()
    environ: tuple[tuple[str, str], ...] = (("COLORTERM", "truecolor"),)


def pictures() -> list[Picture]:
    """Every screen once, the dashboard in its states and sizes."""
    failing, small = fake_engine.failing(), (80, 24)
    plain = Settings(ascii=True)
    return [
        Picture("dashboard", failing),
        Picture("dashboard-searching", fake_engine.searching()),
        Picture("dashboard-80x24", failing, size=small),
        Picture("dashboard-200x60", failing, size=(200, 60)),
        Picture("dashboard-no-color", failing, environ=(("NO_COLOR", "1"),)),
        Picture("dashboard-ascii", failing, settings=plain),
        Picture("dashboard-light", failing, settings=Settings(theme="selfheal-light")),
        Picture("review", failing, ("enter",)),
        Picture("review-split", failing, ("enter", "n", "s"), (160, 40)),
        Picture("review-traceback", failing, ("enter", "w")),
        Picture("review-80x24", failing, ("enter",), small),
        Picture("approve", failing, ("a",)),
        Picture("zoom", failing, ("z",)),
        Picture("history", failing, ("2",)),
        Picture("service", fake_engine.stuck(), ("3",)),
        Picture("settings", failing, ("4",)),
        Picture("help", failing, ("question_mark",)),
        Picture("jump", failing, ("f",)),
        Picture("palette", failing, ("colon",)),
        Picture("tiny-40x10", failing, (), (40, 10)),
    ]


async def draw(picture: Picture) -> str:
    """The screen as SVG."""
    kept = {k: os.environ.get(k) for k in ("NO_COLOR", "COLORTERM", "TERM")}
    for key in kept:
        os.environ.pop(key, None)
    os.environ.update(picture.environ)
    try:
        engine = fake_engine.FakeEngine(picture.snapshot)
        app = SelfhealApp(engine, picture.settings, owns_service=True)
        async with app.run_test(size=picture.size) as pilot:
            await pilot.pause()
            await pilot.press(*picture.keys)
            await app.workers.wait_for_complete()
            await pilot.pause()
            return to_svg(screen_strips(app), *picture.size)
    finally:
        for key, value in kept.items():
            os.environ.pop(key, None)
            if value is not None:
                os.environ[key] = value


def screen_strips(app: SelfhealApp) -> list[Strip]:
    """What the terminal shows, the screens below a window included."""
    return app.screen._compositor.render_strips()


def to_svg(strips: list[Strip], columns: int, rows: int) -> str:
    """Strips of a screen as one SVG with every cell in its place."""
    width, height = columns * CELL_W + 2 * MARGIN, rows * CELL_H + 2 * MARGIN
    ground = _background(strips)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}">',
        f'<rect width="100%" height="100%" rx="8" fill="{ground}"/>',
        f'<g font-family="{FONT}" font-size="14" xml:space="preserve">',
    ]
    texts: list[str] = []
    for y, strip in enumerate(strips[:rows]):
        x = 0
        for text, style, _ in strip:
            if text:
                _place(out, texts, text, style or Style(), x, y, ground)
            x += cell_len(text)
    return "\n".join([*out, *texts, "</g></svg>\n"])


def _place(
    shapes: list[str], texts: list[str], text: str, style: Style, x: int, y: int, ground: str
) -> None:
    front, back = _colours(style, ground)
    left, top = MARGIN + x * CELL_W, MARGIN + y * CELL_H
    if back != ground:
        shapes.append(_rect(left, top, len(text) * CELL_W, CELL_H, back))
    run = ""
    for at, ch in enumerate(text):
        if ch in EIGHTHS or ch == "░":
            high = CELL_H * EIGHTHS.get(ch, 8) / 8
            opacity = ' fill-opacity="0.25"' if ch == "░" else ""
            cell = left + at * CELL_W
            shapes.append(_rect(cell, top + CELL_H - high, CELL_W, high, front, opacity))
            ch = " "  # noqa: PLW2901
        elif ch in BOX:
            place = f"translate({left + at * CELL_W:.1f} {top:.1f})"
            texts.append(f'<path d="{BOX[ch]}" transform="{place}" stroke="{front}" fill="none"/>')
            ch = " "  # noqa: PLW2901
        run += ch
    start = 0
    while start < len(run):
        if run[start] == " ":
            start += 1
            continue
        end = start
        while end < len(run) and run[end] != " ":
            end += 1
        word = run[start:end]
        look = ' font-weight="bold"' if style.bold else ""
        look += ' text-decoration="underline"' if style.underline else ""
        look += ' fill-opacity="0.6"' if style.dim else ""
        texts.append(
            f'<text x="{left + start * CELL_W:.1f}" y="{top + CELL_H * 0.75:.1f}" '
            f'textLength="{len(word) * CELL_W:.1f}" lengthAdjust="spacingAndGlyphs" '
            f'fill="{front}"{look}>{escape(word)}</text>'
        )
        start = end


def _rect(x: float, y: float, w: float, h: float, fill: str, more: str = "") -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{w + 0.3:.1f}" height="{h + 0.2:.1f}" '
        f'fill="{fill}" shape-rendering="crispEdges"{more}/>'
    )


def _colours(style: Style, ground: str) -> tuple[str, str]:
    front = _hex(style.color, foreground=True) if style.color else INK.foreground_color.hex
    back = _hex(style.bgcolor, foreground=False) if style.bgcolor else ground
    if style.bgcolor is not None and style.bgcolor.is_default:
        back = ground
    return (back, front) if style.reverse else (front, back)


def _hex(colour: Color, *, foreground: bool) -> str:
    return colour.get_truecolor(INK, foreground=foreground).hex


def _background(strips: list[Strip]) -> str:
    for strip in reversed(strips[: len(strips) // 2]):
        for _, style, _ in strip:
            if style is not None and style.bgcolor is not None and not style.bgcolor.is_default:
                return _hex(style.bgcolor, foreground=False)
    return INK.background_color.hex


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 0 when all went well."""
    parser = argparse.ArgumentParser(description="Draw every screen of the app.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("docs/images"))
    parser.add_argument("--only", default="", help="names that begin so")
    parser.add_argument("--png", action="store_true", help="PNG as well (needs rsvg-convert)")
    args = parser.parse_args(arguments)
    args.folder.mkdir(parents=True, exist_ok=True)
    os.environ["TZ"] = "UTC"
    time.tzset()
    convert = shutil.which("rsvg-convert") if args.png else None
    for picture in pictures():
        if not picture.name.startswith(args.only):
            continue
        place = args.folder / f"{picture.name}.svg"
        place.write_text(asyncio.run(draw(picture)), encoding="utf-8")
        if convert:
            subprocess.run(
                [convert, "-z", "1.3", str(place), "-o", str(place.with_suffix(".png"))], check=True
            )
        print(place)
    return 0


if __name__ == "__main__":
    sys.exit(main())
