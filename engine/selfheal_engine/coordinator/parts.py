"""The engine's parts, opened together and closed together; all of them belong to its thread."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from selfheal_engine.anomaly_detector import AnomalyDetector, IncidentTracker
from selfheal_engine.config import Settings
from selfheal_engine.coordinator.publishing import Publisher
from selfheal_engine.episodic_memory import EpisodicMemory
from selfheal_engine.healer.vault import forget_old
from selfheal_engine.health_monitor import HealthMonitor
from selfheal_engine.model import Target
from selfheal_engine.project import Project
from selfheal_engine.sources import ServiceSource, open_source


@dataclass(slots=True)
class Parts:
    """One of each room, for one service."""

    settings: Settings
    source: ServiceSource
    monitor: HealthMonitor
    detector: AnomalyDetector
    tracker: IncidentTracker
    memory: EpisodicMemory
    publisher: Publisher

    @property
    def project(self) -> Project:
        return self.source.project

    @property
    def vault(self) -> Path:
        """Where the originals of patched files are kept."""
        return vault_of(self.settings)

    def close(self, stop_service: bool) -> None:
        self.detector.close()
        self.monitor.save()
        self.source.close(stop_service)
        self.memory.close()


def open_parts(settings: Settings, target: Target, publisher: Publisher) -> Parts:
    """Open everything for `target`. Raises SelfhealError; then nothing stays open."""
    memory = EpisodicMemory(settings.state_path())
    try:
        source = open_source(target, settings)
    except BaseException:
        memory.close()
        raise
    memory.for_service(source.service().name)
    _forget_old(settings, memory)
    folder = settings.state_path() / "services" / source.service().name
    return Parts(
        settings=settings,
        source=source,
        monitor=HealthMonitor(settings, folder),
        detector=AnomalyDetector(settings, folder),
        tracker=IncidentTracker(memory.next_number()),
        memory=memory,
        publisher=publisher,
    )


def vault_of(settings: Settings) -> Path:
    """Folder of the originals of patched files."""
    return settings.state_path() / "originals"


def _forget_old(settings: Settings, memory: EpisodicMemory) -> None:
    """Retention: episodes and originals older than the setting; what they taught stays."""
    if settings.history_days:
        age_s = settings.history_days * 86400
        memory.prune(older_than_s=age_s)
        forget_old(vault_of(settings), age_s, memory.kept_originals())
