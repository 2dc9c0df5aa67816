"""The events file: one JSON object a line, `{"time": <unix s>, "kind": <str>, ...}`.

A contract that outside scripts rely on: fields are added, never renamed or dropped. `SCHEMA`
names for each kind the fields that are always there; `VERSION` is in every `started` event.
Lines are written whole and at once, so that a reader that tails the file never waits.
"""

from __future__ import annotations

import json
import math
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from selfheal_engine.codec import to_plain
from selfheal_engine.errors import ConfigError
from selfheal_engine.model import (
    Alert,
    Candidate,
    Diagnosis,
    Event,
    Incident,
    Proposal,
    Sample,
    Verdict,
)

VERSION = 1

SCHEMA: dict[str, dict[str, tuple[type, ...]]] = {
    "started": {"version": (int,), "service": (str,), "project": (str,), "pids": (list,)},
    "sample": {"metrics": (dict,), "health": (int, float)},
    "alert": {"detector": (str,), "severity": (str,), "text": (str,), "metrics": (list,)},
    "incident": {
        "id": (str,),
        "number": (int,),
        "bug_type": (str,),
        "fingerprint": (str,),
        "first_seen": (int, float),
        "state": (str,),
        "title": (str,),
    },
    "diagnosis": {"incident": (str,), "bug_type": (str,), "summary": (str,), "suspects": (list,)},
    "candidate": {
        "id": (str,),
        "incident": (str,),
        "strategy": (str,),
        "template": (str,),
        "confidence": (int, float),
        "impact": (int, float),
        "risk": (str,),
        "diff": (str,),
    },
    "verdict": {"candidate": (str,), "checks": (list,), "safety": (int, type(None))},
    "proposal": {"incident": (str,), "candidates": (list,), "tier": (str,)},
    "decision": {"incident": (str,), "decision": (str,), "by": (str,)},
    "applied": {"incident": (str,), "candidate": (str,), "files": (list,), "processes": (list,)},
    "healed": {"incident": (str,), "mttr_s": (int, float)},
    "rolled_back": {"incident": (str,), "reason": (str,)},
    "restart": {"phase": (str,), "text": (str,), "by": (str,)},
    "stopped": {"reason": (str,)},
    "error": {"text": (str,)},
}


class EventWriter:
    """Appends events to a file, whole lines or nothing; whoever rotates the file is followed.

    A full disk costs events, never the engine: what could not be written is counted, and the
    count is the first line written once there is room again. Raises ConfigError when the file
    cannot be opened at the start.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._descriptor = self._open()
        except OSError as why:
            raise ConfigError(f"cannot write events to {path}: {why.strerror}") from None
        self.lost = 0
        """Events in a row that could not be written."""
        self.problem = ""
        """Why the last event could not be written; "" when it was."""

    def write(self, event: Event) -> bool:
        """Append one line; False when it is lost, with the reason in `problem`."""
        line = to_line(event)
        if self.lost:
            line = to_line(Event(event.time_s, "error", {"text": self._gap()})) + line
        try:
            self._follow()
            self._append(line.encode("utf-8", "backslashreplace"))  # "\\udc80" is JSON as well
        except OSError as why:
            self.lost += 1
            self.problem = why.strerror or str(why)
            return False
        self.lost, self.problem = 0, ""
        return True

    def close(self) -> None:
        os.close(self._descriptor)

    def _gap(self) -> str:
        events = "1 event" if self.lost == 1 else f"{self.lost} events"
        return f"{events} before this line could not be written: {self.problem}"

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def _follow(self) -> None:
        """Go on in a new file where the old one was moved or removed (logrotate's `create`)."""
        ours = os.fstat(self._descriptor)
        if not stat.S_ISREG(ours.st_mode):
            return
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            there = None
        if there is None or (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            descriptor = self._open()
            os.close(self._descriptor)
            self._descriptor = descriptor

    def _append(self, line: bytes) -> None:
        written = 0
        try:
            while written < len(line):
                written += os.write(self._descriptor, line[written:])
        except OSError:
            if written:
                with suppress(OSError):  # a pipe cannot be shortened
                    size = os.fstat(self._descriptor).st_size
                    os.ftruncate(self._descriptor, size - written)
            raise


def to_line(event: Event) -> str:
    """The event as its line of the file, newline included. A number that is none becomes null."""
    plain: dict[str, Any] = {"time": round(event.time_s, 3), "kind": event.kind}
    plain.update(to_plain(event.body))
    try:
        return json.dumps(plain, ensure_ascii=False, allow_nan=False) + "\n"
    except ValueError:
        return json.dumps(_finite(plain), ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """The same with null for infinities and NaN, which JSON does not have (RFC 8259)."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def violations(plain: dict[str, Any]) -> list[str]:
    """What is wrong with one parsed line, in words; empty when it keeps the contract."""
    fields = SCHEMA.get(plain.get("kind", ""))
    if fields is None:
        return [f"unknown kind {plain.get('kind')!r}"]
    wrong = [] if isinstance(plain.get("time"), (int, float)) else ["time is missing"]
    for name, types in fields.items():
        if name not in plain:
            wrong.append(f"{name} is missing")
        elif not isinstance(plain[name], types):
            wrong.append(f"{name} is {type(plain[name]).__name__}")
    return wrong


# ---------------------------------------------------------------- one function for each kind
def sample_event(sample: Sample, health: float) -> Event:
    metrics = {name: reading.value for name, reading in sample.readings.items()}
    reasons = {n: r.reason for n, r in sample.readings.items() if r.value is None and r.reason}
    body: dict[str, object] = {"metrics": metrics, "health": round(health, 1)}
    if reasons:
        body["unavailable"] = reasons
    return Event(sample.time_s, "sample", body)


def alert_event(alert: Alert) -> Event:
    body = {key: value for key, value in to_plain(alert).items() if key != "time_s"}
    return Event(alert.time_s, "alert", body)


def incident_event(incident: Incident, now_s: float) -> Event:
    occurrence = incident.occurrence
    crash = occurrence.crash if occurrence else None
    return Event(
        now_s,
        "incident",
        {
            "id": incident.id,
            "number": incident.number,
            "bug_type": incident.bug_type,
            "fingerprint": incident.fingerprint,
            "first_seen": incident.first_seen_s,
            "state": incident.state.value,
            "title": incident.title,
            "severity": incident.severity,
            "count": incident.count,
            "place": f"{crash.file}:{crash.line}" if crash else "",
            "exception": occurrence.exception if occurrence else "",
        },
    )


def diagnosis_event(incident: str, diagnosis: Diagnosis, now_s: float) -> Event:
    return Event(
        now_s,
        "diagnosis",
        {
            "incident": incident,
            "bug_type": diagnosis.bug_type,
            "ranked_types": to_plain(diagnosis.ranked_types),
            "summary": diagnosis.summary,
            "suspects": to_plain(diagnosis.suspects),
            "evidence": list(diagnosis.evidence),
        },
    )


def candidate_event(incident: str, candidate: Candidate, now_s: float) -> Event:
    return Event(
        now_s,
        "candidate",
        {
            "id": candidate.id,
            "incident": incident,
            "strategy": candidate.strategy,
            "template": candidate.template,
            "confidence": candidate.confidence,
            "impact": candidate.impact,
            "risk": candidate.risk,
            "diff": candidate.diff,
            "title": candidate.title,
            "origin": candidate.origin,
        },
    )


def verdict_event(verdict: Verdict, now_s: float) -> Event:
    return Event(
        now_s,
        "verdict",
        {
            "candidate": verdict.candidate,
            "checks": to_plain(verdict.checks),
            "safety": verdict.safety,
            "plausible": verdict.plausible,
            "tier": verdict.tier,
            "remarks": to_plain(verdict.remarks),
        },
    )


def proposal_event(proposal: Proposal, now_s: float) -> Event:
    ids = [candidate.id for candidate in proposal.candidates]
    return Event(
        now_s,
        "proposal",
        {"incident": proposal.incident, "candidates": ids, "tier": proposal.tier},
    )


def restart_event(phase: str, text: str, now_s: float) -> Event:
    """`phase`: begun, done or failed."""
    return Event(now_s, "restart", {"phase": phase, "text": text, "by": "person"})
