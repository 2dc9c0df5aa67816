"""Which alerts and occurrences become one incident, and which become none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfheal_engine.anomaly_detector import IncidentTracker
from selfheal_engine.anomaly_detector.incidents import MUTED_S, QUIET_S, SILENT_S
from selfheal_engine.model import (
    Alert,
    Frame,
    Incident,
    IncidentState,
    Occurrence,
    Severity,
    WaitingThread,
)


def occurrence(time_s: float = 100.0, kind: str = "exception", **more: object) -> Occurrence:
    frame = Frame("/srv/shop/checkout.py", 88, "total", own=True)
    made = Occurrence("o1", "exception", time_s, 7, "TypeError", "boom", (frame,), "f1")
    return replace(made, kind=kind, **more)  # type: ignore[arg-type]


def warning(time_s: float, severity: Severity = "warning", metric: str = "error_rate") -> Alert:
    return Alert(time_s, "control_chart", severity, f"{metric} is high", (metric,))


def only(tracker: IncidentTracker) -> Incident:
    (incident,) = tracker.incidents()
    return incident


@pytest.mark.parametrize(
    "kind", ["exception", "thread_death", "deadlock", "stall", "leak", "syntax"]
)
def test_one_unhandled_occurrence_opens_an_incident_at_once(kind: str) -> None:
    tracker = IncidentTracker()
    (opened,) = tracker.observe(100, [], [occurrence(kind=kind)])
    assert (opened.number, opened.state, opened.fingerprint) == (1, IncidentState.OPEN, "f1")
    assert opened.title.endswith("checkout.py:88")


def test_a_handled_error_opens_none() -> None:
    assert IncidentTracker().observe(100, [], [occurrence(handled=True)]) == []


def test_a_logged_error_opens_one_only_when_it_repeats() -> None:
    tracker = IncidentTracker()
    assert tracker.observe(100, [], [occurrence(kind="log")]) == []
    assert tracker.observe(110, [], [occurrence(110, kind="log")]) == []
    assert len(tracker.observe(120, [], [occurrence(120, kind="log")])) == 1


def test_what_a_handler_prints_opens_one_only_when_it_repeats() -> None:
    tracker = IncidentTracker()
    assert tracker.observe(100, [], [occurrence(caught_by="print")]) == []
    assert len(tracker.observe(110, [], [occurrence(110, caught_by="print", count=2)])) == 1


def test_occurrences_of_one_fingerprint_are_one_incident_with_their_count() -> None:
    tracker = IncidentTracker()
    tracker.observe(100, [], [occurrence(), occurrence(101, count=4)])
    tracker.observe(105, [], [occurrence(104)])
    assert only(tracker).count == 6
    assert (only(tracker).first_seen_s, only(tracker).last_seen_s) == (100, 104)


@pytest.mark.parametrize(
    ("text", "incidents"), [("return tax + rate", 1), ("raise Refused(order)", 2)]
)
def test_a_line_that_fails_for_two_callers_is_one_incident(text: str, incidents: int) -> None:
    first = occurrence()
    frame = replace(first.frames[0], source_line=text)
    tracker = IncidentTracker()
    one = replace(first, frames=(frame,))
    other = replace(one, fingerprint="f2", frames=(replace(frame, line=3, source_line="x"), frame))
    tracker.observe(100, [], [one])
    tracker.observe(101, [], [other])
    assert len(tracker.incidents()) == incidents
    assert sum(incident.count for incident in tracker.incidents()) == 2


def test_what_still_fails_while_a_patch_is_in_force_is_another_incident() -> None:
    frame = replace(occurrence().frames[0], source_line="return tax + rate")
    tracker = IncidentTracker()
    (opened,) = tracker.observe(100, [], [occurrence(frames=(frame,))])
    tracker.put(replace(opened, state=IncidentState.WATCHING))
    tracker.observe(101, [], [occurrence(101, frames=(frame,), fingerprint="f2")])
    assert len(tracker.incidents()) == 2


def test_different_fingerprints_are_different_incidents() -> None:
    tracker = IncidentTracker(first_number=12)
    tracker.observe(100, [], [occurrence(), occurrence(fingerprint="f2")])
    assert [i.number for i in tracker.incidents()] == [13, 12]


def deadlock(time_s: float) -> Occurrence:
    waiting = tuple(
        WaitingThread(name, (Frame("/srv/bank.py", line, "move", own=True),), 5.0)
        for name, line in (("worker-1", 10), ("worker-2", 20))
    )
    return occurrence(
        time_s, kind="deadlock", fingerprint="dead", threads=waiting, thread="worker-1"
    )


def stall(time_s: float, thread: str, line: int) -> Occurrence:
    frames = (Frame("/srv/bank.py", line, "move", own=True),)
    return occurrence(
        time_s, kind="stall", fingerprint=f"stall-{line}", thread=thread, frames=frames
    )


def test_stalls_of_a_deadlock_s_threads_are_part_of_its_incident() -> None:
    tracker = IncidentTracker()
    first = [deadlock(100), stall(101, "worker-2", 20), stall(102, "worker-9", 10)]
    tracker.observe(102, [], first)
    assert (only(tracker).fingerprint, only(tracker).count) == ("dead", 3)
    tracker.observe(103, [], [stall(103, "worker-7", 99)])
    assert len(tracker.incidents()) == 2, "this one stands elsewhere"


def test_stalls_that_came_first_give_way_to_the_deadlock() -> None:
    tracker = IncidentTracker()
    tracker.observe(100, [], [stall(99, "worker-1", 12), stall(99, "worker-2", 20)])
    tracker.observe(101, [], [deadlock(101)])
    states = {i.fingerprint: i.state for i in tracker.incidents()}
    assert states == {
        "dead": IncidentState.OPEN,
        "stall-12": IncidentState.DISMISSED,
        "stall-20": IncidentState.DISMISSED,
    }


def test_sockets_that_pile_up_in_stalled_calls_are_part_of_the_stall() -> None:
    tracker = IncidentTracker()
    tracker.observe(100, [], [stall(100, "worker-1", 10)])
    held = only(tracker)
    assert held.occurrence is not None
    piling = replace(
        held.occurrence, id="r", kind="resource", exception="ResourceLeak", fingerprint="open"
    )
    tracker.observe(110, [], [piling, piling])
    assert only(tracker).occurrence == held.occurrence


def test_the_record_with_the_fullest_context_is_kept() -> None:
    tracker = IncidentTracker()
    poor = occurrence()
    rich = replace(poor, id="o2", frames=(replace(poor.frames[0], arguments="[1]"),))
    tracker.observe(100, [], [rich])
    tracker.observe(101, [], [poor])
    kept = only(tracker).occurrence
    assert kept is not None
    assert kept.id == "o2"


def test_a_warning_joins_the_incident_that_is_open() -> None:
    tracker = IncidentTracker()
    tracker.observe(100, [], [occurrence()])
    tracker.observe(105, [warning(105)], [])
    assert only(tracker).alerts == (warning(105),)


def test_an_occurrence_names_the_bug_of_an_incident_that_metrics_opened() -> None:
    tracker = IncidentTracker()
    tracker.observe(100, [warning(100)], [])
    assert only(tracker).occurrence is None
    tracker.observe(105, [], [occurrence(104)])
    assert (only(tracker).number, only(tracker).fingerprint) == (1, "f1")


def test_remarks_alone_open_none() -> None:
    tracker = IncidentTracker()
    for time_s in range(100, 400, 5):
        assert tracker.observe(time_s, [warning(time_s, "info", "cpu_usage")], []) == []


def test_remarks_go_with_the_incident_that_follows_them() -> None:
    tracker = IncidentTracker()
    remark = warning(100, "info", "cpu_usage")
    tracker.observe(100, [remark], [])
    tracker.observe(160, [warning(160)], [])
    assert only(tracker).alerts == (remark, warning(160))
    assert only(tracker).title == "error_rate is high"


def test_a_metric_incident_ends_once_all_has_been_quiet() -> None:
    tracker = IncidentTracker()
    tracker.observe(100, [warning(100)], [])
    assert tracker.observe(100 + QUIET_S - 1, [], []) == []
    (ended,) = tracker.observe(100 + QUIET_S, [], [])
    assert ended.state is IncidentState.DISMISSED
    assert "by itself" in ended.outcome


def test_flapping_is_one_incident() -> None:
    tracker = IncidentTracker()
    for flap in range(6):
        start = 1000.0 * flap / 4
        tracker.observe(start, [warning(start)], [])
        for time_s in range(int(start) + 5, int(start) + 250, 5):
            tracker.observe(time_s, [], [])
    assert only(tracker).number == 1


def test_another_metric_after_a_silence_is_another_incident() -> None:
    tracker = IncidentTracker()
    tracker.observe(100, [warning(100)], [])
    tracker.observe(120, [warning(120, metric="response_time")], [])
    assert only(tracker).number == 1, "at the same time it is the same incident"
    tracker.observe(120 + SILENT_S + 5, [warning(300, metric="queue_depth")], [])
    assert len(tracker.incidents()) == 2


def test_a_new_occurrence_after_healing_is_a_new_incident() -> None:
    tracker = IncidentTracker()
    tracker.observe(100, [], [occurrence()])
    healed = replace(only(tracker), state=IncidentState.HEALED, ended_s=130.0)
    tracker.put(healed)
    tracker.observe(131, [], [occurrence(129)])
    assert only(tracker).count == 2, "captured before the healing, delivered after it"
    tracker.observe(140, [], [occurrence(140)])
    assert [i.number for i in tracker.incidents()] == [2, 1]


def test_charts_that_look_back_over_a_healed_harm_open_nothing() -> None:
    tracker = IncidentTracker()
    tracker.observe(100, [], [occurrence()])
    tracker.put(replace(only(tracker), state=IncidentState.HEALED, ended_s=130.0))
    tracker.observe(135, [warning(135)], [])
    assert len(tracker.incidents()) == 1
    tracker.observe(150, [warning(150, "critical")], [])
    assert len(tracker.incidents()) == 2


def test_what_a_person_dismissed_stays_quiet_for_a_while() -> None:
    tracker = IncidentTracker()
    tracker.observe(100, [], [occurrence()])
    tracker.put(replace(only(tracker), state=IncidentState.DISMISSED, ended_s=130.0))
    tracker.observe(140, [], [occurrence(140)])
    assert only(tracker).count == 2
    late = 131.0 + MUTED_S
    tracker.observe(late, [], [occurrence(late)])
    assert len(tracker.incidents()) == 2


def test_an_incident_that_the_coordinator_works_on_does_not_end_by_itself() -> None:
    tracker = IncidentTracker()
    tracker.observe(100, [warning(100)], [])
    tracker.put(replace(only(tracker), state=IncidentState.PROPOSED))
    assert tracker.observe(5000, [], []) == []
