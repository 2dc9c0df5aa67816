"""The one place where an incident changes its state: journalled first, then done, then told.

A transition is written to the memory before its effect (write-ahead), so that after a crash
the next start knows what was meant; see `healing.Healings.recover`.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from selfheal_engine.coordinator.cases import Case, episode_of
from selfheal_engine.coordinator.parts import Parts
from selfheal_engine.errors import SelfhealError
from selfheal_engine.events import incident_event
from selfheal_engine.model import Incident, IncidentState


class Ledger:
    """Cases by incident, and the moves between states."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._cases: dict[str, Case] = {}
        self.dirty = True
        """Something changed that a screen shows; the loop publishes and clears it."""

    # ------------------------------------------------------------ reading
    def incident(self, incident_id: str) -> Incident:
        """The incident as it is now. Raises SelfhealError when there is none."""
        incident = self._parts.tracker.get(incident_id)
        if incident is None:
            raise SelfhealError(f"there is no incident {incident_id}: look at the incidents list")
        return incident

    def case(self, incident: Incident) -> Case:
        """The incident's working state; made when it is asked for first."""
        case = self._cases.get(incident.id)
        if case is None:
            case = self._cases[incident.id] = Case(incident.id, time.time())
            case.step("first_occurrence", incident.title, incident.first_seen_s)
            case.step("open")
        return case

    def adopt(self, case: Case) -> None:
        """Take over a case that an earlier process left unfinished."""
        self._cases[case.incident] = case

    def open_cases(self) -> list[tuple[Incident, Case]]:
        """Every incident that has not ended, by user harm: severity, then how often.

        A deadlock comes before the stalls that it causes.
        """
        rank = {"critical": 0, "warning": 1, "info": 2}
        open_ = [i for i in self._parts.tracker.incidents() if not i.state.ended]
        open_.sort(key=lambda i: (rank[i.severity], not _is_deadlock(i), -i.count, i.first_seen_s))
        return [(incident, self.case(incident)) for incident in open_]

    # ------------------------------------------------------------ changing
    def opened(self, incident: Incident) -> None:
        """A new incident: journalled and told."""
        case = self.case(incident)
        self._parts.memory.write_state(incident, case.note())
        self._tell(incident)

    def move(
        self, incident_id: str, state: IncidentState, text: str = "", **changes: Any
    ) -> Incident:
        """To another state; `text` goes into the timeline, `changes` into the incident."""
        incident = replace(self.incident(incident_id), state=state, **changes)
        case = self.case(incident)
        case.step(state.value, text)
        self._parts.memory.write_state(incident, case.note())
        self._parts.tracker.put(incident)
        self._tell(incident)
        return incident

    def journal(self, incident_id: str) -> None:
        """Write what the case has learned without changing its state."""
        incident = self.incident(incident_id)
        self._parts.memory.write_state(incident, self.case(incident).note())

    def change(self, incident_id: str, **changes: Any) -> Incident:
        """Change what is shown of an incident, in the same state, without journalling."""
        incident = replace(self.incident(incident_id), **changes)
        self._parts.tracker.put(incident)
        self.dirty = True
        return incident

    def end(self, incident_id: str, state: IncidentState, outcome: str) -> Incident:
        """The end of an incident: the episode is remembered, the journalled state dropped."""
        incident = self.move(
            incident_id, state, outcome, outcome=outcome, ended_s=time.time(), activity=""
        )
        self.remember(incident)
        return incident

    def remember(self, incident: Incident) -> None:
        """The episode of an incident that has ended; may be told twice, as after a crash."""
        case, service = self.case(incident), self._parts.source.service()
        self._parts.memory.add(episode_of(incident, case, service.name, service.framework))
        if case.applied is not None and incident.state is IncidentState.HEALED:
            self._parts.memory.remember_applied(incident.id, case.applied)
        self._parts.memory.forget_state(incident.id)

    def _tell(self, incident: Incident) -> None:
        self._parts.publisher.event(incident_event(incident, time.time()))
        self.dirty = True


def _is_deadlock(incident: Incident) -> bool:
    return incident.occurrence is not None and incident.occurrence.kind == "deadlock"
