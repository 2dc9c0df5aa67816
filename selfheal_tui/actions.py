"""Every action a key can trigger, in one registry.

The bindings of the screens, the line of hints, the help, the command palette and the user's
own keymap all follow from `ACTIONS`. Keys that tmux (ctrl+b) and screen (ctrl+a) take for
themselves are avoided.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.binding import Binding, BindingType
from textual.keys import format_key

from selfheal_engine.errors import ConfigError

if TYPE_CHECKING:
    from selfheal_engine.model import Snapshot

EVERYWHERE = "everywhere"

WAY_OUT = 97
"""Hints from here on (back, help, quit) are shown on every terminal, however narrow."""


WHEN_WANTED = -1


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a person can do.

    `keys` are comma-separated Textual key names, `scope` the screen that answers to them, and
    `hint` the place in the last line of the screen: 1 first, 0 not shown there, and `WHEN_WANTED`
    before all others, but only while the service's state asks for it.
    """

    name: str
    keys: str
    label: str
    help: str
    scope: str
    hint: int = 0

    @property
    def id(self) -> str:
        """The action's name in the user's keymap and in tests: "review.approve"."""
        return self.name if self.scope == EVERYWHERE else f"{self.scope}.{self.name}"


ACTIONS: tuple[Action, ...] = (
    # ------------------------------------------------------------ everywhere
    Action("dashboard", "1", "dashboard", "Go to the dashboard", EVERYWHERE),
    Action("history", "2", "history", "Go to the remembered episodes", EVERYWHERE, 90),
    Action("service", "3", "service", "Go to the service's processes and threads", EVERYWHERE, 91),
    Action("settings", "4", "settings", "See every setting and where it came from", EVERYWHERE),
    Action("maintenance", "M", "maintenance", "Maintenance on or off: apply nothing", EVERYWHERE),
    Action(
        "restart",
        "ctrl+r",
        "restart",
        "Restart the service, after one confirmation",
        EVERYWHERE,
        WHEN_WANTED,
    ),
    Action("jump", "f", "jump", "Jump to a part of the screen by one letter", EVERYWHERE, 92),
    Action("palette", "ctrl+p,colon", "commands", "Find any action by its name", EVERYWHERE),
    Action("next_theme", "ctrl+t", "theme", "Change the colours", EVERYWHERE),
    Action("redraw", "ctrl+l", "redraw", "Draw the whole screen again", EVERYWHERE),
    Action("help", "question_mark,f1", "help", "Explain this screen and its keys", EVERYWHERE, 98),
    Action("leave", "q,ctrl+c,ctrl+q", "quit", "Leave; the service goes on", EVERYWHERE, 99),
    # ------------------------------------------------------------ dashboard
    Action("review", "enter", "review", "Review the incident's patches", "dashboard", 1),
    Action("approve", "a", "approve", "Approve the best patch of the incident", "dashboard", 2),
    Action("reject", "r", "reject", "Reject the incident's patches with a reason", "dashboard", 3),
    Action("dismiss_incident", "d", "dismiss", "Dismiss the incident: it is no bug", "dashboard"),
    Action("zoom", "z", "zoom", "See one metric large, with limits and marks", "dashboard", 4),
    Action("freeze", "p", "freeze", "Freeze the display; collection goes on", "dashboard", 5),
    Action("back_in_time", "less_than_sign,comma", "earlier", "Walk back in time", "dashboard", 94),
    Action(
        "forward_in_time",
        "greater_than_sign,full_stop",
        "later",
        "Walk on in time",
        "dashboard",
        95,
    ),
    Action("filter", "slash", "filter", "Filter the feed by words", "dashboard", 6),
    Action("severity", "S", "severity", "Show alerts of this severity and above", "dashboard"),
    Action("other_list", "v", "switch list", "Go between incidents and feed", "dashboard", 93),
    Action("calm", "escape", "present", "Clear filter, freeze and walk: the present", "dashboard"),
    # ------------------------------------------------------------ review
    Action("approve", "a", "approve", "Approve this patch, after one confirmation", "review", 1),
    Action("reject", "r", "reject", "Reject it with a reason that is learned from", "review", 2),
    Action("defer", "d", "defer", "Decide later: it stays proposed", "review", 3),
    Action("dismiss_incident", "D", "dismiss", "Dismiss the incident: it is no bug", "review"),
    Action("edit", "e", "edit", "Edit it in $EDITOR, then validate again", "review", 4),
    Action("write_test", "t", "write test", "Write the regression test as well", "review", 5),
    Action("export", "x", "export", "Export as a patch for git am", "review", 6),
    Action("copy", "y", "copy", "Copy the patch to the clipboard and a file", "review", 7),
    Action("split", "s", "split", "Unified or side by side", "review", 8),
    Action("next_hunk", "right_square_bracket", "next hunk", "To the next change", "review"),
    Action("previous_hunk", "left_square_bracket", "hunk", "To the previous change", "review"),
    Action("more_context", "right_curly_bracket", "more", "More lines around changes", "review"),
    Action("less_context", "left_curly_bracket", "less", "Fewer lines around changes", "review"),
    Action("next_patch", "n", "next patch", "To the next patch", "review", 9),
    Action("previous_patch", "p", "previous patch", "To the previous patch", "review"),
    Action("next_page", "full_stop,w", "evidence", "Next page of evidence", "review", 10),
    Action("previous_page", "comma,W", "evidence", "Previous page of evidence", "review"),
    Action("back", "escape", "back", "Back to the dashboard", "review", 97),
    # ------------------------------------------------------------ history
    Action("filter", "slash", "filter", "Filter the episodes by words", "history", 1),
    Action("sort", "o", "order", "Change the order", "history", 2),
    Action("roll_back", "R", "roll back", "Roll this healing back, validated first", "history", 3),
    Action("copy", "y", "copy", "Copy the episode's patch", "history", 4),
    Action("reload", "u", "reload", "Read the history again", "history"),
    Action("back", "escape", "back", "Back to the dashboard", "history", 97),
    # ------------------------------------------------------------ service
    Action("refresh", "u", "ask again", "Ask the processes for their threads now", "service", 1),
    Action("back", "escape", "back", "Back to the dashboard", "service", 97),
    # ------------------------------------------------------------ settings
    Action("filter", "slash", "filter", "Filter the settings by words", "settings", 1),
    Action("back", "escape", "back", "Back to the dashboard", "settings", 97),
    # ------------------------------------------------------------ zoom
    Action("next_metric", "l,right,n", "next", "The next metric", "zoom", 1),
    Action("previous_metric", "h,left,p", "previous", "The previous metric", "zoom", 2),
    Action("longer", "plus,equals_sign", "longer", "Show a longer time", "zoom", 3),
    Action("shorter", "minus", "shorter", "Show a shorter time", "zoom", 4),
    Action("back", "escape,z", "back", "Back to the dashboard", "zoom", 97),
    # ------------------------------------------------------------ help
    Action("back", "escape,question_mark", "back", "Close the help", "help", 97),
)

SCOPES = ("dashboard", "review", "history", "service", "settings", "zoom", "help")


def actions_of(scope: str) -> list[Action]:
    """The actions of one screen, in the registry's order."""
    return [action for action in ACTIONS if action.scope == scope]


def applies(action: Action, view: Snapshot | None) -> bool:
    """Whether the action can do anything in this state; its key says why where it cannot."""
    if action.name != "restart":
        return True
    offer = view.restart if view is not None else None
    return offer is not None and not offer.refused


def wanted(action: Action, view: Snapshot | None) -> bool:
    """Whether the state asks for an action that is hinted at only then."""
    offer = view.restart if view is not None else None
    return applies(action, view) and offer is not None and bool(offer.wanted)


def bindings(scope: str) -> list[BindingType]:
    """Textual bindings for a screen, or for the app with EVERYWHERE."""
    return [
        Binding(a.keys, a.name, a.label, show=False, id=a.id, tooltip=a.help)
        for a in actions_of(scope)
    ]


def keymap(entries: Iterable[str]) -> dict[str, str]:
    """The user's keys from "review.approve=A" entries: id -> keys.

    Raises ConfigError for an entry that names no action or no key.
    """
    known = {action.id for action in ACTIONS}
    out: dict[str, str] = {}
    for entry in entries:
        name, equals, keys = (part.strip() for part in entry.partition("="))
        if not equals or not keys:
            raise ConfigError(f"keys: {entry!r} should look like 'review.approve=A'")
        if name not in known:
            near = sorted(other for other in known if other.endswith(name.rpartition(".")[2]))
            hint = f" (did you mean {near[0]}?)" if near else "; `?` lists them"
            raise ConfigError(f"keys: there is no action {name!r}{hint}")
        out[name] = keys
    return out


def keys_of(action: Action, overrides: Mapping[str, str]) -> list[str]:
    """The action's keys as a person reads them: ["[", "ctrl+p"]."""
    return [shown_key(key) for key in overrides.get(action.id, action.keys).split(",")]


def shown_key(key: str) -> str:
    """A key's short name on the screen."""
    names = {"enter": "↵", "escape": "Esc", "full_stop": ".", "comma": ",", "colon": ":"}
    if key in names:
        return names[key]
    if key.startswith("ctrl+"):
        return "^" + key[5:]
    return key if len(key) == 1 else format_key(key)
