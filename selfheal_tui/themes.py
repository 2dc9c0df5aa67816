"""The app's colours: one accent, most of the screen dim, an alarm that cannot be missed."""

from __future__ import annotations

from collections.abc import Mapping

from textual.theme import Theme

DARK = Theme(
    name="selfheal",
    primary="#6cb6c9",
    secondary="#8fa8c8",
    accent="#6cb6c9",
    warning="#d8a657",
    error="#e5706b",
    success="#89b482",
    foreground="#c8d0d8",
    background="#11151a",
    surface="#161b21",
    panel="#1d242c",
    dark=True,
)

LIGHT = Theme(
    name="selfheal-light",
    primary="#22738a",
    secondary="#4a6484",
    accent="#22738a",
    warning="#9a6700",
    error="#b3261e",
    success="#2f6f3e",
    foreground="#2b333b",
    background="#f7f8f6",
    surface="#eef0ed",
    panel="#e3e7e3",
    dark=False,
)

OWN_THEMES = (DARK, LIGHT)


def role_variables(theme: Theme) -> dict[str, str]:
    """Defaults of the roles' colours for any theme, mixed from its own colours."""
    if theme.ansi:
        return dict(_ANSI)
    dark = theme.dark
    return {
        "role-muted": "#84919d" if dark else "#66717a",
        "role-faint": "#56626d" if dark else "#929ba1",
        "role-spark": "#40717d" if dark else "#86b3bf",
        "role-frame": "#2b343d" if dark else "#cdd4cf",
        "role-cursor": "#25404a" if dark else "#cfe4ea",
        "role-idle-cursor": "#1b2128" if dark else "#e8ebe8",
        "role-added": "#14281c" if dark else "#dff2e1",
        "role-added-word": "#21512f" if dark else "#a9dcb0",
        "role-removed": "#2f1a1c" if dark else "#fae3e1",
        "role-removed-word": "#672b2e" if dark else "#f0b3ae",
        "role-filler": "#151a20" if dark else "#eceeeb",
        "syntax-keyword": "#c792a8" if dark else "#8a3a63",
        "syntax-name": "#87b0d6" if dark else "#1f5f99",
        "syntax-string": "#a9b77d" if dark else "#55701c",
        "syntax-number": "#d19a66" if dark else "#9a5a12",
        "syntax-comment": "#6b7883" if dark else "#8a949b",
        "syntax-builtin": "#7fb8b0" if dark else "#1e7068",
    }


_ANSI: Mapping[str, str] = {
    "role-muted": "ansi_white",
    "role-faint": "ansi_bright_black",
    "role-spark": "ansi_cyan",
    "role-frame": "ansi_bright_black",
    "role-cursor": "ansi_default",
    "role-idle-cursor": "ansi_default",
    "role-added": "ansi_default",
    "role-added-word": "ansi_default",
    "role-removed": "ansi_default",
    "role-removed-word": "ansi_default",
    "role-filler": "ansi_default",
    "syntax-keyword": "ansi_magenta",
    "syntax-name": "ansi_blue",
    "syntax-string": "ansi_yellow",
    "syntax-number": "ansi_yellow",
    "syntax-comment": "ansi_bright_black",
    "syntax-builtin": "ansi_cyan",
}
