"""When a patch may be applied without a person, and with which words it may not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfheal_engine.config import Settings
from selfheal_engine.coordinator.policy import MOST_ROLL_BACKS, ApprovalPolicy
from selfheal_engine.model import (
    Candidate,
    Check,
    Episode,
    Incident,
    IncidentState,
    Proposal,
    Step,
    Verdict,
)

SETTINGS = Settings(approve="low", approve_floor=80, applies_per_hour=2)
INCIDENT = Incident("i", 1, IncidentState.PROPOSED, "t", 0.0, 0.0, fingerprint="f")
CANDIDATE = Candidate("c", "null_check", "guard", "t", "d", (), risk="low")
VERDICT = Verdict("c", (Check("reproducer", "passed", "3 of 3"),), 90, True)
PROPOSAL = Proposal("i", (CANDIDATE,), (VERDICT,), "high")


def refusal(settings: Settings = SETTINGS, proposal: Proposal = PROPOSAL) -> str:
    return ApprovalPolicy(settings).refusal(INCIDENT, proposal, 1000.0)


def with_verdict(**changes: object) -> Proposal:
    return replace(PROPOSAL, verdicts=(replace(VERDICT, **changes),))


def test_a_low_risk_proven_patch_passes() -> None:
    assert refusal() == ""


def test_nothing_is_applied_by_default() -> None:
    assert refusal(Settings()) == "waiting for you"


@pytest.mark.parametrize(
    ("proposal", "word"),
    [
        (replace(PROPOSAL, candidates=(), verdicts=()), "no proven patch"),
        (replace(PROPOSAL, tier="medium"), "not sure enough"),
        (replace(PROPOSAL, candidates=(replace(CANDIDATE, risk="medium"),)), "risk medium"),
        (with_verdict(plausible=False), "no reproducer passed"),
        (with_verdict(checks=()), "no reproducer passed"),
        (with_verdict(safety=79), "safety 79 is below 80"),
        (with_verdict(safety=None), "safety None"),
    ],
)
def test_each_condition_refuses_with_its_word(proposal: Proposal, word: str) -> None:
    assert word in refusal(proposal=proposal)


def test_maintenance_stops_everything() -> None:
    assert "maintenance" in refusal(replace(SETTINGS, maintenance=True))


def test_applies_an_hour_are_limited_and_the_hour_passes() -> None:
    policy = ApprovalPolicy(SETTINGS)
    policy.note_apply(1000.0)
    policy.note_apply(1001.0)
    assert "automatic applies in the last hour" in policy.refusal(INCIDENT, PROPOSAL, 1002.0)
    assert policy.refusal(INCIDENT, PROPOSAL, 1001.0 + 3601) == ""


def test_a_roll_back_makes_the_next_try_wait_and_the_second_leaves_it_to_the_person() -> None:
    policy = ApprovalPolicy(SETTINGS)
    policy.note_roll_back("f", 1000.0)
    assert "waiting before the next try" in policy.refusal(INCIDENT, PROPOSAL, 1030.0)
    assert policy.refusal(INCIDENT, PROPOSAL, 1061.0) == ""
    for _ in range(MOST_ROLL_BACKS - 1):
        policy.note_roll_back("f", 2000.0)
    assert "left to you" in policy.refusal(INCIDENT, PROPOSAL, 99_999.0)


def test_a_bug_that_was_healed_twice_in_a_day_and_is_back_is_left_to_the_person() -> None:
    policy = ApprovalPolicy(SETTINGS)
    policy.note_healed("f", 1000.0)
    assert policy.refusal(INCIDENT, PROPOSAL, 2000.0) == ""
    policy.note_healed("f", 3000.0)
    assert "healed 2 times in a day and back" in policy.refusal(INCIDENT, PROPOSAL, 4000.0)
    assert policy.refusal(INCIDENT, PROPOSAL, 3000.0 + 86_400) == ""


def test_roll_backs_of_many_bugs_leave_the_whole_service_to_the_person() -> None:
    policy = ApprovalPolicy(SETTINGS)
    for number in range(3):
        policy.note_roll_back(f"other{number}", 1000.0)
    assert "3 patches were rolled back" in policy.refusal(INCIDENT, PROPOSAL, 1001.0)
    assert policy.refusal(INCIDENT, PROPOSAL, 5000.0) == ""


def test_a_service_that_does_not_stand_still_is_left_to_the_person() -> None:
    policy = ApprovalPolicy(SETTINGS)
    for at_s in (1000.0, 1100.0, 1200.0):
        policy.note_restart(at_s)
    assert "restarted 3 times" in policy.refusal(INCIDENT, PROPOSAL, 1300.0)
    assert policy.refusal(INCIDENT, PROPOSAL, 1700.0) == ""


def test_what_counts_survives_the_engine() -> None:
    def past(state: str, ended_s: float) -> Episode:
        steps = (Step(ended_s - 30, "applied"),)
        return Episode(
            f"e{ended_s}", "shop", 1, "t", "f", "unknown", state,
            decision="automatic", ended_s=ended_s, steps=steps,
        )  # fmt: skip

    twice = ApprovalPolicy(SETTINGS, [past("rolled_back", 900.0), past("rolled_back", 500.0)])
    assert "rolled back 2 times" in twice.refusal(INCIDENT, PROPOSAL, 99_999.0)
    made_good = ApprovalPolicy(
        SETTINGS, [past("healed", 950.0), past("rolled_back", 900.0), past("rolled_back", 500.0)]
    )
    assert "3 automatic applies" in made_good.refusal(INCIDENT, PROPOSAL, 1000.0)
    assert made_good.refusal(INCIDENT, PROPOSAL, 99_999.0) == ""
