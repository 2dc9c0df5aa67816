"""When a patch may be applied without a person, and with which words it may not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfheal_engine.config import Settings
from selfheal_engine.coordinator.policy import MOST_ROLL_BACKS, ApprovalPolicy
from selfheal_engine.model import (
    Candidate,
    Check,
    Incident,
    IncidentState,
    Proposal,
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
