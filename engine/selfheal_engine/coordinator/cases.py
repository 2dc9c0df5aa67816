"""What the engine knows of one incident beyond what it publishes; owned by the engine thread."""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from selfheal_engine.codec import from_plain, to_plain
from selfheal_engine.healer import Applied, Watch
from selfheal_engine.model import Candidate, Episode, Incident, Step


@dataclass(slots=True)
class Case:
    """One incident's working state. What must survive a crash goes through `note`."""

    incident: str
    opened_s: float
    steps: list[Step] = field(default_factory=list)
    chosen: Candidate | None = None
    by: str = ""
    """Who decided: "person", "automatic"."""
    reason: str = ""
    held: bool = False
    """A person deferred it, edited it or turned down a part: policy leaves it to them."""
    proving: bool = False
    """A changed or re-based version is being validated: what is shown is not the last word."""
    applying: bool = False
    """From just before the first file changes: only then can anything of the patch be there."""
    refused: bool = False
    """An approved patch could not be brought into the processes."""
    applied: Applied | None = None
    rolling_back: str = ""
    """Why the patch is being taken back: written before the first file changes."""
    watch: Watch | None = None
    tried_record: str = ""
    """Id of the occurrence that the last proposal was made from."""
    attempts: int = 0
    not_before_s: float = 0.0
    """Back-off: no new attempt before this time."""
    waiting: list[Future[str]] = field(default_factory=list)
    """Approvals to answer when the patch is in force or could not be applied."""

    def step(self, what: str, text: str = "", time_s: float | None = None) -> None:
        self.steps.append(Step(time.time() if time_s is None else time_s, what, text))

    def note(self) -> dict[str, Any]:
        """The part that is journalled with each transition."""
        return {
            "steps": to_plain(self.steps),
            "candidate": to_plain(self.chosen) if self.chosen else None,
            "applied": to_plain(self.applied) if self.applied else None,
            "by": self.by,
            "held": self.held,
            "applying": self.applying,
            "reason": self.reason,
            "rolling_back": self.rolling_back,
        }

    @classmethod
    def from_note(cls, incident: Incident, note: dict[str, Any]) -> Case:
        """The case of an incident that an earlier process left unfinished."""
        case = cls(incident.id, incident.first_seen_s)
        case.steps = [from_plain(Step, step) for step in note.get("steps") or ()]
        if note.get("candidate"):
            case.chosen = from_plain(Candidate, note["candidate"])
        if note.get("applied"):
            case.applied = from_plain(Applied, note["applied"])
        case.by, case.reason = note.get("by", ""), note.get("reason", "")
        case.rolling_back = note.get("rolling_back", "")
        case.held = bool(note.get("held", False))
        case.applying = bool(note.get("applying", True))  # older notes did not tell
        return case

    def answer(self, text: str) -> None:
        for future in self.waiting:
            future.set_result(text)
        self.waiting.clear()

    def refuse(self, why: Exception) -> None:
        for future in self.waiting:
            future.set_exception(why)
        self.waiting.clear()


def episode_of(incident: Incident, case: Case, service: str, framework: str) -> Episode:
    """The remembered story of an incident that has ended."""
    occurrence = incident.occurrence
    crash = occurrence.crash if occurrence else None
    chosen, verdict = case.chosen, None
    if chosen is not None and incident.proposal is not None:
        verdict = next((v for v in incident.proposal.verdicts if v.candidate == chosen.id), None)
    healed = incident.state.value == "healed"
    return Episode(
        id=incident.id,
        service=service,
        number=incident.number,
        title=incident.title,
        fingerprint=incident.fingerprint,
        bug_type=incident.bug_type,
        state=incident.state.value,
        exception=occurrence.exception if occurrence else "",
        place=f"{crash.file}:{crash.line}" if crash else "",
        strategy=chosen.strategy if chosen else "",
        template=chosen.template if chosen else "",
        framework=framework,
        diff=chosen.diff if chosen else "",
        confidence=chosen.confidence if chosen else 0.0,
        safety=verdict.safety if verdict else None,
        risk=chosen.risk if chosen else "",
        decision=case.by,
        reason=case.reason or incident.outcome,
        first_seen_s=incident.first_seen_s,
        ended_s=incident.ended_s,
        mttr_s=incident.ended_s - incident.first_seen_s if healed else None,
        occurrences=incident.count,
        steps=tuple(case.steps),
    )
