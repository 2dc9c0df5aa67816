"""Histories and episodes for this room's tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from selfheal_engine.episodic_memory import EpisodicMemory
from selfheal_engine.model import Episode, Incident, IncidentState

MakeEpisode = Callable[..., Episode]
MakeIncident = Callable[..., Incident]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.jsonl"


@pytest.fixture
def memory(tmp_path: Path) -> EpisodicMemory:
    return EpisodicMemory(tmp_path / "state")


@pytest.fixture
def episode() -> MakeEpisode:
    usual = Episode(
        id="e1",
        service="shop",
        number=1,
        title="TypeError, checkout.py:88",
        fingerprint="f1",
        bug_type="null_check",
        state="healed",
        exception="TypeError",
        strategy="null_check",
        template="guard",
        framework="flask",
        first_seen_s=1000.0,
        ended_s=1020.0,
        mttr_s=20.0,
    )

    def make(number: int = 1, **changes: object) -> Episode:
        return replace(usual, id=f"e{number}", number=number, **changes)

    return make


@pytest.fixture
def incident() -> MakeIncident:
    def make(number: int = 1, state: IncidentState = IncidentState.APPROVED) -> Incident:
        return Incident(f"i{number}", number, state, "TypeError, checkout.py:88", 1000.0, 1001.0)

    return make
