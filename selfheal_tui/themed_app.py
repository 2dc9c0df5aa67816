"""What every app of ours has in common: colours and characters that fit the terminal.

The picker and the cockpit are two Textual apps, one after the other on the same terminal.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from textual.app import App
from textual.driver import Driver

from selfheal_engine.config import Settings
from selfheal_engine.errors import ConfigError
from selfheal_tui.plain_characters import locale_is_ascii
from selfheal_tui.themes import OWN_THEMES, role_variables

Result = TypeVar("Result")


class ThemedApp(App[Result]):
    """Takes theme and characters from the settings, the environment and the terminal."""

    CSS_PATH = Path(__file__).parent / "app.tcss"

    def __init__(self, settings: Settings) -> None:
        self.ascii_by_locale = locale_is_ascii(os.environ) and not settings.ascii
        if self.ascii_by_locale:
            settings = replace(settings, ascii=True)
        self.settings = settings
        self._plain_colours = needs_plain_colours(os.environ)
        super().__init__(ansi_color=True if self._plain_colours else None)
        for theme in OWN_THEMES:
            self.register_theme(theme)
        self.set_reactive(ThemedApp.theme, self._first_theme(settings))
        self._styled_with = self.get_css_variables()
        self.stylesheet.set_variables(self._styled_with)

    def _first_theme(self, settings: Settings) -> str:
        if settings.theme and settings.theme not in self.available_themes:
            names = ", ".join(sorted(self.available_themes))
            raise ConfigError(f"theme: there is no {settings.theme!r}; known are {names}")
        if self._plain_colours:
            return "ansi-dark"
        return settings.theme or "selfheal"

    def get_driver_class(self) -> type[Driver]:
        """Textual's choice; on a real terminal with writes that survive its end."""
        chosen = super().get_driver_class()
        if chosen.__name__ != "LinuxDriver":
            return chosen
        from selfheal_tui.terminal import SteadyDriver

        return SteadyDriver

    def refresh_css(self, animate: bool = True) -> None:
        """Restyle everything, unless the variables are the ones already in force.

        Textual asks for this once at the start, when all styles are fresh: it would repaint
        the whole screen a second time.
        """
        variables = self.get_css_variables()
        if variables != self._styled_with:
            self._styled_with = variables
            super().refresh_css(animate)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return role_variables(self.current_theme)


def needs_plain_colours(environ: Mapping[str, str]) -> bool:
    """Whether only the terminal's own sixteen colours, or none, should be used."""
    if "NO_COLOR" in environ:
        return True
    if environ.get("COLORTERM") in ("truecolor", "24bit"):
        return False
    term = environ.get("TERM", "")
    return term in ("linux", "xterm", "xterm-16color", "screen", "ansi", "vt100", "vt220")
