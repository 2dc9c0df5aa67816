"""One incident's life, from proposed to its end, on a real file with the real healer and memory."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from selfheal_engine.coordinator.loop import how_it_ended
from selfheal_engine.errors import PatchConflictError, SelfhealError
from selfheal_engine.model import Candidate, Event, Incident, IncidentState
from tests.coordinator.conftest import Bench
from tests.coordinator.scripted import (
    BROKEN,
    MENDED,
    candidate,
    occurrence,
    proposed,
)


def test_an_approved_patch_is_applied_watched_and_healed(bench: Bench) -> None:
    incident = bench.open()
    answer = bench.approve(incident)
    bench.turn_until(lambda: bench.state(incident) is IncidentState.HEALED)
    assert bench.file.read_bytes() == MENDED
    assert answer.result(0)
    assert [kind for kind in bench.kinds() if kind in ("decision", "applied", "healed")] == [
        "decision",
        "applied",
        "healed",
    ]
    (episode,) = bench.parts.memory.episodes()
    assert (episode.state, episode.strategy, episode.decision) == (
        "healed",
        "null_check",
        "person",
    )
    assert episode.mttr_s is not None
    assert bench.parts.memory.unfinished() == []


def test_the_same_error_after_the_patch_rolls_it_back(bench: Bench) -> None:
    incident = bench.open()
    bench.approve(incident)
    bench.turn_until(lambda: bench.state(incident) is IncidentState.WATCHING)

    def comes_back() -> bool:
        bench.service.arriving.append(occurrence("again"))
        return bench.state(incident) is IncidentState.ROLLED_BACK

    bench.turn_until(comes_back)
    assert bench.file.read_bytes() == BROKEN
    assert "came back" in bench.loop.ledger.incident(incident.id).outcome


def test_what_a_swap_cannot_free_is_left_to_the_owner_in_force_and_told(bench: Bench) -> None:
    incident = bench.open()
    record = replace(occurrence(), kind="deadlock")
    bench.loop.ledger.change(incident.id, occurrence=record)
    bench.approve(incident)
    bench.turn_until(lambda: bench.state(incident) is IncidentState.WATCHING)
    watched = bench.loop.healings._watched
    assert watched is not None
    watched.watch._held_up = 1
    bench.turn_until(lambda: bench.state(incident) is IncidentState.DISMISSED)
    assert bench.file.read_bytes() == MENDED
    told = [v.body for v in bench.told if isinstance(v, Event) and v.kind == "decision"]
    assert told[-1]["decision"] == "leave"
    assert "restart the service" in str(told[-1]["reason"])


@pytest.mark.parametrize(
    ("restart_command", "state"),
    [("true", IncidentState.HEALED), ("", IncidentState.ROLLED_BACK)],
)
def test_what_a_leak_has_piled_up_goes_with_its_processes_where_these_may_be_had(
    tmp_path: Path, restart_command: str, state: IncidentState
) -> None:
    bench = Bench(tmp_path, restart_command=restart_command)
    try:
        incident = bench.open()
        record = replace(occurrence(), kind="leak")
        bench.loop.ledger.change(incident.id, occurrence=record)
        bench.approve(incident)
        bench.turn_until(lambda: bench.state(incident) is IncidentState.WATCHING)
        watched = bench.loop.healings._watched
        assert watched is not None
        watched.watch._piled_up = "memory rose to 600 MB"
        bench.turn_until(lambda: bench.state(incident) in (state, IncidentState.DISMISSED))
        applied = bench.loop.ledger.case(bench.loop.ledger.incident(incident.id)).applied
        assert applied is not None
        assert (applied.way == "restart") == bool(restart_command)
        assert bench.file.read_bytes() == (MENDED if restart_command else BROKEN)
    finally:
        bench.close()


def test_a_file_that_the_owner_changed_is_never_overwritten(bench: Bench) -> None:
    incident = bench.open()
    theirs = BROKEN + b"\n\ndef other():\n    return 1\n"
    bench.file.write_bytes(theirs)
    answer = bench.approve(incident)
    bench.turn_until(answer.done)
    assert isinstance(answer.exception(0), PatchConflictError)
    assert bench.file.read_bytes() == theirs
    assert bench.state(incident) is IncidentState.PROPOSED
    case = bench.loop.ledger.case(incident)
    assert "proven again" in case.steps[-1].text


def test_a_patch_that_cannot_be_rebased_sends_the_incident_back_to_be_diagnosed(
    bench: Bench,
) -> None:
    incident = bench.open()
    bench.file.write_bytes(b"def total(order):\n    return order.address.zip\n")
    answer = bench.approve(incident)
    bench.turn_until(answer.done)
    assert isinstance(answer.exception(0), PatchConflictError)
    assert bench.state(incident) is IncidentState.OPEN


def test_a_deploy_under_a_proposal_has_its_patch_proven_again(bench: Bench) -> None:
    incident = bench.open(candidate("c1"), candidate("c2"))
    bench.file.write_bytes(b"LIMIT = 3\n\n\n" + BROKEN)
    proven: list[Candidate] = []
    bench.loop.healings.rebasing._prove_again = lambda incident, rebased: proven.append(rebased)
    bench.loop.healings.rebasing.freshen()
    (rebased,) = proven
    assert dict(rebased.files)["shop.py"] == b"LIMIT = 3\n\n\n" + MENDED
    now = bench.loop.ledger.incident(incident.id)
    assert now.proposal is not None
    assert [c.id for c in now.proposal.candidates] == ["c2"], "nobody can approve the stale one"
    bench.file.write_bytes(b"def total(order):\n    return order.address.zip\n")
    bench.loop.ledger.case(now).proving = False
    bench.loop.healings.rebasing.freshen()
    assert bench.state(incident) is IncidentState.OPEN, "the lines themselves were changed"


def test_maintenance_refuses_with_a_sentence(tmp_path: Path) -> None:
    bench = Bench(tmp_path, maintenance=True)
    incident = bench.open()
    with pytest.raises(SelfhealError, match="maintenance"):
        bench.approve(incident)
    assert bench.file.read_bytes() == BROKEN


def test_the_maintenance_switch_outlasts_the_engine(tmp_path: Path) -> None:
    first = Bench(tmp_path)
    first.parts.switch_maintenance(True)
    first.close()
    again = Bench(tmp_path, approve="low")
    incident = again.open()
    again.loop.healings.proposed(again.loop.ledger.incident(incident.id))
    assert again.loop.ledger.incident(incident.id).activity.startswith("maintenance")
    with pytest.raises(SelfhealError, match="maintenance"):
        again.approve(incident)
    again.parts.switch_maintenance(False)
    again.loop.healings.reconsider()
    assert again.state(incident) is IncidentState.APPROVED
    again.close()


def test_what_waits_for_nobody_cannot_be_approved_twice(bench: Bench) -> None:
    incident = bench.open()
    bench.approve(incident)
    with pytest.raises(SelfhealError, match="nothing waits for approval"):
        bench.approve(incident)


def test_a_rejected_patch_is_remembered_and_the_last_one_ends_the_incident(bench: Bench) -> None:
    incident = bench.open(candidate("c1"), candidate("c2"))
    assert "1 left" in bench.loop.decisions.reject(incident.id, "c1", "wrong default")
    assert bench.state(incident) is IncidentState.PROPOSED
    bench.loop.decisions.reject(incident.id, "c2", "also wrong")
    assert bench.state(incident) is IncidentState.REJECTED
    assert bench.parts.memory.rejected(incident.fingerprint)
    with pytest.raises(SelfhealError, match="rejected already"):
        bench.loop.decisions.dismiss(incident.id, "")


def test_policy_approves_a_low_risk_proven_patch_by_itself(tmp_path: Path) -> None:
    bench = Bench(tmp_path, approve="low")
    incident = bench.open()
    bench.loop.healings.proposed(bench.loop.ledger.incident(incident.id))
    bench.turn_until(lambda: bench.state(incident) is IncidentState.HEALED)
    (episode,) = bench.parts.memory.episodes()
    assert episode.decision == "automatic"


def test_what_policy_leaves_is_told_with_its_reason_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, approve="low", approve_floor=99)
    incident = bench.open()
    bench.loop.healings.proposed(bench.loop.ledger.incident(incident.id))
    for _ in range(3):
        bench.loop.healings.reconsider()
    left = [v.body for v in bench.told if isinstance(v, Event) and v.kind == "decision"]
    assert [(body["decision"], body["by"]) for body in left] == [("leave", "policy")]
    assert left[0]["reason"] == "safety 95 is below 99: waiting for you"
    bench.close()


def test_a_healing_can_be_taken_back_later_from_the_history(bench: Bench) -> None:
    incident = bench.open()
    bench.approve(incident)
    bench.turn_until(lambda: bench.state(incident) is IncidentState.HEALED)
    assert "rolled back" in bench.loop.healings.roll_back(incident.id)
    assert bench.file.read_bytes() == BROKEN


def test_one_patch_at_a_time_is_watched(bench: Bench) -> None:
    first = bench.open()
    (found,) = bench.parts.tracker.observe(time.time(), (), [occurrence("o2", "f2")])
    bench.loop.ledger.opened(found)
    second = bench.loop.ledger.move(
        found.id,
        IncidentState.PROPOSED,
        proposal=proposed(found, candidate("c9", MENDED)).proposal,
    )
    bench.approve(first)
    bench.turn_until(lambda: bench.state(first) is IncidentState.WATCHING)
    bench.approve(second, "c9")
    bench.loop._turn()
    assert bench.state(second) is IncidentState.APPROVED


def test_an_incident_of_metrics_alone_that_went_away_is_dismissed_by_itself(bench: Bench) -> None:
    old = Incident("m", 9, IncidentState.OPEN, "cpu", 1.0, 1.0)
    bench.parts.tracker.put(old)
    bench.turn_until(lambda: bench.state(old) is IncidentState.DISMISSED)


def test_a_turn_that_fails_is_told_and_survived(bench: Bench) -> None:
    def broken() -> None:
        raise ZeroDivisionError("what a bug")

    bench.loop.post(broken)
    bench.loop.post(lambda: bench.loop._stop("done"))
    assert bench.loop.run() == "done"
    errors = [v for v in bench.told if isinstance(v, Event) and v.kind == "error"]
    assert "what a bug" in str(errors[0].body["text"])


def test_a_deploy_over_a_watched_patch_ends_the_watch(tmp_path: Path) -> None:
    bench = Bench(tmp_path, watch_s=60.0)
    incident = bench.open()
    bench.approve(incident)
    bench.turn_until(lambda: bench.state(incident) is IncidentState.WATCHING)
    bench.file.write_bytes(b"def total(order):\n    return 0\n")
    bench.turn_until(lambda: bench.state(incident) is IncidentState.DISMISSED)
    assert "shop.py was changed" in bench.loop.ledger.incident(incident.id).outcome
    bench.close()


def test_a_healing_on_thin_evidence_goes_back_when_the_error_returns(bench: Bench) -> None:
    incident = bench.open()
    bench.approve(incident)
    bench.turn_until(lambda: bench.state(incident) is IncidentState.HEALED)
    (episode,) = bench.parts.memory.episodes()
    applied = bench.parts.memory.applied(episode.id)
    assert applied is not None
    assert not applied.proven, "one second without a call proves nothing"
    later = replace(occurrence("later"), time_s=time.time() + 1)
    bench.service.arriving.append(later)
    bench.turn_until(lambda: bench.file.read_bytes() == BROKEN)
    (episode,) = bench.parts.memory.episodes()
    assert episode.state == "rolled_back"
    assert "came back" in episode.reason
    assert "rolled_back" in bench.kinds()


def test_a_failure_that_a_patch_brought_goes_with_it(bench: Bench) -> None:
    incident = bench.open()
    bench.approve(incident)
    bench.turn_until(lambda: bench.state(incident) is IncidentState.WATCHING)

    def fails_anew() -> bool:
        bench.service.arriving.append(replace(occurrence("new", "f-new"), time_s=time.time() + 9))
        return bench.state(incident) is IncidentState.ROLLED_BACK

    bench.turn_until(fails_anew)
    brought = [i for i in bench.parts.tracker.incidents() if i.fingerprint == "f-new"]
    assert [i.state for i in brought] == [IncidentState.DISMISSED]
    assert "came with the patch" in brought[0].outcome


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, ""),
        (0, " with exit code 0"),
        (-15, " with exit code -15 (SIGTERM)"),
        (-99, " with exit code -99 (signal 99)"),
    ],
)
def test_a_signal_that_ended_the_service_has_its_name(code: int | None, words: str) -> None:
    assert how_it_ended(code) == words
