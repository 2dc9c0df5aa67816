"""The remembered episodes as a table, and the story of one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from selfheal_widgets.lines import Line, Span, columns, line, safe, wrap
from selfheal_widgets.quiet import QuietLines
from selfheal_widgets.row_list import Row, RowList
from selfheal_widgets.words import STATE_SIGNS, clock, duration, percent, plural

if TYPE_CHECKING:
    from selfheal_engine.model import Episode, HealingStats

FRAME_CELLS = 2
"""Border and padding left of the table's text."""

STATE_ROLES = {"healed": "good", "rolled_back": "warn", "rejected": "muted", "dismissed": "muted"}

SORTS: dict[str, Callable[[Episode], tuple[float | str, ...]]] = {
    "newest": lambda e: (-e.first_seen_s,),
    "slowest to heal": lambda e: (-(e.mttr_s or 0.0), -e.first_seen_s),
    "most often": lambda e: (-e.occurrences, -e.first_seen_s),
    "kind of bug": lambda e: (e.bug_type, -e.first_seen_s),
    "outcome": lambda e: (e.state, -e.first_seen_s),
}


def matches(episode: Episode, needle: str) -> bool:
    """Whether every word of the filter is somewhere in the episode's facts."""
    hay = " ".join(
        (
            f"#{episode.number}",
            episode.title,
            episode.service,
            episode.bug_type,
            episode.state.replace("_", " "),
            episode.strategy,
            episode.template,
            episode.exception,
            episode.place,
        )
    ).lower()
    return all(word in hay for word in needle.lower().split())


class HistoryTable(RowList):
    """One line for each episode; filter and order are the person's."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.episodes: tuple[Episode, ...] = ()
        self.needle = ""
        self.order = "newest"
        self.loading = False
        self.problem = ""

    def show(self, episodes: Sequence[Episode], problem: str = "") -> None:
        self.episodes, self.problem = tuple(episodes), problem
        self.repaint()

    def filter(self, needle: str) -> None:
        self.needle = needle
        self.repaint()

    def next_order(self) -> str:
        names = list(SORTS)
        self.order = names[(names.index(self.order) + 1) % len(names)]
        self.repaint()
        return self.order

    @property
    def episode(self) -> Episode | None:
        return next((e for e in self.episodes if e.id == self.selected), None)

    def build(self, width: int) -> Sequence[Row]:
        if self.problem:
            return [Row("", tuple(wrap(self.problem, width - 1, "warn")))]
        chosen = [e for e in self.episodes if matches(e, self.needle)]
        if not chosen:
            text = (
                f"nothing matches “{self.needle}”: Esc clears the filter"
                if self.episodes
                else "no episodes yet: every incident that ends is remembered here, with what was "
                "tried and how it went, and teaches the next proposal"
            )
            return [Row("", tuple(wrap(text, width - 1, "muted")))]
        chosen.sort(key=SORTS[self.order])
        return [Row(episode.id, (episode_line(episode, width),)) for episode in chosen]


def episode_line(episode: Episode, width: int) -> Line:
    """Sign, number, when, what, strategy, outcome, time to heal."""
    role = STATE_ROLES.get(episode.state, "text")
    took = duration(episode.mttr_s) if episode.mttr_s is not None else "–"
    return _table_row(
        width,
        (STATE_SIGNS.get(episode.state, "○"), role),
        (f"#{episode.number}", "muted"),
        (clock(episode.first_seen_s, date=True), "muted"),
        (safe(episode.title), "text"),
        (episode.strategy or "–", "muted"),
        (episode.state.replace("_", " "), role),
        (took, "muted"),
    )


def _table_row(width: int, *cells: Span) -> Line:
    """One row of the table; narrow terminals lose the strategy."""
    widths = [1, 5, 16, 0, 18, 11, -9]
    if width < 100:
        cells = (*cells[:4], *cells[5:])
        del widths[4]
    widths[3] = max(12, width - sum(map(abs, widths)) - 2 * (len(widths) - 1))
    return columns([(line(cell), w) for cell, w in zip(cells, widths, strict=True)])


STEP_CELLS = 39
"""Of a step in the timeline, before its text: joint, time, distance, what."""


class HistoryHead(QuietLines):
    """Names the columns of the table below it."""

    def build(self, width: int, height: int) -> Sequence[Line]:
        names = ("", "", "first seen", "incident", "strategy", "outcome", "healed in")
        inside = width - 2 * FRAME_CELLS
        head = _table_row(inside, *((name, "faint") for name in names))
        return [((" " * FRAME_CELLS, "text"), *head)]


def timeline(episode: Episode, width: int) -> list[Line]:
    """The episode's story: facts, then every step with its distance from the first occurrence."""
    out: list[Line] = [
        line((f"#{episode.number} ", "strong"), (safe(episode.title), "strong")),
        line((f"{episode.bug_type} · {safe(episode.service)} · {safe(episode.place)}", "muted")),
    ]
    facts = []
    if episode.strategy:
        facts.append(
            f"{episode.strategy}/{episode.template}" if episode.template else episode.strategy
        )
    if episode.confidence:
        facts.append(f"confidence {percent(episode.confidence)}")
    if episode.safety is not None:
        facts.append(f"safety {episode.safety}")
    if episode.risk:
        facts.append(f"{episode.risk} risk")
    if episode.occurrences:
        facts.append(plural(episode.occurrences, "occurrence"))
    if facts:
        out += wrap(" · ".join(facts), width, "muted")
    if episode.reason:
        out += wrap(f"“{safe(episode.reason)}”", width, "muted")
    out.append(())
    start = episode.first_seen_s
    for number, step in enumerate(episode.steps):
        joint = "└" if number == len(episode.steps) - 1 else "├"
        role = STATE_ROLES.get(step.what, "text")
        after = f"+{duration(step.time_s - start)}" if step.time_s - start >= 0.5 else ""
        room = max(8, width - STEP_CELLS)
        first, *more = wrap(safe(step.text), room, "muted") or [()]
        out.append(
            columns(
                [
                    (line((f"{joint}─", "faint")), 2),
                    (line((clock(step.time_s), "faint")), 8),
                    (line((after, "muted")), -8),
                    (line((step.what.replace("_", " "), role)), 17),
                    (first, room),
                ],
                gap=1,
            )
        )
        bar = "│" if joint == "├" else " "
        lead = line((f"{bar}{' ' * (STEP_CELLS - 1)}", "faint"))
        out += [(*lead, *part) for part in more]
    return out


def stats_lines(stats: HealingStats, width: int, *, ascii_only: bool = False) -> list[Line]:
    """Totals in a sentence, success by strategy as bars."""
    if not stats.incidents:
        return wrap("no figures yet: they come with the first episode", width, "muted")
    head = f"{plural(stats.incidents, 'incident')} · {stats.healed} healed"
    for count, word in (
        (stats.rolled_back, "rolled back"),
        (stats.rejected, "rejected"),
        (stats.false_alarms, "false alarm" if stats.false_alarms == 1 else "false alarms"),
    ):
        head += f" · {count} {word}" if count else ""
    out: list[Line] = list(wrap(head, width))
    times = []
    if stats.mttr_median_s is not None:
        times.append(f"time to heal: median {duration(stats.mttr_median_s)}")
    if stats.mttr_p90_s is not None:
        times.append(f"nine of ten within {duration(stats.mttr_p90_s)}")
    if stats.downtime_avoided_s:
        times.append(f"downtime avoided {duration(stats.downtime_avoided_s)}")
    out += wrap(" · ".join(times), width, "muted") if times else []
    longest = max((len(name) for name in stats.by_strategy), default=0)
    full, empty = ("#", ".") if ascii_only else ("━", "─")
    out.append(())
    for name, (applied, healed) in sorted(stats.by_strategy.items(), key=lambda kv: -kv[1][0]):
        if not applied:
            continue
        cells = 10
        filled = round(healed / applied * cells)
        out.append(
            line(
                (f"{name:<{longest}} ", "muted"),
                (full * filled + empty * (cells - filled), "good" if healed == applied else "warn"),
                (f"  {healed} of {applied} healed", "muted"),
            )
        )
    return out
