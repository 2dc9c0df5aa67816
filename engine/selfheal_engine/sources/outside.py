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
from selfheal_engine.sources.inbox import Inbox
from selfheal_engine.sources.logs import FileTail, JournalTail, LogReader, standard_streams
from selfheal_engine.sources.prometheus import PageReading, Scraper
from selfheal_engine.sources.traffic import Traffic

WAYS_TO_REQUESTS = "the probe, a sink_port or a prometheus_url"
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
        self._inbox = Inbox(settings.sink_port, project, pid) if settings.sink_port else None
        self._scraper = Scraper(settings.prometheus_url) if settings.prometheus_url else None
        self._streams: list[LogReader] = []
        if not unit:
            # where its output goes is read as well, but only while no probe sees more
            found = [path for path in standard_streams(pid) if path not in paths]
            self._streams = [LogReader(FileTail(path), project, pid) for path in found]

    @property
    def hears_exceptions(self) -> bool:
        """Whether an exception in the service would come to our knowledge."""
        heard = self._inbox is not None and self._inbox.taken > 0
        return bool(self._logs or self._streams) or heard

    @property
    def why_no_requests(self) -> str:
        """What is missing to know of requests."""
        reasons = [part.reason for part in (self._inbox, self._scraper) if part is not None]
        return "; ".join(reason for reason in reasons if reason) or f"needs {WAYS_TO_REQUESTS}"

    @property
    def drops(self) -> int:
        """Tracebacks and deliveries that could not be taken in."""
        broken = sum(log.broken for log in (*self._logs, *self._streams))
        sunk = self._inbox.drops if self._inbox is not None else 0
        return broken + sunk + self._doubles.dropped

    def poll(
        self,
        by_probe: Iterable[Occurrence],
        put: Callable[[Occurrence], Occurrence],
        *,
        has_probe: bool,
        wait: bool,
    ) -> list[Occurrence]:
        """New occurrences, each bug once; `by_probe` are those that the probe told of.

        `wait` for the probe, which may still tell of the same.
        """
        now_s = time.monotonic()
        self._doubles.told_by_probe(by_probe, now_s)
        for log in self._logs:
            self._doubles.tell("log", log.poll(), now_s)
        for log in self._streams:
            if has_probe:
                log.tail.skip()
            else:
                self._doubles.tell("log", log.poll(), now_s)
        if self._inbox is not None:
            for teller, occurrences in self._inbox.read(self.traffic):
                self._doubles.tell(teller, occurrences, now_s)
            self.notes.update(self._inbox.notes)
        found = merged(self._doubles.due(now_s, wait=wait or self._inbox is not None), put)
        self.exceptions += sum(occurrence.count for occurrence in found)
        return found

    def measure(self) -> PageReading:
        """Levels and totals of the metrics page since the last call."""
        reading = self._scraper.take() if self._scraper is not None else None
        if reading is None:
            return PageReading()
        for bucket in reading.buckets:
            self.traffic.add_buckets("prometheus", bucket)
        return reading

    def close(self) -> None:
        if self._inbox is not None:
            self._inbox.close()
        if self._scraper is not None:
            self._scraper.close()
        for log in (*self._logs, *self._streams):
            log.tail.close()
