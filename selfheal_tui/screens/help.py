"""The help: the keys of the screen one came from, those everywhere, and what the signs mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from selfheal_tui.actions import (
    EVERYWHERE,
    Action,
    actions_of,
    applies,
    bindings,
    keys_of,
    shown_key,
)
from selfheal_tui.screens.base import CockpitScreen
from selfheal_widgets.diff_viewer import DiffViewer
from selfheal_widgets.heading import Heading
from selfheal_widgets.key_hints import KeyHints
from selfheal_widgets.lines import Line, columns, line, wrap
from selfheal_widgets.metric_panel import MetricPanel
from selfheal_widgets.pages import LinesPage
from selfheal_widgets.row_list import RowList

ABOUT = {
    "dashboard": "Seven metrics in their control limits, what cost health points, the incidents "
    "and every alert in words. An incident with proposals waits for you: Enter opens its review.",
    "review": "One incident: its patches, best first, the diff and the evidence. Nothing is "
    "written before you approve; what is approved is watched and taken back if it does harm.",
    "history": "Every incident that ended, with its timeline. Rejections and healings teach the "
    "ranking of the next proposals.",
    "service": "The watched program from inside, without stopping it.",
    "settings": "Flags win over the environment, the environment over the config file.",
    "zoom": "One metric over time. ─ ─ are its control limits, ▲ alerts, ◆ applied patches.",
    "help": "",
}

SIGNS: tuple[tuple[str, str, str], ...] = (
    ("▲", "warn", "warning; on a metric: beyond its control limits"),
    ("▼", "warn", "costs health points"),
    ("△", "warn", "on its way to a limit"),
    ("●", "bad", "critical, or an open incident"),
    ("◆", "accent", "waits for your decision"),
    ("◇", "accent", "applied, being watched"),
    ("✓", "good", "healed, or a check passed"),
    ("✗", "bad", "rolled back or rejected, or a check failed"),
    ("○", "muted", "information, or dismissed"),
)

WORDS = (
    "3σ 9-38: the metric's control limits, learned from its own quiet time.",
    "Confidence: how likely the patch is the right one, from how often such patches were.",
    "Safety: 0-100, what the sandbox found; no score when a check failed.",
    "Plausible: passes every check there is. Whether it is right, only you can say.",
    "Sandbox tier: 1 is the whole wall, 2 one without namespaces (safety is capped at 85); "
    "with neither nothing is tried.",
)


class Help(CockpitScreen):
    """Shown over the screen that it explains."""

    scope = "help"
    BINDINGS: ClassVar[list[BindingType]] = bindings("help")
    AUTO_FOCUS = "LinesPage"

    def __init__(self, about: str, focused: str = "") -> None:
        super().__init__()
        self.about = about
        self.focused_kind = focused

    def compose(self) -> ComposeResult:
        yield Heading(f" HELP {self.about}", id="screen-title", classes="")
        yield LinesPage(self._lines, id="help-page", classes="page")
        yield KeyHints(id="hints")

    def _lines(self, width: int) -> list[Line]:
        cockpit = self.cockpit
        everywhere = [a for a in actions_of(EVERYWHERE) if applies(a, cockpit.latest)]
        return help_lines(self.about, self.focused_kind, cockpit.key_overrides, width, everywhere)

    def action_back(self) -> None:
        self.cockpit.pop_screen()


def help_lines(
    about: str,
    focused: str,
    overrides: Mapping[str, str],
    width: int,
    everywhere: Sequence[Action],
) -> list[Line]:
    """The whole page for a width in cells; two columns of keys where there is room."""
    out: list[Line] = [*wrap(ABOUT.get(about, ""), min(width, 100)), ()]
    own = [(_keys(a, overrides), a.help) for a in actions_of(about)]
    others = [(_keys(a, overrides), a.help) for a in everywhere]
    moving = _widget_keys(focused, overrides)
    out += [line(("HERE", "title")), *_table(own, width)]
    if moving:
        out += [(), line((f"IN THE {focused.upper()}", "title")), *_table(moving, width)]
    out += [(), line(("EVERYWHERE", "title")), *_table(others, width)]
    out += [(), line(("SIGNS", "title"))]
    signs = [line((f"  {mark}  ", role), (text, "muted")) for mark, role, text in SIGNS]
    out += _beside(signs, width)
    out += [(), line(("WORDS", "title"))]
    for text in WORDS:
        out += wrap(text, min(width, 100), "muted", indent="  ")
    return out


def _keys(action: Action, overrides: Mapping[str, str]) -> str:
    return " ".join(keys_of(action, overrides))


def _widget_keys(focused: str, overrides: Mapping[str, str]) -> list[tuple[str, str]]:
    kinds = {
        "list": RowList.BINDINGS,
        "diff": DiffViewer.BINDINGS,
        "panel": MetricPanel.BINDINGS,
    }
    out: list[tuple[str, str]] = []
    for binding in kinds.get(focused, []):
        if isinstance(binding, tuple):
            continue
        keys = overrides.get(binding.id or "", binding.key).split(",")
        out.append((" ".join(shown_key(key) for key in keys), binding.tooltip))
    return out


def _table(entries: list[tuple[str, str]], width: int) -> list[Line]:
    cells = [
        line(("  ", "text"), (f"{keys:<10}", "key"), (f" {text}", "muted"))
        for keys, text in entries
    ]
    return _beside(cells, width)


def _beside(cells: list[Line], width: int) -> list[Line]:
    """Two columns where there is room, the left one filled first."""
    if width < 100:
        return cells
    cell = (width - 4) // 2
    half = (len(cells) + 1) // 2
    rows: list[Line] = []
    for at in range(half):
        right = cells[half + at] if half + at < len(cells) else ()
        rows.append(columns([(cells[at], cell), (right, cell)]))
    return rows
