"""What a person may do with an incident besides approving: reject, defer, dismiss, edit, export."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from selfheal_engine.coordinator.investigation import Investigations
from selfheal_engine.coordinator.ledger import Ledger
from selfheal_engine.coordinator.parts import Parts
from selfheal_engine.errors import SelfhealError
from selfheal_engine.healer import export_patch, write_new_file
from selfheal_engine.model import Candidate, Event, Incident, IncidentState

_UNDECIDED = (IncidentState.OPEN, IncidentState.DIAGNOSED, IncidentState.PROPOSED)


class Decisions:
    """Carries out a person's decisions on the engine thread; each returns a sentence for them."""

    def __init__(self, parts: Parts, ledger: Ledger, investigations: Investigations) -> None:
        self._parts = parts
        self._ledger = ledger
        self._investigations = investigations

    def reject(self, incident_id: str, candidate_id: str, reason: str) -> str:
        """Reject one candidate, or all with "": it is never shown again for this fingerprint."""
        incident = self._undecided(incident_id)
        proposal = incident.proposal
        if proposal is None or not proposal.candidates:
            raise SelfhealError(f"#{incident.number} has no patch to reject: dismiss it instead")
        rejected = [c for c in proposal.candidates if candidate_id in ("", c.id)]
        if not rejected:
            raise SelfhealError(f"#{incident.number} has no patch {candidate_id}")
        service = self._parts.source.service()
        for candidate in rejected:
            self._parts.memory.reject(
                incident.fingerprint,
                candidate.diff,
                reason,
                strategy=candidate.strategy,
                template=candidate.template,
                bug_type=incident.bug_type,
                framework=service.framework,
                service=service.name,
            )
        self._tell(incident, "reject", reason, candidate_id)
        kept = [
            (candidate, verdict)
            for candidate, verdict in zip(proposal.candidates, proposal.verdicts, strict=True)
            if candidate not in rejected
        ]
        if kept:
            self._ledger.case(incident).held = True
            left = replace(
                proposal, candidates=tuple(c for c, _ in kept), verdicts=tuple(v for _, v in kept)
            )
            self._ledger.change(incident.id, proposal=left)
            self._ledger.journal(incident.id)
            return f"rejected; {len(kept)} left for #{incident.number}"
        case = self._ledger.case(incident)
        case.chosen, case.by, case.reason = rejected[0], "reject", reason
        self._investigations.cancel(incident.id)
        self._ledger.end(incident.id, IncidentState.REJECTED, reason or "rejected by you")
        return f"#{incident.number} rejected: these patches are not shown again"

    def defer(self, incident_id: str) -> str:
        incident = self._undecided(incident_id)
        self._ledger.case(incident).held = True
        self._ledger.change(incident.id, activity="deferred: kept until you come back to it")
        self._ledger.journal(incident.id)
        self._tell(incident, "defer", "", "")
        return f"#{incident.number} is kept for later"

    def dismiss(self, incident_id: str, reason: str, by: str = "person") -> str:
        incident = self._undecided(incident_id)
        self._investigations.cancel(incident.id)
        case = self._ledger.case(incident)
        case.reason, case.by = reason, "dismiss" if by == "person" else by
        self._tell(incident, "dismiss", reason, "", by)
        self._ledger.end(incident.id, IncidentState.DISMISSED, reason or "dismissed by you")
        return f"#{incident.number} dismissed"

    def edit(self, incident_id: str, candidate_id: str, new_files: dict[str, bytes]) -> str:
        incident, candidate = self._candidate(incident_id, candidate_id)
        # imported here: the engine's process parses no code until a person asks for it
        from selfheal_engine.patch_generator.writing import edited_candidate

        self._ledger.case(incident).held = True
        edited = edited_candidate(candidate, new_files, self._parts.project)
        self._investigations.edit(incident, edited)
        return "your edit is being validated"

    def write_test(self, incident_id: str, candidate_id: str) -> str:
        """Write the reproducer as a regression test into the project. Never overwrites."""
        incident, _ = self._candidate(incident_id, candidate_id)
        if incident.diagnosis is None or incident.occurrence is None:
            raise SelfhealError(f"#{incident.number} has no diagnosis to make a test from")
        from selfheal_engine.diagnosis import regression_test

        project = self._parts.project
        made = regression_test(incident.diagnosis, incident.occurrence, project)
        if made is None:
            raise SelfhealError(
                f"#{incident.number} cannot be replayed from its record, so no test can be written"
            )
        path, content = made
        write_new_file(project.root / path, content)
        return f"wrote {path}"

    def export(self, incident_id: str, candidate_id: str, folder: Path) -> str:
        incident, candidate = self._candidate(incident_id, candidate_id)
        return f"wrote {export_patch(candidate, incident, folder)}"

    # ------------------------------------------------------------ helpers
    def _undecided(self, incident_id: str) -> Incident:
        incident = self._ledger.incident(incident_id)
        if incident.state not in _UNDECIDED:
            raise SelfhealError(f"#{incident.number} is {incident.state.value} already")
        return incident

    def _candidate(self, incident_id: str, candidate_id: str) -> tuple[Incident, Candidate]:
        incident = self._ledger.incident(incident_id)
        candidates = incident.proposal.candidates if incident.proposal else ()
        for candidate in candidates:
            if candidate.id == candidate_id:
                return incident, candidate
        raise SelfhealError(f"#{incident.number} has no patch {candidate_id}")

    def _tell(
        self, incident: Incident, decision: str, reason: str, candidate: str, by: str = "person"
    ) -> None:
        body = {"incident": incident.id, "decision": decision, "by": by, "reason": reason}
        if candidate:
            body["candidate"] = candidate
        self._parts.publisher.event(Event(time.time(), "decision", body))
