"""What a proposing process is given; the engine's own process needs no more of it than this."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from selfheal_engine.config import Settings
from selfheal_engine.model import Candidate, Incident
from selfheal_engine.project import Project

AHEAD = "ahead"
"""Argument of a process that only learns what the service's tests say."""


@dataclass(frozen=True, slots=True)
class Workplace:
    """The first line that the process is given: enough to get ready before there is a job."""

    project_root: str
    python: str
    tests: tuple[str, ...]
    import_paths: tuple[str, ...]
    settings: Settings

    def project(self) -> Project:
        return Project(Path(self.project_root), self.python, self.tests, self.import_paths)


@dataclass(frozen=True, slots=True)
class Job:
    """The second line: the incident, as soon as its record has settled."""

    incident: Incident
    priors: dict[str, tuple[float, float]]
    """Beta posterior (successes, failures) by "strategy/template" and coarser keys."""
    rejected: tuple[str, ...] = ()
    """Diffs rejected by a person, or taken back in force, for this fingerprint: not shown again."""
    traffic_share: float = 0.0
    """Share (0-1) of all requests that go to the failing route: the patches' impact."""
    edited: Candidate | None = None
    """Validate just this one: a person changed it by hand."""
