"""The app: one engine, a few screens, and everything between them that is slow kept off both.

Snapshots come in as messages (engine_thread.py) and go to the screen in front; what a person
decides goes back as a future whose answer becomes a line on the screen.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from textual import on, work
from textual.binding import BindingType
from textual.command import Provider
from textual.events import Resize
from textual.geometry import Size
from textual.screen import Screen
from textual.timer import Timer

from selfheal_engine.config import Settings
from selfheal_tui.actions import ACTIONS, EVERYWHERE, bindings, keymap
from selfheal_tui.engine_thread import (
    Answered,
    EngineBridge,
    EngineLike,
    EventArrived,
    SnapshotArrived,
)
from selfheal_tui.notifications import ProposalBell, is_quiet, terminal_notification
from selfheal_tui.opening import OpeningEngine
from selfheal_tui.screens.base import CockpitScreen
from selfheal_tui.screens.dashboard import Dashboard
from selfheal_tui.screens.tiny import Tiny, is_tiny
from selfheal_tui.themed_app import ThemedApp
from selfheal_widgets.words import duration

if TYPE_CHECKING:
    from selfheal_engine.model import Incident, Snapshot

Severity = Literal["information", "warning", "error"]

SWITCH_INTERVAL_S = 0.001
"""How long the engine's thread may hold the interpreter while a key waits."""

SETTLED_S = 0.1
"""After a resize: long enough for the screens to have changed places."""

SAID_S = 2.0
"""What was said so lately still stands in the corner."""

THEME_CYCLE = ("selfheal", "selfheal-light", "nord", "gruvbox", "ansi-dark")


def _action_commands() -> type[Provider]:
    """The palette's entries, not loaded before somebody opens it."""
    from selfheal_tui.palette import ActionCommands

    return ActionCommands


class SelfhealApp(ThemedApp[int]):
    """Shows an engine that runs already; `stop_service` is the person's choice on leaving."""

    TITLE = "selfheal-tui"
    BINDINGS: ClassVar[list[BindingType]] = bindings(EVERYWHERE)
    COMMANDS: ClassVar[set[Any]] = {_action_commands}
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-short"),
        (30, "-normal"),
        (38, "-roomy"),
        (50, "-tall"),
    ]

    def __init__(
        self,
        engine: EngineLike,
        settings: Settings,
        *,
        owns_service: bool = False,
        sources: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(settings)
        self.engine = engine
        self.owns_service = owns_service
        self.stop_service = owns_service
        self.setting_sources = dict(sources or _sources_from_command_line())
        if self.ascii_by_locale:
            self.setting_sources["ascii"] = "locale"
        self.key_overrides = keymap(settings.keys)
        self.bridge = EngineBridge(engine, self)
        self.latest: Snapshot | None = engine.snapshot()
        """The newest state, whatever is shown."""
        self.frozen: Snapshot | None = None
        self.walked_s: float | None = None
        """The time that is looked at, None in the present."""
        self._bell = ProposalBell()
        self._settling: Timer | None = None
        self._drawn_for: Size | None = None
        self._said = ("", 0.0)
        is_quiet(settings.quiet_hours, 0.0)
        self.set_keymap(self.key_overrides)

    # ------------------------------------------------------------ life
    def get_default_screen(self) -> Screen[Any]:
        return Dashboard()

    def on_load(self) -> None:
        """Before the first paint: from then on the line may drop at any time."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGHUP, signal.SIGTERM):
            loop.add_signal_handler(number, self._end_by_signal)

    def on_mount(self) -> None:
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self.bridge.open()
        self.call_after_refresh(keep_what_was_loaded)
        if isinstance(self.engine, OpeningEngine):
            self.call_after_refresh(self.engine.open, self._on_opened)

    def _on_opened(self) -> None:
        """On the opening thread: the first snapshot, or the end when there is no engine."""
        opening = self.engine
        if isinstance(opening, OpeningEngine) and opening.problem is not None:
            self.call_later(self.exit, 2)
            return
        snapshot = opening.snapshot()
        if snapshot is not None:
            self.post_message(SnapshotArrived(snapshot))

    def on_unmount(self) -> None:
        self.bridge.close()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGHUP, signal.SIGTERM):
            loop.remove_signal_handler(number)

    def _end_by_signal(self) -> None:
        """The line dropped or we are told to go: leave in order, the service runs on."""
        self.stop_service = False
        self.exit(0)

    # ------------------------------------------------------------ state in
    @property
    def view(self) -> Snapshot | None:
        """What is shown: the present, the frozen display or an earlier time."""
        base = self.frozen or self.latest
        if base is None or self.walked_s is None:
            return base
        from selfheal_tui.screens.rewind import at_time

        return at_time(base, self.walked_s)

    def display_mode(self) -> str:
        """A word for the top line: what is shown is not the present, or nothing is applied."""
        if self.latest is None:
            return ""
        if self.walked_s is not None:
            return f"{duration(self.latest.time_s - self.walked_s)} ago, Esc: present"
        if self.frozen is not None:
            return f"frozen {duration(self.latest.time_s - self.frozen.time_s)}, p: go on"
        return "maintenance, M: end it" if self.latest.maintenance else ""

    @on(SnapshotArrived)
    def _snapshot(self, message: SnapshotArrived) -> None:
        self.latest = message.snapshot
        self._tell_of_proposals(message.snapshot)
        screen = self.screen
        if isinstance(screen, CockpitScreen) and screen.is_mounted:
            with self.batch_update():
                screen.show_latest()

    @on(EventArrived)
    def _event(self, message: EventArrived) -> None:
        event = message.event
        if event.kind == "error":
            self.say(str(event.body.get("text", "the engine reports an error")), "error")
        elif event.kind == "healed":
            took = event.body.get("mttr_s")
            after = f" in {duration(took)}" if isinstance(took, (int, float)) else ""
            self.say(f"{self._named(event.body)} healed{after}", "information")
        elif event.kind == "rolled_back":
            self.say(
                f"{self._named(event.body)} rolled back: {event.body.get('reason', '')}", "warning"
            )

    @on(Answered)
    def _answered(self, message: Answered) -> None:
        if message.text and (message.what or not message.ok):
            self.say(message.text, "information" if message.ok else "error")
        if message.then is not None:
            message.then(message.ok)

    def _named(self, body: Mapping[str, object]) -> str:
        incident = self.incident(str(body.get("incident", "")))
        return f"#{incident.number}" if incident else "the incident"

    def _tell_of_proposals(self, snapshot: Snapshot) -> None:
        fresh = self._bell.fresh(snapshot)
        if not fresh or not self.settings.bell:
            return
        if is_quiet(self.settings.quiet_hours, snapshot.time_s):
            return
        self.bell()
        driver = self._driver
        if driver is not None:
            for incident in fresh:
                text = f"#{incident.number} {incident.title}: a patch waits for your review"
                driver.write(terminal_notification("selfheal-tui", text))

    def incident(self, id: str) -> Incident | None:
        view = self.latest
        return next((i for i in view.incidents if i.id == id), None) if view else None

    # ------------------------------------------------------------ moving about
    def go(self, name: str) -> None:
        """Bring a main screen to the front; the dashboard is always below the others."""
        while len(self.screen_stack) > 1 and not isinstance(self.screen, Dashboard):
            self.pop_screen()
        if name == "history":
            from selfheal_tui.screens.history import History

            self.push_screen(History())
        elif name == "service":
            from selfheal_tui.screens.service import Service

            self.push_screen(Service())
        elif name == "settings":
            from selfheal_tui.screens.settings import SettingsScreen

            self.push_screen(SettingsScreen())

    def open_review(self, incident: str) -> None:
        from selfheal_tui.screens.review import Review

        self.go("dashboard")
        self.push_screen(Review(incident))

    def open_zoom(self, metric: str) -> None:
        from selfheal_tui.screens.zoom import Zoom

        self.push_screen(Zoom(metric))

    def action_dashboard(self) -> None:
        self.go("dashboard")

    def action_history(self) -> None:
        self.go("history")

    def action_service(self) -> None:
        self.go("service")

    def action_settings(self) -> None:
        self.go("settings")

    def action_help(self) -> None:
        from selfheal_tui.screens.help import Help

        screen = self.screen
        if isinstance(screen, CockpitScreen):
            self.push_screen(Help(screen.scope, _kind_of(screen.focused)))

    def action_jump(self) -> None:
        from selfheal_tui.screens.jump import Jump

        self.push_screen(Jump(self.screen))

    def action_maintenance(self) -> None:
        """Switch it for every app that looks at this service; it outlasts the engine."""
        on = not (self.latest is not None and self.latest.maintenance)
        self.bridge.ask("maintenance", self.engine.maintenance(on))

    def action_restart(self) -> None:
        from selfheal_tui.screens.restart import restart

        restart(self)

    def action_redraw(self) -> None:
        """Send every cell again, whatever the terminal shows."""
        self._forget_cells()
        self.screen.refresh()

    def _forget_cells(self) -> None:
        forget = getattr(self._driver, "forget", None)
        if forget is not None:
            forget()

    def action_palette(self) -> None:
        self.action_command_palette()

    def action_next_theme(self) -> None:
        at = THEME_CYCLE.index(self.theme) if self.theme in THEME_CYCLE else -1
        self.theme = THEME_CYCLE[(at + 1) % len(THEME_CYCLE)]
        self.say(f"theme {self.theme}", "information")

    def run_registered(self, id: str) -> None:
        """Run an action of the registry by its id, as its key would."""
        action = next((a for a in ACTIONS if a.id == id), None)
        if action is not None:
            target = self if action.scope == EVERYWHERE else self.screen
            self.call_later(target.run_action, action.name)

    def on_resize(self, event: Resize) -> None:
        self._forget_cells()
        tiny = is_tiny(event.size.width, event.size.height)
        if tiny and not isinstance(self.screen, Tiny):
            self.push_screen(Tiny())
        elif not tiny and isinstance(self.screen, Tiny):
            self.pop_screen()
        if self._settling is not None:
            self._settling.stop()
        if self._drawn_for not in (None, event.size):
            self._settling = self.set_timer(SETTLED_S, self._settled)
        self._drawn_for = event.size

    def _settled(self) -> None:
        """What was painted for the old size may have bent the terminal's last column."""
        if not self.screen_stack:
            return  # the app was left in the meantime
        if isinstance(self.screen, CockpitScreen):
            self.screen.check_size()
        self.action_redraw()

    # ------------------------------------------------------------ display and time
    def toggle_freeze(self) -> None:
        self.frozen = None if self.frozen is not None else self.latest
        if self.frozen is None:
            self.walked_s = None
        self._show_again()

    def walk(self, direction: int) -> None:
        """A step through time: a tenth of what is remembered, at least one sample."""
        base = self.frozen or self.latest
        if base is None or len(base.times) < 2:
            self.say("there is no past to walk to yet", "warning")
            return
        step = max(base.interval_s, (base.times[-1] - base.times[0]) / 20)
        here = self.walked_s if self.walked_s is not None else base.times[-1]
        there = here + direction * step
        if there >= base.times[-1]:
            self.to_present()
            return
        if self.frozen is None:
            self.frozen = base
        self.walked_s = max(base.times[0], there)
        self._show_again()

    def to_present(self) -> None:
        self.frozen, self.walked_s = None, None
        self._show_again()

    def _show_again(self) -> None:
        if isinstance(self.screen, CockpitScreen):
            self.screen.show_latest()

    # ------------------------------------------------------------ small services
    def say(self, text: str, severity: Severity) -> None:
        """A sentence for the person, in a corner, for a few seconds; one that stands there is
        not said twice.
        """
        now_s = monotonic()
        if self._said[0] == text and now_s - self._said[1] < SAID_S:
            return
        self._said = (text, now_s)
        self.notify(text, severity=severity, markup=False)

    def copy(self, text: str, name: str) -> None:
        """To the terminal's clipboard by OSC 52, and to a file for terminals without."""
        self.copy_to_clipboard(text)
        self._copy_to_file(text, self.settings.state_path() / "copied" / Path(name).name)

    @work(thread=True)
    def _copy_to_file(self, text: str, place: Path) -> None:
        try:
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            place.write_text(text, encoding="utf-8")
        except OSError as why:
            self.call_from_thread(
                self.say, f"copied to the clipboard; no file: {why.strerror}", "warning"
            )
        else:
            self.call_from_thread(self.say, f"copied; also in {place}", "information")

    # ------------------------------------------------------------ leaving
    def action_leave(self) -> None:
        alive = self.latest is None or self.latest.service.alive
        if not self.owns_service or not alive:
            self.stop_service = False
            self.exit(0)
            return
        from selfheal_tui.screens.questions import Choice
        from selfheal_widgets.key_hints import Hint
        from selfheal_widgets.lines import wrap

        name = self.latest.service.name if self.latest else "the service"

        def answered(answer: str | None) -> None:
            if answer:
                self.stop_service = answer == "stop"
                self.exit(0)

        self.push_screen(
            Choice(
                "leave",
                wrap(
                    f"{name} was started from here. It can be stopped now, or run on without "
                    "the app; `selfheal-tui` finds it again.",
                    68,
                ),
                [Hint("s", "stop it and leave", "stop"), Hint("l", "leave it running", "leave")],
            ),
            answered,
        )


def keep_what_was_loaded() -> None:
    """Painted: what start-up made stays for good and need not be looked through again.

    Only where collecting was put off until now (session.py): else there may be garbage in it.
    """
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def _sources_from_command_line() -> dict[str, str]:
    """Where settings came from, as the command that runs us left it."""
    click = sys.modules.get("click")
    context = click.get_current_context(silent=True) if click else None
    return dict(context.meta.get("selfheal.sources", {})) if context else {}


def _kind_of(widget: object) -> str:
    from selfheal_widgets.diff_viewer import DiffViewer
    from selfheal_widgets.metric_panel import MetricPanel
    from selfheal_widgets.row_list import RowList

    for kind, name in ((RowList, "list"), (DiffViewer, "diff"), (MetricPanel, "panel")):
        if isinstance(widget, kind):
            return name
    return ""
