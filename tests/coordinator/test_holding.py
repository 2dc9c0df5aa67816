"""One engine decides for a service; others only look."""

from __future__ import annotations

from pathlib import Path

from selfheal_engine.coordinator.holding import hold
from selfheal_engine.model import IncidentState
from tests.coordinator.conftest import Bench


def test_a_second_engine_of_the_same_service_only_looks(tmp_path: Path) -> None:
    first = hold(tmp_path, "shop", 7)
    second = hold(tmp_path, "shop", 7)
    assert first.held_by == ""
    assert "only looks" in second.held_by
    assert second.folder == first.folder
    first.close()
    assert hold(tmp_path, "shop", 7).held_by == ""


def test_a_namesake_has_a_folder_of_its_own(tmp_path: Path) -> None:
    first, namesake = hold(tmp_path, "app", 7), hold(tmp_path, "app", 8)
    assert namesake.held_by == ""
    assert namesake.folder != first.folder


def test_who_only_looks_leaves_the_record_of_the_other_alone(tmp_path: Path) -> None:
    owner = Bench(tmp_path, watch_s=60.0)
    owner.parts.holding = hold(tmp_path, "shop", 7)
    incident = owner.open()
    owner.approve(incident)
    owner.turn_until(lambda: owner.state(incident) is IncidentState.WATCHING)

    viewer = Bench(tmp_path, watch_s=60.0)
    viewer.parts.holding = hold(tmp_path, "shop", 7)
    viewer.loop.healings.recover()
    seen = viewer.open()
    viewer.loop.ledger.end(seen.id, IncidentState.DISMISSED, "seen from here")
    assert viewer.parts.memory.episodes() == []
    assert [i.id for i, _ in owner.parts.memory.unfinished()] == [incident.id]
    for bench in (viewer, owner):
        bench.close()
