"""The settings: each with its value, where it came from and what it means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Input

from selfheal_engine.config import Settings, describe
from selfheal_tui.actions import bindings
from selfheal_tui.screens.base import CockpitScreen
from selfheal_widgets.heading import Heading
from selfheal_widgets.key_hints import KeyHints
from selfheal_widgets.lines import Line, columns, line, safe, wrap
from selfheal_widgets.pages import LinesPage

BESIDE_CELLS = 52
"""Columns for the explanations from which on they stand beside the values."""


class SettingsScreen(CockpitScreen):
    """Read only: the file, the environment and the flags are where they are changed."""

    scope = "settings"
    BINDINGS: ClassVar[list[BindingType]] = bindings("settings")
    AUTO_FOCUS = "LinesPage"

    def __init__(self) -> None:
        super().__init__()
        self.needle = ""

    def compose(self) -> ComposeResult:
        yield Heading(" SETTINGS", id="screen-title", classes="")
        yield LinesPage(self._lines, id="settings-page", classes="page")
        yield Input(placeholder="words to find in the settings", id="filter")
        yield KeyHints(id="hints")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#screen-title", Heading).show(
            " SETTINGS", "a flag wins over $SELFHEAL_…, that over config.toml "
        )

    def _lines(self, width: int) -> list[Line]:
        app = self.cockpit
        return settings_lines(app.settings, app.setting_sources, width, self.needle)

    def action_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.add_class("-open")
        field.focus()

    @on(Input.Changed, "#filter")
    def _filtered(self, event: Input.Changed) -> None:
        self.needle = event.value
        self.query_one(LinesPage).repaint()

    @on(Input.Submitted, "#filter")
    def _filter_kept(self) -> None:
        self.query_one("#filter").remove_class("-open")
        self.query_one(LinesPage).focus()

    def action_back(self) -> None:
        field = self.query_one("#filter", Input)
        if field.has_class("-open") or field.value:
            field.value = ""
            field.remove_class("-open")
            self.query_one(LinesPage).focus()
            return
        self.cockpit.go("dashboard")


def settings_lines(
    settings: Settings, sources: Mapping[str, str], width: int, needle: str = ""
) -> list[Line]:
    """Name, value and source on one line, the explanation beside or below."""
    chosen = [
        (name, _shown(value), sources.get(name, "default"), text)
        for name, value, text in describe(settings)
        if all(word in f"{name} {value} {text}".lower() for word in needle.lower().split())
    ]
    if not chosen:
        return [line((f"no setting matches “{needle}”", "muted"))]
    names, values, origins = (
        min(most, max(cell_len(row[at]) for row in chosen))
        for at, most in ((0, 24), (1, 26), (2, 28))
    )
    room = width - names - values - origins - 6
    beside = room >= BESIDE_CELLS
    out: list[Line] = []
    for name, value, source, text in chosen:
        given = source != "default"
        head = columns(
            [
                (line((name, "strong" if given else "text")), names),
                (line((value, "accent" if given else "text")), values),
                (line((source, "accent" if given else "faint")), origins),
            ]
        )
        if not beside:
            out += [head, *wrap(text, width - 4, "muted", indent="  ")]
            continue
        blank = " " * (names + values + origins + 4)
        for at, part in enumerate(wrap(safe(text), room, "muted")):
            out.append(((*head, ("  ", "text")) if at == 0 else ((blank + "  ", "text"),)) + part)
    return out


def _shown(value: object) -> str:
    if value == "" or value == ():
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else safe(str(value))
