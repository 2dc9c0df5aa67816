"""The engine's parts, opened together and closed together; all of them belong to its thread."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from selfheal_engine.anomaly_detector import AnomalyDetector, IncidentTracker
from selfheal_engine.config import Settings
from selfheal_engine.coordinator.holding import Holding, hold
from selfheal_engine.coordinator.publishing import Publisher
from selfheal_engine.episodic_memory import EpisodicMemory
from selfheal_engine.errors import HistoryError, SelfhealError
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
    holding: Holding | None = None

    def read_only(self) -> str:
        """Why this engine may only look; "" when it holds the service."""
        held_by = self.holding.held_by if self.holding is not None else ""
        return held_by or self.source.read_only()

    def in_maintenance(self) -> bool:
        """Whether nothing may be applied: by the settings, or by the switch."""
        return self.settings.maintenance or self._maintenance_file().exists()

    def switch_maintenance(self, on: bool) -> None:
        """Raises SelfhealError: where the settings say so, there is nothing to switch off."""
        if not on and self.settings.maintenance:
            raise SelfhealError("maintenance is on by the settings: change it there")
        file = self._maintenance_file()
        try:
            if on:
                file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                file.touch(mode=0o600)
            else:
                file.unlink(missing_ok=True)
        except OSError as why:
            raise SelfhealError(f"cannot switch at {file}: {why.strerror}") from None

    def _maintenance_file(self) -> Path:
        """The switch is a file, so that it outlasts the engine."""
        folder = self.settings.state_path() / "services" / self.source.service().name
        return (self.holding.folder if self.holding is not None else folder) / "maintenance"

    @property
    def project(self) -> Project:
        return self.source.project

    @property
    def vault(self) -> Path:
        """Where the originals of patched files are kept."""
        return vault_of(self.settings)

    def save(self) -> None:
        """Keep what the monitor has learned; a full disk costs just that, and is told."""
        if self.read_only():
            return
        try:
            self.monitor.save()
        except OSError as why:
            self.publisher.error(f"the baselines cannot be saved: {why.strerror}")

    def forget_old(self) -> None:
        """Retention: episodes and originals older than the setting; what they taught stays."""
        if self.settings.history_days and not self.read_only():
            age_s = self.settings.history_days * 86400
            try:
                self.memory.prune(older_than_s=age_s)
                forget_old(self.vault, age_s, self.memory.kept_originals())
            except HistoryError as why:
                self.publisher.error(f"nothing old could be forgotten: {why}")

    def close(self, stop_service: bool) -> None:
        """Close everything, whatever one of them says to it."""
        with ExitStack() as closing:
            if self.holding is not None:
                closing.callback(self.holding.close)
            closing.callback(self.memory.close)
            closing.callback(self.source.close, stop_service)
            closing.callback(self.save)
            closing.callback(self.detector.close)


def open_parts(settings: Settings, target: Target, publisher: Publisher) -> Parts:
    """Open everything for `target`. Raises SelfhealError; then nothing stays open."""
    memory = EpisodicMemory(settings.state_path())
    try:
        source = open_source(target, settings)
    except BaseException:
        memory.close()
        raise
    try:
        services = settings.state_path() / "services"
        holding = hold(services, source.service().name, source.root_pid)
    except BaseException:
        source.close(source.service().started_by_us)
        memory.close()
        raise
    folder = holding.folder
    memory.for_service(folder.name)
    parts = Parts(
        settings=settings,
        source=source,
        monitor=HealthMonitor(settings, folder),
        detector=AnomalyDetector(settings, folder),
        tracker=IncidentTracker(memory.next_number()),
        memory=memory,
        publisher=publisher,
        holding=holding,
    )
    parts.forget_old()
    return parts


def vault_of(settings: Settings) -> Path:
    """Folder of the originals of patched files."""
    return settings.state_path() / "originals"
