"""From approved to healed or rolled back: one apply at a time, each watched to its end."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace

from selfheal_engine.codec import to_plain
from selfheal_engine.coordinator.cases import Case
from selfheal_engine.coordinator.ledger import Ledger
from selfheal_engine.coordinator.parts import Parts
from selfheal_engine.coordinator.policy import ApprovalPolicy
from selfheal_engine.coordinator.rebasing import Rebasing
from selfheal_engine.coordinator.watching import Watched, begin_watch, look
from selfheal_engine.errors import HistoryError, PatchConflictError, SelfhealError
from selfheal_engine.healer import (
    Applied,
    Reverted,
    apply_patch,
    changed_since,
    continue_rollout,
    recover,
    renew_processes,
    revert_patch,
)
from selfheal_engine.model import (
    Candidate,
    Event,
    Incident,
    IncidentState,
    Occurrence,
    Sample,
)

IN_FLIGHT = (IncidentState.APPROVED, IncidentState.APPLIED, IncidentState.WATCHING)
"""States in which a patch may be in the files."""


class Healings:
    """Applies approved patches, watches them, rolls back. Runs on the engine thread."""

    def __init__(
        self,
        parts: Parts,
        ledger: Ledger,
        policy: ApprovalPolicy,
        prove_again: Callable[[Incident, Candidate], None],
        stop_working: Callable[[str], None],
    ) -> None:
        """`prove_again` validates a candidate that was re-based onto a changed file;
        `stop_working` ends the search for an incident's patches.
        """
        self.rebasing = Rebasing(parts, ledger, prove_again)
        self._stop_working = stop_working
        self._parts = parts
        self._ledger = ledger
        self._policy = policy
        self._watched: Watched | None = None

    # ------------------------------------------------------------ what the loop hands over
    def occurrence(self, occurrence: Occurrence) -> None:
        if self._watched is not None:
            self._watched.watch.occurrence(occurrence)

    def sample(self, sample: Sample, health: float, now_s: float) -> None:
        if self._watched is not None:
            routes = self._parts.source.route_counts()
            self._watched.watch.sample(sample, health, routes, now_s)
            self._end_if_replaced(self._watched)

    def advance(self, now_s: float) -> None:
        """Decide the watch; when none is left, apply the next approved patch."""
        if self._watched is not None:
            look(self._watched, self._parts, now_s)
            self._decide(self._watched, now_s)
        if self._watched is None and not self._parts.in_maintenance():
            for incident, case in self._ledger.open_cases():
                if incident.state is IncidentState.APPROVED and case.chosen is not None:
                    self._apply(incident, case, case.chosen, now_s)
                    return

    def came_back(self, incident: Incident, now_s: float) -> None:
        """A new incident of a bug that counted as healed on thin evidence: the patch goes back.

        Nothing had called the code, or too seldom, when its watch ended.
        """
        memory = self._parts.memory
        if not incident.fingerprint or self._parts.read_only():
            return
        for episode in memory.episodes(fingerprint=incident.fingerprint, state="healed")[:1]:
            applied = memory.applied(episode.id)
            if applied is None or applied.proven or changed_since(applied, self._parts.project):
                return
            reverted = self._revert(applied)
            text = "rolled back: the error came back after nothing had called the code"
            if not reverted.ok:
                text = f"{text}; but the roll-back failed: {reverted.reason}"
            self._policy.note_roll_back(incident.fingerprint, now_s)
            memory.rolled_back(episode.id, text)
            body = {"incident": episode.id, "reason": text}
            self._parts.publisher.event(Event(now_s, "rolled_back", body))

    def proposed(self, incident: Incident) -> None:
        """A proposal is there: approve it when the owner's policy says so."""
        if incident.proposal is None:
            return
        now_s = time.time()
        refusal = self._policy.refusal(incident, incident.proposal, now_s)
        if self._parts.in_maintenance():
            refusal = "maintenance: nothing is applied"
        if refusal:
            if refusal != incident.activity:
                self._leave_to_person(incident, refusal)
            return
        try:
            self._approve(incident, incident.proposal.candidates[0], "automatic")
        except HistoryError as why:
            self._ledger.change(incident.id, activity=str(why))
            return
        self._policy.note_apply(now_s)

    def _leave_to_person(self, incident: Incident, why: str) -> None:
        """Shown, and where policy could have decided also told: nobody may be at the screen."""
        self._ledger.change(incident.id, activity=why)
        if self._parts.settings.approve != "never":
            body = {"incident": incident.id, "decision": "leave", "by": "policy", "reason": why}
            self._parts.publisher.event(Event(time.time(), "decision", body))

    def reconsider(self) -> None:
        """A pause that has passed, an hour that is over: proposals that policy left may go now."""
        if self._parts.settings.approve == "never" or self._parts.read_only():
            return
        for incident, case in self._ledger.open_cases():
            undecided = incident.state is IncidentState.PROPOSED
            if undecided and not (case.held or case.proving):
                self.proposed(incident)

    def restarted(self, now_s: float) -> None:
        """Every process of the service was replaced."""
        self._policy.note_restart(now_s)
        if self._parts.holding is not None:
            self._parts.holding.serves(self._parts.source.root_pid)

    def watching(self) -> str:
        """Id of the incident whose healing is watched, or ""."""
        return self._watched.incident if self._watched else ""

    # ------------------------------------------------------------ what a person asks for
    def approve(self, incident_id: str, candidate_id: str, answer: Future[str]) -> None:
        """Approve one candidate; `answer` is given when it is in force or could not be applied."""
        incident = self._ledger.incident(incident_id)
        if self._parts.in_maintenance():
            raise SelfhealError("maintenance is on: nothing is applied until it is switched off")
        if self._parts.read_only():
            raise SelfhealError(self._parts.read_only())
        if incident.state is not IncidentState.PROPOSED or incident.proposal is None:
            raise SelfhealError(
                f"#{incident.number} is {incident.state.value}: nothing waits for approval"
            )
        candidate = next((c for c in incident.proposal.candidates if c.id == candidate_id), None)
        if candidate is None:
            raise SelfhealError(f"#{incident.number} has no patch {candidate_id}")
        self._approve(incident, candidate, "person")
        self._ledger.case(incident).waiting.append(answer)
        if self._watched is not None:
            self._ledger.change(incident.id, activity="approved: applied after the running watch")

    def roll_back(self, incident_or_episode: str) -> str:
        """Take a healing back, of this run or of the history. Raises SelfhealError."""
        incident = self._parts.tracker.get(incident_or_episode)
        applied = self._applied_of(incident, incident_or_episode)
        if self._parts.read_only():
            raise SelfhealError(self._parts.read_only())
        reverted = self._revert(applied)
        if not reverted.ok:
            raise SelfhealError(f"not rolled back: {reverted.reason}")
        text = "rolled back by you"
        if incident is not None:
            self._policy.note_roll_back(incident.fingerprint, time.time())
            self._closed(incident, text)
        else:
            self._parts.memory.rolled_back(incident_or_episode, text)
            body = {"incident": incident_or_episode, "reason": text}
            self._parts.publisher.event(Event(time.time(), "rolled_back", body))
        return f"rolled back in {reverted.seconds:.1f} s"

    # ------------------------------------------------------------ after a crash
    def recover(self) -> None:
        """Finish or take back what an earlier process left in the middle.

        An app that may only look leaves it to the one that holds the service.
        """
        if self._parts.read_only():
            return
        for incident, note in self._parts.memory.unfinished():
            case = Case.from_note(incident, note)
            self._ledger.adopt(incident, case)
            if incident.state.ended:
                self._ledger.remember(incident)
            elif case.rolling_back and case.applied is not None:
                self._roll_back_watched(incident, case.applied, case.rolling_back)
            elif incident.state in IN_FLIGHT:
                self._recover_patch(incident, case, note)

    def _recover_patch(self, incident: Incident, case: Case, note: dict[str, object]) -> None:
        parts = self._parts
        if not case.applying:
            note = {}  # approved, but it was not its turn yet: whatever is in the file is not it
        found = recover(incident, note, parts.project, parts.source, parts.settings, parts.vault)
        case.applied = found.applied
        if found.kind == "in_force" and found.applied is not None:
            self._start_watch(incident, found.applied, time.time(), found.text)
        elif found.kind == "conflict":
            self._ledger.end(incident.id, IncidentState.DISMISSED, found.text)
        else:
            case.chosen, case.by, case.applying = None, "", False
            again = self._ledger.move(
                incident.id, IncidentState.PROPOSED, found.text, applied="", activity=found.text
            )
            self.proposed(again)

    # ------------------------------------------------------------ steps
    def _approve(self, incident: Incident, candidate: Candidate, by: str) -> None:
        case = self._ledger.case(incident)
        before = case.chosen, case.by, case.applying
        case.chosen, case.by, case.applying = candidate, by, False
        try:
            self._ledger.move(
                incident.id, IncidentState.APPROVED, candidate.title, activity="applying"
            )
        except HistoryError:
            case.chosen, case.by, case.applying = before
            raise
        body = {
            "incident": incident.id,
            "decision": "approve",
            "by": by,
            "candidate": candidate.id,
        }
        self._parts.publisher.event(Event(time.time(), "decision", body))

    def _apply(self, incident: Incident, case: Case, candidate: Candidate, now_s: float) -> None:
        parts = self._parts
        try:
            case.applying = True
            self._ledger.before_effect(incident.id)
            applied = apply_patch(
                candidate,
                parts.project,
                parts.source,
                parts.settings,
                parts.vault,
                incident=incident,
            )
        except Exception as why:  # noqa: BLE001 - told to whoever approved it
            self._could_not_apply(incident, case, why)
            return
        case.applied = applied
        self._ledger.move(
            incident.id,
            IncidentState.APPLIED,
            applied.note,
            applied=candidate.id,
            applied_s=now_s,
        )
        parts.publisher.event(
            Event(
                time.time(),
                "applied",
                {
                    "incident": incident.id,
                    "candidate": candidate.id,
                    "files": [path for path, _ in candidate.files],
                    "processes": to_plain(applied.processes),
                    "way": applied.way,
                    "note": applied.note,
                },
            )
        )
        case.answer(applied.note)
        # a reload or a restart takes its time: what failed meanwhile is not the patch's
        began_s = max(now_s, applied.applied_s)
        self._start_watch(self._ledger.incident(incident.id), applied, began_s, "")

    def _could_not_apply(self, incident: Incident, case: Case, why: Exception) -> None:
        """Back to the person; a patch made for an older file is re-based and proven again."""
        chosen, case.chosen, case.applying, case.refused = case.chosen, None, False, True
        case.held = case.held or not isinstance(why, PatchConflictError)  # no try after try
        known = isinstance(why, SelfhealError)
        text = str(why) if known else f"not applied: {type(why).__name__}: {why}"
        if isinstance(why, PatchConflictError) and chosen is not None:
            self.rebasing.onto_new_text(incident, chosen, text)
        else:
            self._ledger.move(incident.id, IncidentState.PROPOSED, text, activity=text)
        more = {} if known else {"traceback": "".join(traceback.format_exception(why))}
        self._parts.publisher.error(text, incident=incident.id, **more)
        case.refuse(why if known else SelfhealError(text))

    def _start_watch(self, incident: Incident, applied: Applied, now_s: float, text: str) -> None:
        self._watched = begin_watch(incident, applied, self._parts, now_s)
        activity = "in force: watching that it holds"
        if applied.stuck:
            activity = "in force, but restart the service: what was stuck before stays so till then"
        self._ledger.move(incident.id, IncidentState.WATCHING, text, activity=activity)

    def _decide(self, watched: Watched, now_s: float) -> None:
        outcome = watched.watch.decide(now_s)
        if outcome is None:
            return
        incident = self._ledger.incident(watched.incident)
        case = self._ledger.case(incident)
        if case.applied is None:
            raise SelfhealError(f"#{incident.number} is watched but nothing was applied")
        if outcome.kind == "next_canary":
            case.applied = continue_rollout(
                case.applied, self._parts.source, self._parts.settings, self._parts.project
            )
            watched.watch.rolled_out(case.applied, now_s)
            self._ledger.journal(incident.id)
            self._ledger.change(incident.id, activity=outcome.text)
        elif outcome.kind == "renew":
            self._renew(incident, case.applied, watched, outcome.text)
        elif outcome.kind == "healed":
            self._watched = None
            case.applied = replace(case.applied, proven=outcome.proven)
            ended = self._ledger.end(incident.id, IncidentState.HEALED, outcome.text)
            self._parts.monitor.note_healed(now_s)
            self._policy.note_healed(incident.fingerprint, now_s)
            mttr_s = round(ended.ended_s - ended.first_seen_s, 3)
            body = {"incident": incident.id, "mttr_s": mttr_s, "text": outcome.text}
            self._parts.publisher.event(Event(ended.ended_s, "healed", body))
        elif outcome.kind == "handed_over":
            self._watched = None
            if case.applied.stuck:  # told as well: nobody may be at the screen
                body = {"incident": incident.id, "decision": "leave", "by": "policy"}
                event = Event(time.time(), "decision", {**body, "reason": outcome.text})
                self._parts.publisher.event(event)
            self._ledger.end(incident.id, IncidentState.DISMISSED, outcome.text)
        else:
            self._roll_back_watched(incident, case.applied, outcome.text)

    def _renew(self, incident: Incident, applied: Applied, watched: Watched, why: str) -> None:
        """New processes for the patch that is in force; it goes back where they cannot be had."""
        parts = self._parts
        try:
            renewed = renew_processes(applied, parts.source, parts.settings, parts.project)
        except SelfhealError as refused:
            self._roll_back_watched(incident, applied, f"rolled back: {why} ({refused})")
            return
        self._ledger.case(incident).applied = renewed
        watched.watch.rolled_out(renewed, time.time())
        self._ledger.journal(incident.id)
        text = f"{why}; in force after a {renewed.way}: watching that it holds"
        self._ledger.change(incident.id, activity=text)

    def _end_if_replaced(self, watched: Watched) -> None:
        """A deploy, or an edit, went over the patch: there is nothing left to judge."""
        case = self._ledger.case(self._ledger.incident(watched.incident))
        changed = changed_since(case.applied, self._parts.project) if case.applied else ""
        if changed:
            self._watched = None
            text = f"{changed} was changed while the patch was watched: what runs now is not it"
            self._ledger.end(watched.incident, IncidentState.DISMISSED, text)

    def _roll_back_watched(self, incident: Incident, applied: Applied, why: str) -> None:
        case = self._ledger.case(incident)
        case.rolling_back = why
        self._ledger.journal(incident.id)
        reverted = self._revert(applied)
        text = why if reverted.ok else f"{why}; but the roll-back failed: {reverted.reason}"
        self._policy.note_roll_back(incident.fingerprint, time.time())
        caused = self._watched.watch.caused if self._watched is not None else ""
        self._closed(incident, text)
        if caused and reverted.ok:
            self._gone_with(incident, caused)

    def _gone_with(self, incident: Incident, fingerprint: str) -> None:
        """The incident of a failure that the patch brought and took away again."""
        for other, _ in self._ledger.open_cases():
            undecided = other.state not in IN_FLIGHT
            if undecided and other.fingerprint == fingerprint and other.id != incident.id:
                self._stop_working(other.id)
                text = f"came with the patch for #{incident.number}, which was taken back"
                self._ledger.end(other.id, IncidentState.DISMISSED, text)

    def _revert(self, applied: Applied) -> Reverted:
        parts = self._parts
        return revert_patch(applied, parts.project, parts.source, parts.settings, parts.vault)

    def _closed(self, incident: Incident, text: str) -> None:
        """The end of an incident whose patch was taken back."""
        if self._watched is not None and self._watched.incident == incident.id:
            self._watched = None
        self._ledger.end(incident.id, IncidentState.ROLLED_BACK, text)
        body = {"incident": incident.id, "reason": text}
        self._parts.publisher.event(Event(time.time(), "rolled_back", body))

    def _applied_of(self, incident: Incident | None, episode_id: str) -> Applied:
        case = self._ledger.case(incident) if incident is not None else None
        applied = case.applied if case else self._parts.memory.applied(episode_id)
        if applied is None:
            raise SelfhealError(f"nothing of {episode_id} is in force that could be rolled back")
        return applied
