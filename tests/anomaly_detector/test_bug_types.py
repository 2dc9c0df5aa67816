"""Ranked bug types with their evidence in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfheal_engine.anomaly_detector import infer_types
from selfheal_engine.model import STRATEGIES, Alert, Frame, Occurrence, Value, WaitingThread


def occurrence(exception: str, message: str = "", kind: str = "exception") -> Occurrence:
    frame = Frame("/srv/app.py", 10, "view", own=True, source_line="return user.name")
    made = Occurrence("o", "exception", 1.0, 1, exception, message, (frame,), "f")
    return replace(made, kind=kind)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("exception", "message", "kind", "expected"),
    [
        ("AttributeError", "'NoneType' object has no attribute 'name'", "exception", "null_check"),
        ("TypeError", "'NoneType' object is not subscriptable", "exception", "null_check"),
        ("json.JSONDecodeError", "Expecting value", "exception", "error_handling"),
        ("KeyError", "'email'", "exception", "error_handling"),
        ("IndexError", "list index out of range", "exception", "logic_correction"),
        ("RecursionError", "maximum recursion depth", "exception", "logic_correction"),
        ("OSError", "[Errno 24] Too many open files", "exception", "resource_cleanup"),
        ("RuntimeError", "dictionary changed size during iteration", "exception",
         "race_condition_fix"),
        ("requests.ConnectTimeout", "timed out", "exception", "upstream"),
        ("SyntaxError", "invalid syntax", "syntax", "syntax_fix"),
        ("NameError", "name 'totl' is not defined", "exception", "syntax_fix"),
        ("", "", "stall", "timeout_guard"),
        ("", "", "deadlock", "race_condition_fix"),
        ("MemoryGrowth", "grows by 200 KB/s", "leak", "memory_leak_fix"),
        ("", "", "resource", "resource_cleanup"),
    ],
)  # fmt: skip
def test_the_likeliest_type_comes_first(
    exception: str, message: str, kind: str, expected: str
) -> None:
    ranked = infer_types(occurrence(exception, message, kind))
    assert ranked[0].bug_type == expected
    assert ranked[0].evidence


def test_probabilities_fall_and_leave_room_for_the_unknown() -> None:
    ranked = infer_types(occurrence("ValueError", "bad input"))
    chances = [r.probability for r in ranked]
    assert chances == sorted(chances, reverse=True)
    assert 0 < sum(chances) < 1


def test_a_none_on_the_failing_line_is_evidence() -> None:
    plain = occurrence("ValueError", "no")
    frame = replace(plain.frames[0], locals=(("user", Value("NoneType")), ("x", Value("int"))))
    told = infer_types(replace(plain, frames=(frame,)))
    assert any("None" in e for r in told if r.bug_type == "null_check" for e in r.evidence)
    elsewhere = replace(frame, source_line="return other.name")
    told = infer_types(replace(plain, frames=(elsewhere,)))
    assert not any(r.bug_type == "null_check" for r in told)


def test_a_stall_behind_a_held_lock_is_a_race_first() -> None:
    waiting = WaitingThread("worker", (), 30.0, "lock", held_by="other")
    stalled = replace(occurrence("", kind="stall"), threads=(waiting,))
    assert infer_types(stalled)[0].bug_type == "race_condition_fix"


@pytest.mark.parametrize(
    ("detector", "metric", "expected"),
    [
        ("signature:slow_upstream", "response_time", "upstream"),
        ("signature:errors_after_deploy", "error_rate", "deploy"),
        ("signature:descriptor_exhaustion", "memory_usage", "resource_cleanup"),
        ("leak", "memory_usage", "memory_leak_fix"),
        ("forecast", "queue_depth", "capacity"),
        ("hard_limit", "deadlock_risk", "race_condition_fix"),
    ],
)
def test_alerts_speak_for_types_too(detector: str, metric: str, expected: str) -> None:
    alert = Alert(1.0, detector, "warning", "something is off", (metric,))
    assert infer_types(None, [alert])[0].bug_type == expected


def test_the_same_alert_again_is_no_new_evidence() -> None:
    alert = Alert(1.0, "leak", "info", "memory grows", ("memory_usage",))
    assert infer_types(None, [alert]) == infer_types(None, [alert] * 9)


def test_nothing_known_is_nothing_claimed() -> None:
    assert infer_types(None) == ()
    assert set(STRATEGIES) >= {r.bug_type for r in infer_types(occurrence("KeyError"))}
