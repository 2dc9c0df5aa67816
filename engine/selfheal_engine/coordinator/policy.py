"""When a patch may be applied without a person: the conditions, each with its word.

A refusal is a sentence for the screen ("two roll-backs for this bug: left to you"), never a
silent no.
"""

from __future__ import annotations

from collections import defaultdict, deque

from selfheal_engine.config import Settings
from selfheal_engine.model import Incident, Proposal

_RANK = {"never": 0, "low": 1, "medium": 2, "high": 3}
MOST_ROLL_BACKS = 2
"""After so many roll-backs for one fingerprint it is left to the person (circuit breaker)."""


class ApprovalPolicy:
    """Remembers applies and roll-backs; decides about automatic approval."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._applies_s: deque[float] = deque()
        self._roll_backs: dict[str, int] = defaultdict(int)
        self._failed_until_s: dict[str, float] = {}

    def note_apply(self, now_s: float) -> None:
        self._applies_s.append(now_s)

    def note_roll_back(self, fingerprint: str, now_s: float) -> None:
        """Each roll-back doubles the pause before the next automatic try: 1, 2, 4 ... min."""
        self._roll_backs[fingerprint] += 1
        pause_s = 60.0 * 2 ** (self._roll_backs[fingerprint] - 1)
        self._failed_until_s[fingerprint] = now_s + pause_s

    def refusal(self, incident: Incident, proposal: Proposal, now_s: float) -> str:
        """Why the best candidate is not applied automatically; "" when it may be."""
        settings = self._settings
        if settings.approve == "never":
            return "waiting for you"
        if settings.maintenance:
            return "maintenance: nothing is applied"
        if not proposal.candidates:
            return "no proven patch"
        if proposal.tier != "high":
            return "not sure enough for automatic approval: waiting for you"
        return self._refusal_of_patch(proposal) or self._refusal_of_history(incident, now_s)

    def _refusal_of_patch(self, proposal: Proposal) -> str:
        best, verdict = proposal.candidates[0], proposal.verdicts[0]
        reproducer = verdict.check("reproducer")
        if _RANK[best.risk] > _RANK[self._settings.approve]:
            return f"risk {best.risk}: waiting for you"
        if not verdict.plausible or reproducer is None or reproducer.status != "passed":
            return "no reproducer passed: waiting for you"
        if verdict.safety is None or verdict.safety < self._settings.approve_floor:
            floor = self._settings.approve_floor
            return f"safety {verdict.safety} is below {floor}: waiting for you"
        return ""

    def _refusal_of_history(self, incident: Incident, now_s: float) -> str:
        fingerprint = incident.fingerprint
        if self._roll_backs[fingerprint] >= MOST_ROLL_BACKS:
            return f"rolled back {self._roll_backs[fingerprint]} times: left to you"
        if now_s < self._failed_until_s.get(fingerprint, 0.0):
            return "rolled back a moment ago: waiting before the next try"
        while self._applies_s and self._applies_s[0] < now_s - 3600:
            self._applies_s.popleft()
        if len(self._applies_s) >= self._settings.applies_per_hour:
            return f"{len(self._applies_s)} automatic applies in the last hour: waiting for you"
        return ""
