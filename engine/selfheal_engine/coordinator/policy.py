"""When a patch may be applied without a person: the conditions, each with its word.

A refusal is a sentence for the screen ("two roll-backs for this bug: left to you"), never a
silent no. What counts is taken from the history at the start, so that a restart of the engine
closes no circuit breaker and gives no new allowance of applies.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from selfheal_engine.config import Settings
from selfheal_engine.model import Episode, Incident, Proposal

_RANK = {"never": 0, "low": 1, "medium": 2, "high": 3}
MOST_ROLL_BACKS = 2
"""After so many roll-backs for one fingerprint it is left to the person (circuit breaker)."""
MOST_HEALINGS = 2
"""A bug that is back after so many healings within a day flaps: another patch is no answer."""
MOST_ROLL_BACKS_AN_HOUR = 3
"""The same for the whole service, over all its bugs."""
MOST_RESTARTS, RESTARTS_S = 3, 600.0
"""A service all of whose processes were replaced so often in so long does not stand still."""
HOUR_S, DAY_S = 3600.0, 86400.0
FIRST_PAUSE_S = 60.0


class ApprovalPolicy:
    """Remembers applies and how they ended; decides about automatic approval."""

    def __init__(self, settings: Settings, past: Iterable[Episode] = ()) -> None:
        """`past` are the service's episodes of earlier engines, in any order."""
        self._settings = settings
        self._applies_s: deque[float] = deque()
        self._healings_s: dict[str, list[float]] = {}
        self._roll_backs_s: dict[str, list[float]] = {}
        self._restarts_s: deque[float] = deque(maxlen=MOST_RESTARTS)
        for episode in sorted(past, key=lambda episode: episode.ended_s):
            self._learn(episode)

    def _learn(self, episode: Episode) -> None:
        if episode.state == "healed":
            self.note_healed(episode.fingerprint, episode.ended_s)
        elif episode.state == "rolled_back":
            self.note_roll_back(episode.fingerprint, episode.ended_s)
        if episode.decision == "automatic":
            applied = [step.time_s for step in episode.steps if step.what == "applied"]
            self._applies_s.extend(applied)

    # ------------------------------------------------------------ what happens
    def note_apply(self, now_s: float) -> None:
        """An apply that nobody asked for."""
        self._applies_s.append(now_s)

    def note_healed(self, fingerprint: str, now_s: float) -> None:
        """A patch held: earlier roll-backs for the bug are made good."""
        self._roll_backs_s.pop(fingerprint, None)
        self._healings_s.setdefault(fingerprint, []).append(now_s)

    def note_roll_back(self, fingerprint: str, now_s: float) -> None:
        """Each roll-back doubles the pause before the next automatic try: 1, 2, 4 ... min."""
        self._roll_backs_s.setdefault(fingerprint, []).append(now_s)

    def note_restart(self, now_s: float) -> None:
        """Every process of the service was replaced."""
        self._restarts_s.append(now_s)

    # ------------------------------------------------------------ what may be done
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
        return (
            self._refusal_of_patch(proposal)
            or self._refusal_of_bug(incident.fingerprint, now_s)
            or self._refusal_of_service(now_s)
        )

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

    def _refusal_of_bug(self, fingerprint: str, now_s: float) -> str:
        roll_backs = self._roll_backs_s.get(fingerprint, [])
        if len(roll_backs) >= MOST_ROLL_BACKS:
            return f"rolled back {len(roll_backs)} times: left to you"
        if roll_backs and now_s < roll_backs[-1] + FIRST_PAUSE_S * 2 ** (len(roll_backs) - 1):
            return "rolled back a moment ago: waiting before the next try"
        healings = _since(self._healings_s.get(fingerprint, []), now_s - DAY_S)
        if len(healings) >= MOST_HEALINGS:
            return f"healed {len(healings)} times in a day and back again: left to you"
        return ""

    def _refusal_of_service(self, now_s: float) -> str:
        recent = [
            at for times in self._roll_backs_s.values() for at in _since(times, now_s - HOUR_S)
        ]
        if len(recent) >= MOST_ROLL_BACKS_AN_HOUR:
            return f"{len(recent)} patches were rolled back in the last hour: left to you"
        restarts = _since(self._restarts_s, now_s - RESTARTS_S)
        if len(restarts) >= MOST_RESTARTS:
            minutes = f"{RESTARTS_S / 60:.0f} minutes"
            return f"the service was restarted {len(restarts)} times in {minutes}: left to you"
        while self._applies_s and self._applies_s[0] < now_s - HOUR_S:
            self._applies_s.popleft()
        if len(self._applies_s) >= self._settings.applies_per_hour:
            return f"{len(self._applies_s)} automatic applies in the last hour: waiting for you"
        return ""


def _since(times_s: Iterable[float], start_s: float) -> list[float]:
    return [at for at in times_s if at >= start_s]
