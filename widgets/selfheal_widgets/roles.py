"""What a role looks like: colours from the theme's variables, resolved once for each theme.

Component classes of the style sheet would do the same, but every widget would resolve every
role on every change of the screen's classes: more than half of the time to the first paint.
An app can define the `role-…` and `syntax-…` variables in its theme; without them the
theme's own colours stand in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from rich.style import Style
from textual.app import App
from textual.color import Color, ColorParseError
from textual.widget import Widget


@dataclass(frozen=True, slots=True)
class Look:
    """Theme variables for text and background, attributes such as "bold reverse".

    The `ansi` fields stand in on terminals of sixteen colours or none, where a background
    that is a shade of the screen's own does not exist.
    """

    front: str = ""
    back: str = ""
    attributes: str = ""
    ansi_front: str = ""
    ansi_attributes: str = ""


LOOKS: dict[str, Look] = {
    "text": Look("foreground"),
    "strong": Look("foreground", attributes="bold"),
    "muted": Look("role-muted"),
    "faint": Look("role-faint", ansi_attributes="dim"),
    "accent": Look("accent"),
    "spark": Look("role-spark"),
    "title": Look("accent", attributes="bold"),
    "key": Look("accent", attributes="bold"),
    "tab": Look("accent", attributes="bold reverse"),
    "good": Look("success"),
    "warn": Look("warning"),
    "bad": Look("error"),
    "alarm": Look("error", attributes="bold"),
    "cursor": Look(back="role-cursor", ansi_attributes="reverse"),
    "idle-cursor": Look(back="role-idle-cursor", ansi_attributes="underline"),
    "added": Look("foreground", "role-added", ansi_front="success"),
    "removed": Look("foreground", "role-removed", ansi_front="error"),
    "added-word": Look("foreground", "role-added-word", "", "success", "bold underline"),
    "removed-word": Look("foreground", "role-removed-word", "", "error", "bold underline"),
    "added-gutter": Look("success", "role-added"),
    "removed-gutter": Look("error", "role-removed"),
    "gutter": Look("role-faint", ansi_attributes="dim"),
    "hunk": Look("role-faint", ansi_attributes="dim"),
    "filler": Look("role-faint", "role-filler"),
    "syntax-keyword": Look("syntax-keyword"),
    "syntax-name": Look("syntax-name"),
    "syntax-string": Look("syntax-string"),
    "syntax-number": Look("syntax-number"),
    "syntax-comment": Look("syntax-comment"),
    "syntax-builtin": Look("syntax-builtin"),
}
"""Every role a span can have."""

STAND_INS = {
    "role-muted": "secondary",
    "role-faint": "secondary",
    "role-spark": "accent",
    "role-cursor": "panel",
    "role-idle-cursor": "surface",
}

_known: WeakKeyDictionary[App[Any], dict[tuple[str, str], Style]] = WeakKeyDictionary()


def overlay(widget: Widget, role: str) -> Style:
    """The role alone, to be laid over another style."""
    app = widget.app
    styles = _known.get(app)
    if styles is None:
        styles = _known[app] = {}
    key = (app.theme, role)
    style = styles.get(key)
    if style is None:
        style = styles[key] = _resolve(app, LOOKS[role])
    return style


def style_of(widget: Widget, role: str, base: Style | None = None) -> Style:
    """The role on the widget's own background."""
    return (widget.rich_style if base is None else base) + overlay(widget, role)


def _resolve(app: App[Any], look: Look) -> Style:
    ansi = app.native_ansi_color
    front = look.ansi_front if ansi and look.ansi_front else look.front
    attributes = look.ansi_attributes if ansi and look.ansi_attributes else look.attributes
    style = Style.parse(attributes) if attributes else Style.null()
    if front:
        style += Style(color=_colour(app, front))
    if look.back and not ansi:
        style += Style(bgcolor=_colour(app, look.back))
    return style


def _colour(app: App[Any], variable: str) -> Any:
    variables = app.theme_variables
    text = variables.get(variable) or variables.get(STAND_INS.get(variable, "foreground"), "")
    try:
        return Color.parse(text or "ansi_default").rich_color
    except ColorParseError:
        return None
