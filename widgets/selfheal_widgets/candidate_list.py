"""The patches of one proposal: what each does, how sure we are, how safe it proved to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from selfheal_widgets.lines import columns, line, safe, spread, width_of, wrap
from selfheal_widgets.row_list import Row, RowList
from selfheal_widgets.words import percent

if TYPE_CHECKING:
    from selfheal_engine.model import Candidate, Proposal, Verdict

ONE_LINE_CELLS = 70

EDITED = " (edited)"
"""Ends the origin of a patch that a person changed."""

RISK_ROLES = {"low": "good", "medium": "warn", "high": "bad"}


def verdict_of(proposal: Proposal, candidate: Candidate) -> Verdict | None:
    return next((v for v in proposal.verdicts if v.candidate == candidate.id), None)


def title_of(candidate: Candidate) -> str:
    """What the patch does; a person's own version says that it is one."""
    title = safe(candidate.title or candidate.template)
    return f"your edit of: {title}" if is_edited(candidate) else title


def is_edited(candidate: Candidate) -> bool:
    """Whether a person changed it by hand."""
    return candidate.origin.endswith(EDITED)


def safety_text(verdict: Verdict | None) -> tuple[str, str]:
    """Safety score and its role; why there is none otherwise."""
    if verdict is None:
        return ("not tried yet", "muted")
    if verdict.infrastructure:
        return ("sandbox failed", "warn")
    if verdict.safety is None:
        return ("not proven", "bad")
    role = "good" if verdict.safety >= 80 else "warn" if verdict.safety >= 50 else "bad"
    return (f"safety {verdict.safety}", role)


class CandidateList(RowList):
    """Two lines for each patch, best first."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.proposal: Proposal | None = None
        self.waiting = ""
        self.border_title = "patches"

    def show(self, proposal: Proposal | None, waiting: str) -> None:
        """Take a proposal; `waiting` says what happens while there is none."""
        self.proposal, self.waiting = proposal, waiting
        self.repaint()

    @property
    def candidate(self) -> Candidate | None:
        """The patch under the cursor."""
        if self.proposal is None:
            return None
        return next((c for c in self.proposal.candidates if c.id == self.selected), None)

    def build(self, width: int) -> Sequence[Row]:
        if self.proposal is None or not self.proposal.candidates:
            return [Row("", tuple(wrap(self.waiting, width - 1, "muted")))]
        ids = [candidate.id for candidate in self.proposal.candidates]
        chosen = self.selected if self.selected in ids else ids[0]
        return [
            self._row(number, candidate, candidate.id == chosen, width)
            for number, candidate in enumerate(self.proposal.candidates, 1)
        ]

    def _row(self, number: int, candidate: Candidate, chosen: bool, width: int) -> Row:
        """A line where that is wide enough, else title and figures below each other.

        Where a line has no room for both, what a patch does says more than its strategy.
        """
        assert self.proposal is not None
        mark = "▶" if chosen else " "
        title = title_of(candidate)
        head = line((f"{mark}{number} ", "accent"), (candidate.strategy, "strong"))
        safety, safety_role = safety_text(verdict_of(self.proposal, candidate))
        sure = percent(candidate.confidence)
        risk = f"{candidate.risk} risk"
        if width >= ONE_LINE_CELLS:
            cells = columns(
                [
                    (line((f"{sure} sure", "muted")), -10),
                    (line((safety, safety_role)), self._safety_cells()),
                    (line((risk, RISK_ROLES[candidate.risk])), 11),
                ]
            )
            named = (*head, (f" · {title}", "text"))
            if width_of(named) > width - width_of(cells) - 2:
                named = line((f"{mark}{number} ", "accent"), (title, "text"))
            return Row(candidate.id, (spread(named, cells, width),))
        figures = line(
            (f"confidence {sure}  ", "muted"),
            (safety, safety_role),
            (f"  {risk}", RISK_ROLES[candidate.risk]),
        )
        titles = [line(("   ", "text"), *part) for part in wrap(title, width - 4)[:3]]
        return Row(candidate.id, (head, *titles, line(("   ", "text"), *figures)))

    def _safety_cells(self) -> int:
        """Width of the longest verdict, so that they stand below each other."""
        assert self.proposal is not None
        verdicts = (verdict_of(self.proposal, c) for c in self.proposal.candidates)
        return max(len(safety_text(verdict)[0]) for verdict in verdicts)

    def select(self, id: str) -> None:
        super().select(id)
        self.repaint()
