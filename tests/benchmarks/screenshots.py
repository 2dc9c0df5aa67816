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
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from rich.cells import cell_len
from rich.color import Color
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from textual.app import App
from textual.strip import Strip

from selfheal_engine.config import Settings
from selfheal_engine.model import HealthCause, HealthScore, Snapshot
from selfheal_engine.sources.discovery import DiscoveredService
from selfheal_engine.sources.glance import Glance
from selfheal_tui.app import SelfhealApp
from selfheal_tui.screens.picker import Picker, ServiceList
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
    "┬": "M0 9H8.4M4.2 9V14", "━": "M0 8.2H8.4M0 9H8.4M0 9.8H8.4",
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
    extra: bool = False
    """A variant that is looked at with --all and not kept in the documentation."""


def pictures() -> list[Picture]:
    """Every screen once, the dashboard in its states and sizes."""
    failing, small = fake_engine.failing(), (80, 24)
    plain = Settings(ascii=True)
    return [
        Picture("picker", failing, size=(100, 16)),
        Picture("dashboard", failing),
        Picture("dashboard-calm", fake_engine.calm(), extra=True),
        Picture("dashboard-learning", fake_engine.learning(), size=small, extra=True),
        Picture("dashboard-searching", fake_engine.searching(), extra=True),
        Picture("dashboard-80x24", failing, size=small),
        Picture("dashboard-200x60", failing, size=(200, 60), extra=True),
        Picture("dashboard-no-color", failing, environ=(("NO_COLOR", "1"),)),
        Picture("dashboard-ascii", failing, settings=plain, extra=True),
        Picture("dashboard-16", failing, environ=(("TERM", "xterm"),), extra=True),
        Picture("dashboard-light", failing, settings=Settings(theme="selfheal-light")),
        Picture("review", failing, ("enter",)),
        Picture("review-split", failing, ("enter", "n", "s")),
        Picture("review-traceback", failing, ("enter", "w"), extra=True),
        Picture("review-80x24", failing, ("enter",), small, extra=True),
        Picture("approve", failing, ("a",)),
        Picture("zoom", failing, ("z",)),
        Picture("history", failing, ("2",)),
        Picture("service", fake_engine.stuck(), ("3",)),
        Picture("settings", failing, ("4",)),
        Picture("help", failing, ("question_mark",)),
        Picture("jump", failing, ("f",), extra=True),
        Picture("palette", failing, ("colon",)),
        Picture("tiny-40x10", failing, (), (40, 10), extra=True),
    ]


async def draw(picture: Picture) -> str:
    """The screen as SVG."""
    kept = {k: os.environ.get(k) for k in ("NO_COLOR", "COLORTERM", "TERM")}
    for key in kept:
        os.environ.pop(key, None)
    os.environ.update(picture.environ)
    try:
        app = app_of(picture)
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


def app_of(picture: Picture) -> App[Any]:
    if picture.name.startswith("picker"):
        return ScriptedPicker(picture.settings)
    engine = fake_engine.FakeEngine(picture.snapshot)
    return SelfhealApp(engine, picture.settings, owns_service=True)


class ScriptedPicker(Picker):
    """The picker over three services that are not there."""

    def action_look(self) -> None:  # type: ignore[override]
        now = time.time()
        ill = HealthScore(39.0, (HealthCause("failed requests", 61.0, "error_rate"),))
        self.query_one(ServiceList).show(
            [
                Glance(_found("shop", 4211, now - 7300, 3), ill, 241, 41, 41, 60.0),
                Glance(_found("mail", 905, now - 90_000, 1), HealthScore(100.0), 12, 0, 0, 60.0),
                Glance(_found("billing", 977, now - 640, 5), HealthScore(94.0), 1830, 3, 3, 60.0),
            ]
        )


def _found(name: str, pid: int, started_s: float, processes: int) -> DiscoveredService:
    command = f"/opt/venv/bin/python /opt/venv/bin/gunicorn -w 2 {name}:app"
    return DiscoveredService(
        name, pid, command, f"/srv/{name}", started_s, "", 77 * (name == "mail"), processes
    )


def screen_strips(app: App[Any]) -> list[Strip]:
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
    run, at = "", 0
    for ch, same in groupby(text):
        length = len(list(same))
        cell = left + at * CELL_W
        if ch in EIGHTHS or ch == "░":
            high = CELL_H * EIGHTHS.get(ch, 8) / 8
            opacity = ' fill-opacity="0.25"' if ch == "░" else ""
            shapes.append(_rect(cell, top + CELL_H - high, CELL_W * length, high, front, opacity))
        elif ch in BOX:
            lines = BOX[ch].replace("H8.4", f"H{CELL_W * length:.1f}") if ch in "─━" else BOX[ch]
            for copy in range(1 if ch in "─━" else length):
                place = f"translate({cell + copy * CELL_W:.1f} {top:.1f})"
                texts.append(
                    f'<path d="{lines}" transform="{place}" stroke="{front}" fill="none"/>'
                )
        run += (" " if ch in EIGHTHS or ch == "░" or ch in BOX else ch) * length
        at += length
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
    parser.add_argument("--all", action="store_true", help="the variants too, to look at")
    parser.add_argument("--png", action="store_true", help="PNG as well (needs rsvg-convert)")
    args = parser.parse_args(arguments)
    args.folder.mkdir(parents=True, exist_ok=True)
    os.environ["TZ"] = "UTC"
    time.tzset()
    convert = shutil.which("rsvg-convert") if args.png else None
    for picture in pictures():
        if not picture.name.startswith(args.only) or (picture.extra and not args.all):
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
