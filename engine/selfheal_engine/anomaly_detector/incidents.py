"""From alerts and occurrences to incidents: what belongs together, and what is none at all.

Occurrences merge by fingerprint. Metric alerts join an open incident that is near in time,
or, when they are warnings (their detectors have seen to persistence), open one of their own,
which ends by itself once all has been quiet; every flap makes that quiet time longer, so that
flapping is one incident. What charts still say just after a healing, and handled errors,
open none.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace

from selfheal_engine.anomaly_detector.bug_types import infer_types
from selfheal_engine.anomaly_detector.standstills import same_standstill
from selfheal_engine.model import Alert, Frame, Incident, IncidentState, Occurrence, Severity

AT_ONCE = frozenset({"exception", "thread_death", "deadlock", "stall", "leak", "syntax"})
"""Kinds of occurrence that open an incident the first time."""
ON_REPEAT = frozenset({"print"})
"""What a handler printed once may be a thing that the service can do without."""
REPEATS, REPEAT_S = 3, 300.0
"""The others: so many within so long."""
NEAR_S = 120.0
"""A metric alert belongs to an incident that was seen no longer ago than this."""
REMARKS_S = 180.0
"""Remarks (alerts of severity "info") go with an incident that opens within so long."""
SETTLE_S = 60.0
"""After a healing the charts look back over the harm for so long: their warnings open nothing."""
QUIET_S, LONGEST_QUIET_S, SILENT_S = 300.0, 1200.0, 150.0
"""A metric incident ends after so long without an alert; doubled by each flap, to at most,
a flap being an alert after a silence of `SILENT_S`. After a silence, warnings of other metrics
are another incident."""
MUTED_S = 600.0
"""After a rejection or dismissal the fingerprint opens no new incident for so long."""
KEPT_ALERTS, KEPT_ENDED = 50, 200

_WEIGHT: dict[Severity, int] = {"info": 0, "warning": 1, "critical": 2}


@dataclass(slots=True)
class _Flapping:
    """How a metric incident comes and goes."""

    quiet_s: float = QUIET_S
    silent: bool = False


class IncidentTracker:
    """All incidents since the engine started; used by the engine's thread alone."""

    def __init__(self, first_number: int = 1) -> None:
        self._next = first_number
        self._incidents: dict[str, Incident] = {}
        self._flapping: dict[str, _Flapping] = {}
        self._repeats: dict[str, list[float]] = {}
        self._remarks: list[Alert] = []

    def incidents(self) -> tuple[Incident, ...]:
        """Newest first."""
        return tuple(sorted(self._incidents.values(), key=lambda i: -i.number))

    def get(self, incident_id: str) -> Incident | None:
        return self._incidents.get(incident_id)

    def put(self, incident: Incident) -> None:
        """Takes over the coordinator's new state of an incident."""
        self._incidents[incident.id] = incident
        self._next = max(self._next, incident.number + 1)

    def observe(
        self, now_s: float, alerts: Iterable[Alert], occurrences: Iterable[Occurrence]
    ) -> list[Incident]:
        """One tick; the incidents that it opened, changed or ended, each once."""
        changed: dict[str, None] = {}
        for occurrence in occurrences:
            for touched in self._take_occurrence(occurrence):
                changed[touched] = None
        for touched in self._take_alerts(now_s, tuple(alerts)):
            changed[touched] = None
        for touched in self._end_quiet(now_s):
            changed[touched] = None
        self._forget()
        return [self._incidents[i] for i in changed if i in self._incidents]

    # ------------------------------------------------------------ occurrences
    def _take_occurrence(self, occurrence: Occurrence) -> list[str]:
        if occurrence.handled:
            return []
        held = self._of_fingerprint(occurrence)
        if held is not None:
            return [self._merge(held, occurrence)]
        standstill = self._standstill_behind(occurrence)
        if standstill is not None:
            return [self._merge(standstill, occurrence, keep=True)]
        at_once = occurrence.kind in AT_ONCE and occurrence.caught_by not in ON_REPEAT
        if not at_once and not self._repeated(occurrence):
            return []
        same_line = self._failing_at(occurrence)
        if same_line is not None:
            return [self._merge(same_line, occurrence, keep=True)]
        alike = [
            i
            for i in self._incidents.values()
            if i.occurrence is not None and not i.state.ended
            if same_standstill(i.occurrence, occurrence)
        ]
        if alike and occurrence.kind == "stall":
            return [self._merge(alike[0], occurrence, keep=True)]
        opened = self._open_occurrence(occurrence)
        victims = [self._absorb(i, self._incidents[opened]) for i in alike if i.state in _UNTOUCHED]
        return [opened, *victims]

    def _standstill_behind(self, occurrence: Occurrence) -> Incident | None:
        """The open stall whose waiting calls hold what piles up, or the leak of the same function.

        The one is a symptom; the other is told again from another line while a patch is watched.
        """
        crash = occurrence.crash
        if occurrence.kind not in ("resource", "leak") or crash is None:
            return None
        for incident in self._incidents.values():
            known = incident.occurrence
            if known is None or incident.state.ended:
                continue
            if known.kind not in ("stall", "deadlock", occurrence.kind):
                continue
            if any(f.file == crash.file and f.function == crash.function for f in known.frames):
                return incident
        return None

    def _failing_at(self, occurrence: Occurrence) -> Incident | None:
        """The incident of the same failure of the same line, reached by another caller.

        Its patch may well heal both; if it does not, what is left opens one of its own then. A
        line that raises on purpose speaks of its callers: those are different bugs.
        """
        crash = _own_crash(occurrence)
        if crash is None or crash.source_line.lstrip().startswith(("raise ", "assert ")):
            return None
        for incident in self._incidents.values():
            known = incident.occurrence
            if known is None or incident.state not in _UNDECIDED:
                continue
            if known.kind != occurrence.kind or known.exception != occurrence.exception:
                continue
            place = _own_crash(known)
            if place is not None and (place.file, place.line) == (crash.file, crash.line):
                return incident
        return None

    def _absorb(self, victim: Incident, cause: Incident) -> str:
        """Ends the incident of a stall that turned out to be a deadlock's."""
        self._incidents[victim.id] = replace(
            victim,
            state=IncidentState.DISMISSED,
            ended_s=cause.last_seen_s,
            outcome=f"part of #{cause.number}: these threads wait for each other",
        )
        return victim.id

    def _open_occurrence(self, occurrence: Occurrence) -> str:
        ranked = infer_types(occurrence)
        adopted = self._metric_incident(occurrence)
        if adopted is not None:
            self._flapping.pop(adopted.id, None)
            self._incidents[adopted.id] = replace(
                adopted,
                title=title_of(occurrence),
                last_seen_s=max(adopted.last_seen_s, occurrence.time_s),
                severity="critical",
                fingerprint=occurrence.fingerprint,
                bug_type=ranked[0].bug_type if ranked else adopted.bug_type,
                count=adopted.count + occurrence.count,
                occurrence=occurrence,
            )
            return adopted.id
        return self._open(
            Incident(
                id=uuid.uuid4().hex[:12],
                number=self._next,
                state=IncidentState.OPEN,
                title=title_of(occurrence),
                first_seen_s=occurrence.time_s,
                last_seen_s=occurrence.time_s,
                severity="critical" if occurrence.kind in AT_ONCE else "warning",
                fingerprint=occurrence.fingerprint,
                bug_type=ranked[0].bug_type if ranked else "unknown",
                count=occurrence.count,
                occurrence=occurrence,
            )
        )

    def _of_fingerprint(self, occurrence: Occurrence) -> Incident | None:
        """The incident that this occurrence belongs to, if it is not a new one."""
        for incident in self.incidents():
            if not occurrence.fingerprint or incident.fingerprint != occurrence.fingerprint:
                continue
            if not incident.state.ended:
                return incident
            if occurrence.time_s <= incident.ended_s:
                return incident  # captured before the end, delivered after it
            muted = incident.state in (IncidentState.REJECTED, IncidentState.DISMISSED)
            recent = occurrence.time_s - incident.ended_s < MUTED_S
            return incident if muted and recent else None
        return None

    def _merge(self, held: Incident, occurrence: Occurrence, *, keep: bool = False) -> str:
        """Counts it in; the fuller record stays, with `keep` the incident's own."""
        best = held.occurrence
        if best is None or (not keep and richness(occurrence) > richness(best)):
            best = occurrence
        self._incidents[held.id] = replace(
            held,
            count=held.count + occurrence.count,
            last_seen_s=max(held.last_seen_s, occurrence.time_s),
            first_seen_s=min(held.first_seen_s, occurrence.time_s),
            occurrence=best,
        )
        return held.id

    def _repeated(self, occurrence: Occurrence) -> bool:
        times = self._repeats.setdefault(occurrence.fingerprint or occurrence.message, [])
        times.extend([occurrence.time_s] * min(occurrence.count, REPEATS))
        times[:] = [t for t in times if occurrence.time_s - t <= REPEAT_S][-REPEATS:]
        if len(self._repeats) > 1000:
            self._repeats.pop(next(iter(self._repeats)))
        return len(times) >= REPEATS

    def _metric_incident(self, occurrence: Occurrence) -> Incident | None:
        """An open incident that so far has only metrics to show, near in time."""
        for incident in self.incidents():
            near = abs(occurrence.time_s - incident.last_seen_s) <= NEAR_S
            if incident.state is IncidentState.OPEN and incident.occurrence is None and near:
                return incident
        return None

    # ------------------------------------------------------------ alerts
    def _take_alerts(self, now_s: float, alerts: tuple[Alert, ...]) -> list[str]:
        alerts = tuple(a for a in alerts if a.detector != "occurrence")
        if not alerts:
            return []
        near = self._near(now_s, alerts)
        if near is not None:
            return [self._attach(near, now_s, alerts)]
        self._remarks = [r for r in self._remarks if now_s - r.time_s <= REMARKS_S]
        if all(_WEIGHT[a.severity] == 0 for a in alerts):
            self._remarks = [*self._remarks, *alerts][-KEPT_ALERTS:]
            return []
        if self._settling(now_s) and all(a.severity != "critical" for a in alerts):
            return []
        gathered, self._remarks = (*self._remarks, *alerts), []
        return [self._open_metric(now_s, gathered)]

    def _settling(self, now_s: float) -> bool:
        return any(
            i.state is IncidentState.HEALED and now_s - i.ended_s <= SETTLE_S
            for i in self._incidents.values()
        )

    def _near(self, now_s: float, alerts: tuple[Alert, ...]) -> Incident | None:
        """The open incident that the alerts belong to: near in time, or flapping alike."""
        about = {m for a in alerts if _WEIGHT[a.severity] for m in a.metrics}
        for incident in self.incidents():
            if incident.state.ended:
                continue
            flapping = self._flapping.get(incident.id)
            if flapping is None:
                if now_s - incident.last_seen_s <= NEAR_S:
                    return incident
                continue
            silent = flapping.silent or now_s - incident.last_seen_s > SILENT_S
            known = {m for a in incident.alerts if _WEIGHT[a.severity] for m in a.metrics}
            if not silent or not about or about & known:
                return incident
        return None

    def _attach(self, held: Incident, now_s: float, alerts: tuple[Alert, ...]) -> str:
        flapping = self._flapping.get(held.id)
        if flapping is not None and flapping.silent:
            flapping.silent = False
            flapping.quiet_s = min(2 * flapping.quiet_s, LONGEST_QUIET_S)
        kept = (*held.alerts, *alerts)[-KEPT_ALERTS:]
        strongest = max((held.severity, *(a.severity for a in alerts)), key=lambda s: _WEIGHT[s])
        bug_type = held.bug_type
        if held.occurrence is None:
            ranked = infer_types(None, kept)
            bug_type = ranked[0].bug_type if ranked else bug_type
        # info alone does not keep a metric incident alive
        seen = now_s if any(_WEIGHT[a.severity] for a in alerts) else held.last_seen_s
        self._incidents[held.id] = replace(
            held, alerts=kept, severity=strongest, last_seen_s=seen, bug_type=bug_type
        )
        return held.id

    def _open_metric(self, now_s: float, alerts: tuple[Alert, ...]) -> str:
        strong = [a for a in alerts if _WEIGHT[a.severity] >= 1]
        lead = max(strong, key=lambda a: (_WEIGHT[a.severity], a.score))
        ranked = infer_types(None, alerts)
        opened = self._open(
            Incident(
                id=uuid.uuid4().hex[:12],
                number=self._next,
                state=IncidentState.OPEN,
                title=lead.text,
                first_seen_s=min(a.time_s for a in alerts),
                last_seen_s=now_s,
                severity=lead.severity,
                fingerprint=lead.fingerprint,
                bug_type=ranked[0].bug_type if ranked else "unknown",
                alerts=alerts[-KEPT_ALERTS:],
            )
        )
        self._flapping[opened] = _Flapping()
        return opened

    def _end_quiet(self, now_s: float) -> list[str]:
        """Ends metric incidents that have been quiet long enough and that nobody took up."""
        ended = []
        for incident_id, flapping in list(self._flapping.items()):
            incident = self._incidents.get(incident_id)
            if incident is None or incident.state.ended:
                del self._flapping[incident_id]
                continue
            quiet_s = now_s - incident.last_seen_s
            flapping.silent = flapping.silent or quiet_s > SILENT_S
            if quiet_s < flapping.quiet_s or incident.state not in _UNTOUCHED:
                continue
            del self._flapping[incident_id]
            self._incidents[incident_id] = replace(
                incident,
                state=IncidentState.DISMISSED,
                ended_s=now_s,
                outcome=f"went away by itself: quiet for {quiet_s / 60:.0f} minutes",
            )
            ended.append(incident_id)
        return ended

    # ------------------------------------------------------------ keeping
    def _open(self, incident: Incident) -> str:
        self._next += 1
        self._incidents[incident.id] = incident
        return incident.id

    def _forget(self) -> None:
        ended = [i for i in self._incidents.values() if i.state.ended]
        for incident in sorted(ended, key=lambda i: i.number)[: max(0, len(ended) - KEPT_ENDED)]:
            del self._incidents[incident.id]


_UNDECIDED = frozenset({IncidentState.OPEN, IncidentState.DIAGNOSED, IncidentState.PROPOSED})
_UNTOUCHED = (IncidentState.OPEN, IncidentState.DIAGNOSED)


def _own_crash(occurrence: Occurrence) -> Frame | None:
    """The innermost frame of the project of an exception, with its line's text; else None."""
    crash = occurrence.crash
    if occurrence.kind not in ("exception", "thread_death") or crash is None:
        return None
    return crash if crash.own and crash.source_line else None


def title_of(occurrence: Occurrence) -> str:
    """ "TypeError, checkout.py:88"."""
    crash = occurrence.crash
    what = occurrence.exception.rpartition(".")[2] or {
        "stall": "stalled call",
        "deadlock": "deadlock",
        "leak": "memory leak",
        "resource": "unclosed resource",
        "log": "logged error",
        "syntax": "syntax error",
    }.get(occurrence.kind, occurrence.kind)
    if occurrence.growth and crash is None:
        place = occurrence.growth[0]
        return f"{what}, {place.file.rpartition('/')[2]}:{place.line}"
    return what if crash is None else f"{what}, {crash.file.rpartition('/')[2]}:{crash.line}"


def richness(occurrence: Occurrence) -> tuple[int, ...]:
    """How much there is to work with: replayable first, then calls to compare, then values."""
    return (
        int(any(f.own and f.arguments for f in occurrence.frames)),
        int(occurrence.request is not None and not occurrence.request.body_truncated),
        len(occurrence.good_calls),
        len(occurrence.growth) + len(occurrence.threads),
        sum(len(f.locals) for f in occurrence.frames),
    )
