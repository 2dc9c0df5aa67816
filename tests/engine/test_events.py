"""The events file is a contract: every constructor's line keeps the schema."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest

from selfheal_engine import events
from selfheal_engine.errors import ConfigError
from selfheal_engine.model import (
    Alert,
    Candidate,
    Check,
    Diagnosis,
    Event,
    Frame,
    Incident,
    IncidentState,
    Occurrence,
    Proposal,
    Reading,
    Sample,
    Suspect,
    Verdict,
)

OCCURRENCE = Occurrence(
    "o", "exception", 1.0, 7, "TypeError", "no", (Frame("/p/a.py", 3, "f", own=True),)
)
INCIDENT = Incident("i1", 1, IncidentState.OPEN, "TypeError", 1.0, 2.0, occurrence=OCCURRENCE)
DIAGNOSIS = Diagnosis(
    "null_check", (("null_check", 0.9),), (Suspect("a.py", 3, "f", 1, "why"),), "s"
)
CANDIDATE = Candidate("c1", "null_check", "guard", "title", "--- a\n", (("a.py", b"x"),))
VERDICT = Verdict("c1", (Check("parses", "passed", "ok"),), 90, True)

EVENTS = {
    "sample": events.sample_event(
        Sample(5.0, 1.0, {"cpu_usage": Reading(3.0), "queue_depth": Reading(None, "no socket")}), 99
    ),
    "alert": events.alert_event(Alert(1.0, "control_chart", "warning", "text", ("cpu_usage",))),
    "incident": events.incident_event(INCIDENT, 3.0),
    "diagnosis": events.diagnosis_event("i1", DIAGNOSIS, 3.0),
    "candidate": events.candidate_event("i1", CANDIDATE, 3.0),
    "verdict": events.verdict_event(VERDICT, 3.0),
    "proposal": events.proposal_event(Proposal("i1", (CANDIDATE,), (VERDICT,), "high"), 3.0),
    "restart": events.restart_event("begun", "Runs your restart_command: true", 3.0),
}


@pytest.mark.parametrize("kind", EVENTS)
def test_each_kind_keeps_the_schema(kind: str) -> None:
    plain = json.loads(events.to_line(EVENTS[kind]))
    assert plain["kind"] == kind
    assert events.violations(plain) == []


def test_a_metric_that_cannot_be_had_is_null_with_its_reason() -> None:
    plain = json.loads(events.to_line(EVENTS["sample"]))
    assert plain["metrics"]["queue_depth"] is None
    assert plain["unavailable"] == {"queue_depth": "no socket"}


@pytest.mark.parametrize(
    ("plain", "word"),
    [
        ({"kind": "healed", "time": 1.0, "incident": "i"}, "mttr_s is missing"),
        ({"kind": "healed", "time": 1.0, "incident": 3, "mttr_s": 1.0}, "incident is int"),
        ({"kind": "stopped", "reason": "r"}, "time is missing"),
        ({"kind": "what", "time": 1.0}, "unknown kind"),
    ],
)
def test_what_breaks_the_contract_is_found(plain: dict[str, object], word: str) -> None:
    assert any(word in violation for violation in events.violations(plain))


def test_events_are_appended_whole_and_readable_by_the_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    for _ in range(2):
        writer = events.EventWriter(path)
        writer.write(Event(1.0, "stopped", {"reason": "ü\n"}))
        writer.close()
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["reason"] for line in lines] == ["ü\n", "ü\n"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_events_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot write events"):
        events.EventWriter(tmp_path / "no" / "e.jsonl")


def test_a_rotated_events_file_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    writer = events.EventWriter(path)
    writer.write(Event(1.0, "stopped", {"reason": "first"}))
    path.rename(tmp_path / "e.jsonl.1")
    writer.write(Event(2.0, "stopped", {"reason": "second"}))
    writer.close()
    assert "first" in (tmp_path / "e.jsonl.1").read_text(encoding="utf-8")
    assert json.loads(path.read_text(encoding="utf-8"))["reason"] == "second"


def test_a_full_disk_costs_events_and_is_told_once_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    writer = events.EventWriter(path)
    assert writer.write(Event(1.0, "stopped", {"reason": "first"}))
    size, limits = path.stat().st_size, resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, limits[1]))  # room for half a line
    try:
        assert not writer.write(Event(2.0, "stopped", {"reason": "lost"}))
        assert not writer.write(Event(3.0, "stopped", {"reason": "lost too"}))
        assert path.stat().st_size == size
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert writer.write(Event(4.0, "stopped", {"reason": "room again"}))
    writer.close()
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line["kind"] for line in lines] == ["stopped", "error", "stopped"]
    assert "2 events before this line" in lines[1]["text"]


def test_a_line_is_json_whatever_a_name_or_a_metric_holds(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    writer = events.EventWriter(path)
    writer.write(Event(1.0, "sample", {"metrics": {"a": float("nan")}, "health": float("inf")}))
    writer.write(Event(2.0, "error", {"text": "no file caf\udce9.py"}))
    writer.close()
    first, second = (json.loads(line) for line in path.read_bytes().splitlines())
    assert first["metrics"] == {"a": None}
    assert second["text"] == "no file caf\udce9.py"
