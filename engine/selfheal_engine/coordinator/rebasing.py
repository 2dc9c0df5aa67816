"""Patches whose files have changed since: the same change on the new text, proven again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from selfheal_engine.coordinator.ledger import Ledger
from selfheal_engine.coordinator.parts import Parts
from selfheal_engine.errors import PatchConflictError
from selfheal_engine.healer import changed_files, rebase_patch
from selfheal_engine.model import Candidate, Incident, IncidentState


class Rebasing:
    """Keeps proposals valid. Runs on the engine thread."""

    def __init__(
        self, parts: Parts, ledger: Ledger, prove_again: Callable[[Incident, Candidate], None]
    ) -> None:
        """`prove_again` validates a candidate that was re-based onto a changed file."""
        self._parts = parts
        self._ledger = ledger
        self._prove_again = prove_again

    def freshen(self) -> None:
        """A deploy or an edit went over a proposal's files: what is shown is made valid again."""
        if self._parts.read_only():
            return
        for incident, case in self._ledger.open_cases():
            proposal = incident.proposal
            if incident.state is not IncidentState.PROPOSED or case.proving or proposal is None:
                continue
            for best in proposal.candidates[:1]:
                changed = changed_files(best, self._parts.project)
                if changed:
                    text = f"{changed[0]} has changed since the patch was made"
                    self.onto_new_text(incident, best, text)

    def onto_new_text(self, incident: Incident, stale: Candidate, why: str) -> None:
        """The same change on the files as they are now, proven again; where the two changes meet,
        the incident is diagnosed anew.
        """
        try:
            rebased = rebase_patch(stale, self._parts.project)
        except PatchConflictError:
            self._ledger.case(incident).attempts = 0
            self._ledger.move(incident.id, IncidentState.OPEN, why, activity=why, proposal=None)
            return
        proposal = incident.proposal
        if proposal is not None:
            kept = [
                (candidate, verdict)
                for candidate, verdict in zip(proposal.candidates, proposal.verdicts, strict=True)
                if candidate.id != stale.id
            ]
            proposal = replace(
                proposal, candidates=tuple(c for c, _ in kept), verdicts=tuple(v for _, v in kept)
            )
        text = f"{why}: the patch was re-based and is being proven again"
        again = self._ledger.move(
            incident.id, IncidentState.PROPOSED, text, activity=text, proposal=proposal
        )
        self._prove_again(again, rebased)
