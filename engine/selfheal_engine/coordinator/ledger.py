"""The one place where an incident changes its state: journalled first, then done, then told.

A transition is written to the memory before its effect (write-ahead), so that after a crash
the next start knows what was meant; see `healing.Healings.recover`. Where the disk is full, an
approval is refused, because a patch that nobody remembers must not be written. Everything else
goes on, is told once, and is put down as soon as there is room: what an earlier start finds
then is one step behind, which recovery is made for.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from selfheal_engine.coordinator.cases import Case, episode_of
from selfheal_engine.coordinator.parts import Parts
from selfheal_engine.errors import HistoryError, SelfhealError
from selfheal_engine.events import incident_event
from selfheal_engine.healer import Applied
from selfheal_engine.model import Incident, IncidentState

_IN_FORCE = (IncidentState.WATCHING, IncidentState.HEALED, IncidentState.DISMISSED)
"""States in which a patch that was applied has not been taken back."""
_BEFORE_EFFECT = IncidentState.APPROVED
"""The state whose effect must not begin before it is on the disk."""


class Ledger:
    """Cases by incident, and the moves between states."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._cases: dict[str, Case] = {}
        self._late: set[str] = set()
        """Incidents whose last change could not be written yet."""
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

    def adopt(self, incident: Incident, case: Case) -> None:
        """Take over what an earlier process left unfinished; told, as to whom it is new."""
        self._cases[case.incident] = case
        self._parts.tracker.put(incident)
        if not incident.state.ended:
            self._tell(incident)

    def open_cases(self) -> list[tuple[Incident, Case]]:
        """Every incident that has not ended, by user harm: severity, then how often.

        A deadlock comes before the stalls that it causes.
        """
        rank = {"critical": 0, "warning": 1, "info": 2}
        open_ = [i for i in self._parts.tracker.incidents() if not i.state.ended]
        open_.sort(key=lambda i: (rank[i.severity], not _is_deadlock(i), -i.count, i.first_seen_s))
        return [(incident, self.case(incident)) for incident in open_]

    def stuck(self) -> list[tuple[Incident, Applied]]:
        """Patches in force of this run whose processes kept what the bug had taken from them."""
        found = []
        for case in self._cases.values():
            incident = self._parts.tracker.get(case.incident)
            if incident is None or case.applied is None or not case.applied.stuck:
                continue
            if incident.state in _IN_FORCE:
                found.append((incident, case.applied))
        return found

    # ------------------------------------------------------------ changing
    def opened(self, incident: Incident) -> None:
        """A new incident: journalled and told."""
        self._put_down(incident)
        self._tell(incident)

    def move(
        self, incident_id: str, state: IncidentState, text: str = "", **changes: Any
    ) -> Incident:
        """To another state; `text` goes into the timeline, `changes` into the incident.

        Raises HistoryError, with nothing changed, when an approval cannot be written.
        """
        incident = replace(self.incident(incident_id), state=state, **changes)
        case = self.case(incident)
        case.step(state.value, text)
        if state is _BEFORE_EFFECT:
            try:
                self._parts.memory.write_state(incident, case.note())
            except HistoryError:
                case.steps.pop()
                raise
        else:
            self._put_down(incident)
        self._parts.tracker.put(incident)
        self._tell(incident)
        return incident

    def journal(self, incident_id: str) -> None:
        """Write what the case has learned without changing its state."""
        self._put_down(self.incident(incident_id))

    def before_effect(self, incident_id: str) -> None:
        """Write the case down before something happens that nothing else remembers.

        Raises HistoryError; then it must not happen.
        """
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

    def ended_by_itself(self, incident: Incident) -> None:
        """The tracker has ended an incident that nobody took up: told and remembered."""
        case = self.case(incident)
        case.by = "engine"
        case.step(incident.state.value, incident.outcome)
        self._tell(incident)
        self.remember(incident)

    def remember(self, incident: Incident) -> None:
        """The episode of an incident that has ended; may be told twice, as after a crash."""
        try:
            self._remember(incident)
        except HistoryError as why:
            self._is_late(incident, why)

    def catch_up(self) -> None:
        """Write what could not be written before, and let go of what nobody asks for any more."""
        for incident_id in tuple(self._late):
            self._late.discard(incident_id)
            incident = self._parts.tracker.get(incident_id)
            if incident is not None and incident.state.ended:
                self.remember(incident)
            elif incident is not None:
                self._put_down(incident)
        known = {incident.id for incident in self._parts.tracker.incidents()}
        for gone in self._cases.keys() - known:
            del self._cases[gone]

    # ------------------------------------------------------------ inside
    def _put_down(self, incident: Incident) -> None:
        if self._parts.read_only():
            return  # the engine that holds the service keeps its record
        try:
            self._parts.memory.write_state(incident, self.case(incident).note())
        except HistoryError as why:
            self._is_late(incident, why)

    def _remember(self, incident: Incident) -> None:
        if self._parts.read_only():
            return
        case, service = self.case(incident), self._parts.source.service()
        self._parts.memory.add(episode_of(incident, case, service.name, service.framework))
        if case.applied is not None and incident.state is IncidentState.HEALED:
            self._parts.memory.remember_applied(incident.id, case.applied)
        self._parts.memory.forget_state(incident.id)

    def _is_late(self, incident: Incident, why: HistoryError) -> None:
        if not self._late:
            self._parts.publisher.error(f"{why}; it is tried again", incident=incident.id)
        self._late.add(incident.id)

    def _tell(self, incident: Incident) -> None:
        self._parts.publisher.event(incident_event(incident, time.time()))
        self.dirty = True


def _is_deadlock(incident: Incident) -> bool:
    return incident.occurrence is not None and incident.occurrence.kind == "deadlock"
