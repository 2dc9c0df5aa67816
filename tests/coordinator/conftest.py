"""An engine that the tests turn by hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from selfheal_engine.coordinator.loop import EngineLoop
from selfheal_engine.coordinator.parts import Parts
from selfheal_engine.model import Event, Incident, IncidentState, Snapshot
from tests.coordinator.scripted import ScriptedService, occurrence, parts_for, proposed


class Bench:
    """An engine loop that a test turns by hand."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.told: list[Snapshot | Event] = []
        self.parts: Parts = parts_for(folder, self.told.append, **settings)
        self.loop = EngineLoop(self.parts)
        self.file = self.parts.project.root / "shop.py"

    @property
    def service(self) -> ScriptedService:
        source: object = self.parts.source
        assert isinstance(source, ScriptedService)
        return source

    def open(self, *candidates: object) -> Incident:
        """An incident with its proposal, as after a proposing process."""
        (incident,) = self.parts.tracker.observe(time.time(), (), [occurrence()])
        self.loop.ledger.opened(incident)
        made = proposed(incident, *candidates)  # type: ignore[arg-type]
        return self.loop.ledger.move(
            incident.id, IncidentState.PROPOSED, "", proposal=made.proposal
        )

    def turn_until(self, condition: Callable[[], bool], most_s: float = 20.0) -> None:
        deadline = time.monotonic() + most_s
        while not condition():
            assert time.monotonic() < deadline, [v for v in self.told if isinstance(v, Event)][-9:]
            self.loop._turn()

    def approve(self, incident: Incident, name: str = "c1") -> Future[str]:
        answer: Future[str] = Future()
        self.loop.healings.approve(incident.id, name, answer)
        return answer

    def state(self, incident: Incident) -> IncidentState:
        return self.loop.ledger.incident(incident.id).state

    def kinds(self) -> list[str]:
        return [value.kind for value in self.told if isinstance(value, Event)]

    def close(self) -> None:
        """The engine ends, the service runs on."""
        self.loop.close()
        self.parts.close(stop_service=False)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()
