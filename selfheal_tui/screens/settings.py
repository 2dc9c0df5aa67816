"""The settings: each with its value, where it came from and what it means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

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
            " SETTINGS", "flag > $SELFHEAL_… > config.toml "
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
    out: list[Line] = []
    beside = width >= 110
    for name, value, text in describe(settings):
        if not all(w in f"{name} {value} {text}".lower() for w in needle.lower().split()):
            continue
        source = sources.get(name, "default")
        given = source != "default"
        cells: list[tuple[Line, int]] = [
            (line((name, "strong" if given else "text")), 20),
            (line((_shown(value), "accent" if given else "text")), 22),
            (line((source, "accent" if given else "faint")), 14 if beside else max(10, width - 46)),
        ]
        if beside:
            cells.append((line((safe(text), "muted")), width - 64))
            out.append(columns(cells))
        else:
            out.append(columns(cells))
            out += wrap(text, width - 4, "muted", indent="  ")
    return out or [line((f"no setting matches “{needle}”", "muted"))]


def _shown(value: object) -> str:
    if value == "" or value == ():
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else safe(str(value))
