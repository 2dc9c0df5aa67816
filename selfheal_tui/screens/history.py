"""The history: remembered episodes, the story of one, and how well each strategy does."""

from __future__ import annotations

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.widgets import Input

from selfheal_engine.errors import SelfhealError
from selfheal_engine.model import Episode, HealingStats
from selfheal_tui.actions import bindings
from selfheal_tui.screens.base import CockpitScreen
from selfheal_tui.screens.questions import Choice
from selfheal_widgets.heading import Heading
from selfheal_widgets.history_table import HistoryHead, HistoryTable, stats_lines, timeline
from selfheal_widgets.key_hints import Hint, KeyHints
from selfheal_widgets.lines import Line, line, safe, wrap
from selfheal_widgets.pages import LinesPage
from selfheal_widgets.row_list import RowList
from selfheal_widgets.words import plural

ORDER_WORDS = {
    "newest": "newest first",
    "slowest to heal": "slowest to heal first",
    "most often": "most frequent first",
    "kind of bug": "by kind of bug",
    "outcome": "by outcome",
}


class History(CockpitScreen):
    """Episodes above, the chosen one's timeline below, figures beside it."""

    scope = "history"
    BINDINGS: ClassVar[list[BindingType]] = bindings("history")
    AUTO_FOCUS = "HistoryTable"

    def __init__(self) -> None:
        super().__init__()
        self.stats = HealingStats()

    def compose(self) -> ComposeResult:
        yield Heading(" HISTORY", id="screen-title", classes="")
        with Container(id="history-body"):
            table = HistoryTable(id="episodes")
            table.add_class("framed")
            yield HistoryHead(id="episodes-head")
            yield table
            with Container(id="history-below"):
                story = LinesPage(self._story, id="story")
                story.add_class("framed")
                yield story
                stats = LinesPage(self._figures, id="stats")
                stats.add_class("framed")
                yield stats
        yield Input(placeholder="words to find in the episodes", id="filter")
        yield KeyHints(id="hints")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#episodes").border_title = "episodes"
        self.query_one("#story").border_title = "what happened"
        self.query_one("#stats").border_title = "how well it goes"
        self.read()

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        self.read()

    @work(thread=True, exclusive=True, group="history")
    def read(self) -> None:
        """Ask the engine for the episodes, off the app's thread."""
        try:
            episodes, stats = self.cockpit.engine.history(), self.cockpit.engine.healing_stats()
        except SelfhealError as why:
            self.app.call_from_thread(self._take, [], HealingStats(), str(why))
        else:
            self.app.call_from_thread(self._take, episodes, stats, "")

    def _take(self, episodes: list[Episode], stats: HealingStats, problem: str) -> None:
        self.stats = stats
        table = self.query_one(HistoryTable)
        table.show(episodes, problem)
        self._show_rest()

    def _show_rest(self) -> None:
        table = self.query_one(HistoryTable)
        shown = len(table.row_ids)
        remark = f"{plural(shown, 'episode')} · {ORDER_WORDS[table.order]} "
        if table.needle:
            remark = f"“{table.needle}” · {remark}"
        self.query_one("#screen-title", Heading).show(" HISTORY", remark)
        self.query_one("#story", LinesPage).repaint()
        self.query_one("#stats", LinesPage).repaint()

    def _story(self, width: int) -> list[Line]:
        episode = self.query_one(HistoryTable).episode
        if episode is None:
            some = self.query_one(HistoryTable).row_ids
            text = "choose an episode to see its story" if some else "nothing yet"
            return [line((text, "muted"))]
        return timeline(episode, width)

    def _figures(self, width: int) -> list[Line]:
        return stats_lines(self.stats, width, ascii_only=self.cockpit.settings.ascii)

    @on(RowList.Moved, "#episodes")
    def _moved(self) -> None:
        self._show_rest()
        self.query_one("#story", LinesPage).scroll_to(y=0, animate=False)

    # ------------------------------------------------------------ actions
    def action_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.add_class("-open")
        field.focus()

    @on(Input.Changed, "#filter")
    def _filtered(self, event: Input.Changed) -> None:
        self.query_one(HistoryTable).filter(event.value)
        self._show_rest()

    @on(Input.Submitted, "#filter")
    def _filter_kept(self) -> None:
        self.query_one("#filter").remove_class("-open")
        self.query_one(HistoryTable).focus()

    def action_sort(self) -> None:
        self.query_one(HistoryTable).next_order()
        self._show_rest()

    def action_reload(self) -> None:
        self.read()

    def action_copy(self) -> None:
        episode = self.query_one(HistoryTable).episode
        if episode is None or not episode.diff:
            self.cockpit.say("this episode has no patch to copy", "warning")
            return
        self.cockpit.copy(episode.diff, f"{episode.number}-{episode.strategy}.patch")

    def action_roll_back(self) -> None:
        episode = self.query_one(HistoryTable).episode
        if episode is None or episode.state != "healed":
            self.cockpit.say("only a healed episode can be rolled back", "warning")
            return

        def answered(answer: str | None) -> None:
            if answer == "yes":
                future = self.cockpit.engine.roll_back(episode.id)
                self.cockpit.bridge.ask("roll back", future, self._read_again)

        place = f"{episode.strategy} in {episode.place}" if episode.place else episode.strategy
        self.cockpit.push_screen(
            Choice(
                f"roll #{episode.number} back?",
                [
                    *wrap(safe(episode.title), 68, "strong"),
                    *wrap(f"Takes back {safe(place)}, in the file and in every process.", 68),
                    *wrap(
                        "The text without the patch is validated in the sandbox first; the bug "
                        "itself may come back.",
                        68,
                        "muted",
                    ),
                ],
                [Hint("y", "roll it back", "yes")],
                danger=True,
            ),
            answered,
        )

    def _read_again(self, _ok: bool) -> None:
        self.read()

    def action_back(self) -> None:
        field = self.query_one("#filter", Input)
        if field.has_class("-open") or field.value:
            field.value = ""
            field.remove_class("-open")
            self.query_one(HistoryTable).focus()
            return
        self.cockpit.go("dashboard")
