"""What can be known of a service without our probe in it: logs, what it sends, what it shows.

Each of these is used when it is configured or found, alone or beside the probe; where the
probe tells of the same exception, the probe is believed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from selfheal_engine.config import Settings
from selfheal_engine.errors import TargetError
from selfheal_engine.model import Occurrence
from selfheal_engine.project import Project
from selfheal_engine.sources.doubles import Doubles, merged
from selfheal_engine.sources.logs import FileTail, JournalTail, LogReader, standard_streams
from selfheal_engine.sources.traffic import Traffic

WAYS = "the probe, a log (--log), a sink_port or a prometheus_url"
"""What a reading needs that cannot be had from the operating system."""


class Outside:
    """Every source but the probe and /proc. Used by the engine's thread; nothing blocks."""

    def __init__(self, settings: Settings, project: Project, pid: int, unit: str) -> None:
        """Raises TargetError when a configured source cannot be had."""
        self.traffic = Traffic()
        self.exceptions = 0
        """Occurrences that came from here so far."""
        self.notes: dict[str, None] = {}
        self._doubles = Doubles()
        paths = [Path(file).expanduser().resolve() for file in settings.log_files]
        self._logs = [LogReader(FileTail(path), project, pid) for path in paths]
        if unit:
            try:
                self._logs.append(LogReader(JournalTail(unit), project, pid))
            except TargetError as why:
                self.notes[str(why)] = None
        self._streams: list[LogReader] = []
        if not unit:
            # where its output goes is read as well, but only while no probe sees more
            found = [path for path in standard_streams(pid) if path not in paths]
            self._streams = [LogReader(FileTail(path), project, pid) for path in found]

    @property
    def hears_exceptions(self) -> bool:
        """Whether an exception in the service would come to our knowledge."""
        return bool(self._logs or self._streams)

    @property
    def drops(self) -> int:
        """Tracebacks and deliveries that could not be taken in."""
        broken = sum(log.broken for log in (*self._logs, *self._streams))
        return broken + self._doubles.dropped

    def poll(
        self,
        by_probe: Iterable[Occurrence],
        put: Callable[[Occurrence], Occurrence],
        *,
        has_probe: bool,
    ) -> list[Occurrence]:
        """New occurrences, each bug once; `by_probe` are those that the probe told of."""
        now_s = time.monotonic()
        self._doubles.told_by_probe(by_probe, now_s)
        for log in self._logs:
            self._doubles.tell("log", log.poll(), now_s)
        for log in self._streams:
            if has_probe:
                log.tail.skip()
            else:
                self._doubles.tell("log", log.poll(), now_s)
        found = merged(self._doubles.due(now_s, wait=has_probe), put)
        self.exceptions += sum(occurrence.count for occurrence in found)
        return found

    def close(self) -> None:
        for log in (*self._logs, *self._streams):
            log.tail.close()
