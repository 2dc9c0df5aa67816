"""What the engine does when the machine fails it: a full disk, a bug of ours, weeks of running."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from selfheal_engine.coordinator.loop import EngineLoop
from selfheal_engine.episodic_memory import EpisodicMemory
from selfheal_engine.episodic_memory.memory import HISTORY_FILE, INCIDENTS_FILE
from selfheal_engine.errors import HistoryError
from selfheal_engine.model import Event, IncidentState
from tests.coordinator.conftest import Bench
from tests.coordinator.scripted import BROKEN, MENDED, occurrence


@contextmanager
def no_room(bench: Bench) -> Iterator[None]:
    """The history's files cannot grow; a small source file can still be written."""
    folder = bench.parts.settings.state_path()
    size = min((folder / name).stat().st_size for name in (HISTORY_FILE, INCIDENTS_FILE))
    assert size > len(MENDED)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def grown(bench: Bench) -> None:
    """A history that is larger than any source file here."""
    for number in range(3):
        bench.parts.memory.reject(f"other{number}", "+" * 400, "no")


def errors(bench: Bench) -> list[str]:
    return [str(v.body["text"]) for v in bench.told if isinstance(v, Event) and v.kind == "error"]


def test_what_cannot_be_written_down_is_not_applied(bench: Bench) -> None:
    grown(bench)
    incident = bench.open()
    with no_room(bench), pytest.raises(HistoryError, match="cannot write"):
        bench.approve(incident)
    assert bench.state(incident) is IncidentState.PROPOSED
    assert bench.file.read_bytes() == BROKEN
    bench.approve(incident)  # room again
    bench.turn_until(lambda: bench.state(incident) is IncidentState.HEALED)


def test_a_disk_that_fills_up_under_a_watch_ends_neither_watch_nor_engine(bench: Bench) -> None:
    grown(bench)
    incident = bench.open()
    bench.approve(incident)
    bench.turn_until(lambda: bench.state(incident) is IncidentState.WATCHING)
    with no_room(bench):
        bench.turn_until(lambda: bench.state(incident) is IncidentState.HEALED)
        assert bench.parts.memory.episodes() == []
    assert any("it is tried again" in text for text in errors(bench))
    bench.loop.ledger.catch_up()
    assert [episode.state for episode in bench.parts.memory.episodes()] == ["healed"]
    assert bench.parts.memory.unfinished() == []


def test_harm_is_taken_back_on_a_full_disk_too(bench: Bench) -> None:
    grown(bench)
    incident = bench.open()
    bench.approve(incident)
    bench.turn_until(lambda: bench.state(incident) is IncidentState.WATCHING)

    def comes_back() -> bool:
        bench.service.arriving.append(occurrence("again"))
        return bench.state(incident) is IncidentState.ROLLED_BACK

    with no_room(bench):
        bench.turn_until(comes_back)
    assert bench.file.read_bytes() == BROKEN


def test_one_step_that_fails_does_not_keep_the_others_from_theirs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(now_s: float) -> None:
        raise ZeroDivisionError("a bug of ours")

    monkeypatch.setattr(bench.loop.investigations, "advance", broken)
    before = len(bench.told)
    bench.loop._next_sample_s = 0.0
    with pytest.raises(ZeroDivisionError):
        bench.loop._turn()
    assert len(bench.told) > before, "no snapshot was published"


def test_what_lasts_is_told_once_and_does_not_end_the_engine(bench: Bench) -> None:
    for _ in range(30):
        bench.loop._survive(OSError(28, "No space left on device"))
    assert len(errors(bench)) == 1
    assert not bench.loop._stopping


def test_a_bug_that_lasts_ends_the_engine_but_not_the_service(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("selfheal_engine.coordinator.loop.FAILING_S", 0.0)
    for _ in range(30):
        bench.loop._survive(ZeroDivisionError("a bug of ours"))
    assert "a bug of ours" in bench.loop._stopping
    assert bench.loop.broken


def test_thousands_of_incidents_leave_nothing_behind(bench: Bench) -> None:
    for number in range(1500):
        (incident,) = bench.parts.tracker.observe(
            time.time(), (), [occurrence(f"o{number}", f"f{number}")]
        )
        bench.parts.tracker.put(replace(incident, state=IncidentState.OPEN))
        bench.loop.ledger.case(incident)
        bench.parts.tracker.put(
            replace(incident, state=IncidentState.DISMISSED, ended_s=time.time())
        )
    bench.loop.ledger.catch_up()
    assert len(bench.loop.ledger._cases) <= len(bench.parts.tracker.incidents()) <= 201


def test_an_incident_that_its_tracker_ends_is_remembered(bench: Bench) -> None:
    (incident,) = bench.parts.tracker.observe(time.time(), (), [occurrence()])
    bench.loop.ledger.opened(incident)
    assert len(bench.parts.memory.unfinished()) == 1
    ended = replace(
        incident, state=IncidentState.DISMISSED, ended_s=time.time(), outcome="went away"
    )
    bench.parts.tracker.put(ended)
    bench.loop.ledger.ended_by_itself(ended)
    assert bench.parts.memory.unfinished() == []
    assert [episode.reason for episode in bench.parts.memory.episodes()] == ["went away"]


def test_a_queued_approval_that_an_engine_died_over_waits_for_its_person_again(
    tmp_path: Path,
) -> None:
    first = Bench(tmp_path, watch_s=60.0)
    one = first.open()
    (found,) = first.parts.tracker.observe(time.time(), (), [occurrence("o2", "f2")])
    first.loop.ledger.opened(found)
    proposal = first.loop.ledger.incident(one.id).proposal
    assert proposal is not None
    other = replace(proposal, incident=found.id)
    two = first.loop.ledger.move(found.id, IncidentState.PROPOSED, proposal=other)
    first.approve(one)
    first.turn_until(lambda: first.state(one) is IncidentState.WATCHING)
    first.approve(two)
    first.parts.memory.close()  # as after a kill: nothing was ended in order

    again = Bench(tmp_path, watch_s=60.0)
    again.loop.healings.recover()
    told = [v.body["id"] for v in again.told if isinstance(v, Event) and v.kind == "incident"]
    assert {one.id, two.id} <= set(told), "a reader of the new events knows neither"
    assert again.state(one) is IncidentState.WATCHING
    assert again.state(two) is IncidentState.PROPOSED, "the patch of the other was taken for it"
    assert again.file.read_bytes() == MENDED
    again.close()


def test_a_pause_that_has_passed_lets_the_proposal_go(tmp_path: Path) -> None:
    bench = Bench(tmp_path, approve="low")
    incident = bench.open()
    bench.loop.healings._policy.note_roll_back(incident.fingerprint, time.time())
    bench.loop.healings.proposed(bench.loop.ledger.incident(incident.id))
    assert "waiting before the next try" in bench.loop.ledger.incident(incident.id).activity
    bench.loop.healings._policy._roll_backs_s[incident.fingerprint] = [time.time() - 61]
    bench.loop.healings.reconsider()
    assert bench.state(incident) is IncidentState.APPROVED
    bench.close()


def test_a_deferred_proposal_is_left_to_the_person(tmp_path: Path) -> None:
    bench = Bench(tmp_path, approve="low")
    incident = bench.open()
    bench.loop.decisions.defer(incident.id)
    bench.loop.healings.reconsider()
    assert bench.state(incident) is IncidentState.PROPOSED
    bench.close()


def test_a_restart_of_the_engine_closes_no_circuit_breaker(bench: Bench) -> None:
    incident = bench.open()
    bench.approve(incident)
    bench.turn_until(lambda: bench.state(incident) is IncidentState.HEALED)
    bench.loop.healings.roll_back(incident.id)
    memory: EpisodicMemory = bench.parts.memory
    assert [episode.state for episode in memory.episodes()] == ["rolled_back"]
    again = EngineLoop(bench.parts)
    assert again.healings._policy._roll_backs_s.keys() == {incident.fingerprint}
    assert memory.unwanted(incident.fingerprint), "the patch would be offered again"
