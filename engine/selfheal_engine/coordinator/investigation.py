"""From open to proposed: which incident is worked on, and what comes back from its process.

One proposing process at a time, so that a storm of incidents does not take the machine from
the service; the next one starts by user harm.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from selfheal_engine.codec import from_plain
from selfheal_engine.coordinator.cases import Case
from selfheal_engine.coordinator.job import Job, Workplace
from selfheal_engine.coordinator.ledger import Ledger
from selfheal_engine.coordinator.parts import Parts
from selfheal_engine.coordinator.workers import Message, PreparingProcess, ProposingProcess
from selfheal_engine.episodic_memory.similarity import in_words
from selfheal_engine.events import (
    candidate_event,
    diagnosis_event,
    proposal_event,
    verdict_event,
)
from selfheal_engine.healer import route_of
from selfheal_engine.model import (
    Candidate,
    Diagnosis,
    Incident,
    IncidentState,
    Occurrence,
    Proposal,
)

SETTLE_S = 3.0
"""How long to wait for a fuller record (entry arguments, good calls) of a new bug."""
LEAK_SETTLE_S = 8.0
"""A leak is in no hurry, and only calls that went well can show it again."""
ENOUGH_CALLS = 40
LEAST_S = 0.7
"""A record that is already full is not waited for longer than this."""
PREPARE_AFTER_S = 5.0
"""The service and we have started by then."""
MOST_ATTEMPTS = 3


class Investigations:
    """Runs proposing processes. `proposed` is called with each incident that got a proposal."""

    def __init__(
        self,
        parts: Parts,
        ledger: Ledger,
        deliver: Callable[[Message], None],
        proposed: Callable[[Incident], None],
    ) -> None:
        self._parts = parts
        self._ledger = ledger
        self._deliver = deliver
        self._proposed = proposed
        self._running: ProposingProcess | None = None
        self._spare: ProposingProcess | None = None
        self._ahead: PreparingProcess | None = None
        self._prepared = False
        self._born_s = 0.0
        self._started_s = 0.0
        self._edits: list[tuple[str, Candidate]] = []
        self._editing: Candidate | None = None
        self.progress: float | None = None

    # ------------------------------------------------------------ the engine's tick
    def advance(self, now_s: float) -> None:
        """Start the next incident's process when none runs and one is ready."""
        if self._running is not None or self._parts.read_only():
            return
        if self._spare is None and self._wanted():
            if self._ahead is not None:  # the spare one does the same, and faster
                self._ahead.end()
                self._ahead = None
            self._prepared = True
            self._spare = self._process()
        self._prepare(now_s)
        if self._edits:
            incident_id, edited = self._edits.pop(0)
            self._start(self._ledger.incident(incident_id), now_s, edited)
            return
        for incident, case in self._ledger.open_cases():
            if incident.occurrence is not None and self._ready(incident, case, now_s):
                self._start(incident, now_s, None)
                return

    def handle(self, message: Message) -> None:
        """One message of the running process, on the engine thread."""
        if self._running is None or message.incident != self._running.incident:
            return
        incident = self._parts.tracker.get(message.incident)
        if incident is None or incident.state.ended:
            self._finish()
            return
        handler = getattr(self, f"_on_{message.what}", None)
        if handler is not None:
            handler(incident, message)

    def edit(self, incident: Incident, edited: Candidate) -> None:
        """Validate a candidate that a person changed; it then takes its place in the proposal."""
        self._edits.append((incident.id, edited))
        self._ledger.case(incident).proving = True
        self._ledger.change(incident.id, activity="your edit waits for its validation")

    def cancel(self, incident_id: str) -> None:
        """Stop working for an incident that has ended."""
        if self._running is not None and self._running.incident == incident_id:
            self._running.cancel()
            self._finish()

    def running(self) -> tuple[str, float] | None:
        """(incident id, since when) of the work under way."""
        return (self._running.incident, self._started_s) if self._running else None

    def close(self) -> None:
        for process in (self._running, self._spare):
            if process is not None:
                process.cancel()
                process.wait(5.0)
        self._running = self._spare = None
        if self._ahead is not None:
            self._ahead.end()
            self._ahead = None

    # ------------------------------------------------------------ starting
    def _wanted(self) -> bool:
        """A new bug is settling: its process imports what it needs in the meantime."""
        return bool(self._edits) or any(
            incident.state is IncidentState.OPEN
            and incident.occurrence is not None
            and case.attempts < MOST_ATTEMPTS
            for incident, case in self._ledger.open_cases()
        )

    def _ready(self, incident: Incident, case: Case, now_s: float) -> bool:
        occurrence = incident.occurrence
        if occurrence is None or now_s < case.not_before_s or case.attempts >= MOST_ATTEMPTS:
            return False
        if incident.state is IncidentState.OPEN:
            waited = now_s - case.opened_s
            settle_s = LEAK_SETTLE_S if occurrence.kind == "leak" else SETTLE_S
            return waited >= (LEAST_S if _full(occurrence) else settle_s)
        if incident.state is not IncidentState.DIAGNOSED:
            return False
        # no proof last time: try again once a fuller record has come
        proven = incident.proposal is not None and incident.proposal.candidates
        return not proven and case.tried_record not in ("", _record_id(occurrence))

    def _prepare(self, now_s: float) -> None:
        """Once, while all is well: what the tests say is learned before anybody waits for it."""
        if self._ahead is not None and self._ahead.ended():
            self._ahead = None
        self._born_s = self._born_s or now_s
        if not self._prepared and now_s - self._born_s >= PREPARE_AFTER_S:
            self._prepared = True
            self._ahead = PreparingProcess(self._workplace())

    def _process(self) -> ProposingProcess:
        return ProposingProcess(self._workplace(), self._deliver)

    def _workplace(self) -> Workplace:
        project = self._parts.project
        return Workplace(
            project_root=str(project.root),
            python=project.python,
            tests=project.tests,
            import_paths=project.import_paths,
            settings=self._parts.settings,
        )

    def _start(self, incident: Incident, now_s: float, edited: Candidate | None) -> None:
        parts = self._parts
        case = self._ledger.case(incident)
        if edited is None:
            case.attempts += 1
            case.tried_record = _record_id(incident.occurrence)
        service = parts.source.service()
        job = Job(
            incident=incident,
            priors=parts.memory.priors_for(incident.bug_type, service.framework, service.name),
            rejected=parts.memory.unwanted(incident.fingerprint),
            traffic_share=_share(incident.occurrence, parts.source.route_counts()),
            edited=edited,
        )
        self._editing, self._started_s, self.progress = edited, now_s, 0.0
        self._running = self._spare or self._process()
        self._spare = None
        self._running.give(job)
        activity = "proving the changed patch" if edited else "finding the cause"
        self._ledger.change(incident.id, activity=activity)

    def _finish(self) -> None:
        # its reader thread reaps it: it has said its last word
        self._running, self._editing, self.progress = None, None, None
        self._ledger.dirty = True

    # ------------------------------------------------------------ messages
    def _on_activity(self, incident: Incident, message: Message) -> None:
        self.progress = message.body.get("progress")
        self._ledger.change(incident.id, activity=message.body["text"])

    def _on_record(self, incident: Incident, message: Message) -> None:
        if self._running is not None and incident.occurrence is not None:
            self._running.answer(incident.occurrence)

    def _on_diagnosis(self, incident: Incident, message: Message) -> None:
        diagnosis = self._with_past(incident, from_plain(Diagnosis, message.body["diagnosis"]))
        if incident.state is IncidentState.OPEN:
            self._ledger.move(
                incident.id,
                IncidentState.DIAGNOSED,
                diagnosis.summary,
                diagnosis=diagnosis,
                bug_type=diagnosis.bug_type,
            )
        else:
            self._ledger.change(incident.id, diagnosis=diagnosis, bug_type=diagnosis.bug_type)
        self._parts.publisher.event(diagnosis_event(incident.id, diagnosis, time.time()))

    def _with_past(self, incident: Incident, diagnosis: Diagnosis) -> Diagnosis:
        """With the most similar past episodes as evidence: what was done then, and how it went."""
        exception = incident.occurrence.exception if incident.occurrence else ""
        past = self._parts.memory.similar(
            incident.fingerprint, diagnosis.bug_type, exception, limit=2
        )
        now_s = time.time()
        told = tuple(in_words(episode, incident.fingerprint, now_s) for episode in past)
        return replace(diagnosis, evidence=told + diagnosis.evidence)

    def _on_proposal(self, incident: Incident, message: Message) -> None:
        proposal = from_plain(Proposal, message.body["proposal"])
        if self._editing is not None:
            proposal = _with_edit(incident.proposal, proposal)
            self._ledger.case(incident).proving = False
        self._finish()
        self._publish(proposal)
        self._parts.publisher.event(proposal_event(proposal, time.time()))
        if not proposal.candidates:
            text = "no patch could be proven: the diagnosis is yours to read"
            self._ledger.change(incident.id, proposal=proposal, activity=text)
            if incident.state is IncidentState.PROPOSED:  # the only patch did not stand any more
                self._ledger.move(incident.id, IncidentState.DIAGNOSED, text)
            return
        moved = self._ledger.move(
            incident.id,
            IncidentState.PROPOSED,
            f"{len(proposal.candidates)} patches, best: {proposal.candidates[0].title}",
            proposal=proposal,
            activity="waiting for you",
        )
        self._proposed(moved)

    def _on_failed(self, incident: Incident, message: Message) -> None:
        case = self._ledger.case(incident)
        edited = self._editing is not None
        if edited:
            case.proving = False
        self._finish()
        text = message.body["text"]
        if not edited and case.attempts < MOST_ATTEMPTS:
            # a fuller record or a calmer machine may do better
            case.not_before_s = time.time() + 10.0 * 3**case.attempts
            case.tried_record = "failed"
        self._ledger.change(incident.id, activity=text)
        nothing_left = incident.proposal is not None and not incident.proposal.candidates
        if edited and nothing_left:  # its only patch was being re-based: look for another one
            case.attempts, case.not_before_s = 0, time.time() + 30.0
            self._ledger.move(incident.id, IncidentState.OPEN, text, proposal=None)
        self._parts.publisher.error(text, incident=incident.id, traceback=message.body["bug"])

    def _publish(self, proposal: Proposal) -> None:
        now_s = time.time()
        for candidate, verdict in zip(proposal.candidates, proposal.verdicts, strict=True):
            self._parts.publisher.event(candidate_event(proposal.incident, candidate, now_s))
            self._parts.publisher.event(verdict_event(verdict, now_s))


def _full(occurrence: Occurrence) -> bool:
    """Nothing better will come: arguments to replay and good calls to compare with are there."""
    if occurrence.kind == "leak":
        # requests were kept while nobody looked; calls are sampled from now on, and whichever of
        # them leaks must be among them
        whole = any(call.request and call.request.app for call in occurrence.good_calls)
        return whole or len(occurrence.good_calls) >= ENOUGH_CALLS
    if occurrence.kind == "stall":
        return False  # a deadlock may be found behind it
    if occurrence.kind != "exception":
        return True
    return bool(occurrence.good_calls) and any(f.arguments for f in occurrence.frames if f.own)


def _record_id(occurrence: Occurrence | None) -> str:
    return "" if occurrence is None else f"{occurrence.id}+{len(occurrence.good_calls)}"


def _share(occurrence: Occurrence | None, routes: dict[str, tuple[int, int]]) -> float:
    """Share of the requests that go to the occurrence's route."""
    total = sum(requests for requests, _ in routes.values())
    route = route_of(occurrence, routes)
    return round(routes[route][0] / total, 4) if route is not None and total else 0.0


def _with_edit(before: Proposal | None, edited: Proposal) -> Proposal:
    """The proposal with the person's version first, before those it came from."""
    if before is None:
        return edited
    ids = {candidate.id for candidate in edited.candidates}
    kept = [
        (candidate, verdict)
        for candidate, verdict in zip(before.candidates, before.verdicts, strict=True)
        if candidate.id not in ids
    ]
    return Proposal(
        incident=before.incident,
        candidates=(*edited.candidates, *(c for c, _ in kept)),
        verdicts=(*edited.verdicts, *(v for _, v in kept)),
        tier=edited.tier if edited.candidates else before.tier,
        created_s=edited.created_s,
    )
