"""What came to the sink, read: deliveries become occurrences and requests.

The sink has answered its clients long before; here the engine reads a few deliveries at each
look, for at most `LOOK_S`. What cannot be read is counted and named, never raised.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from selfheal_engine.model import Occurrence
from selfheal_engine.project import Project
from selfheal_engine.sources import otlp, sentry
from selfheal_engine.sources.sinks import LOOPBACK, Delivery, Sink, drain
from selfheal_engine.sources.tellings import Telling
from selfheal_engine.sources.traffic import Traffic

LOOK_S = 0.05


class Inbox:
    """The sink and those who read what came to it."""

    def __init__(self, port: int, project: Project, pid: int) -> None:
        self.taken = 0
        """Deliveries that were understood."""
        self.unread = 0
        """Deliveries that were not."""
        self.notes: dict[str, None] = {}
        self._project = project
        self._pid = pid
        self._otlp = otlp.OtlpReader(project, pid)
        self._place = f"{LOOPBACK}:{port}"
        self._sink: Sink | None = None
        try:
            self._sink = Sink(port, reads_protobuf=otlp.reads_protobuf())
        except (OSError, OverflowError) as why:
            self.notes[f"nothing can be received on {self._place}: {why}"] = None

    @property
    def reason(self) -> str:
        """Why there is nothing; "" when something came."""
        if self._sink is None:
            return next(iter(self.notes))
        return "" if self.taken else f"nothing came to {self._place} yet"

    @property
    def drops(self) -> int:
        return self.unread + (self._sink.drops if self._sink is not None else 0)

    def read(self, traffic: Traffic) -> list[tuple[str, list[Occurrence]]]:
        """(teller, occurrences) of what came; requests go into `traffic`."""
        found: dict[str, list[Occurrence]] = {}

        def take(delivery: Delivery) -> None:
            try:
                for teller, telling in self._tellings(delivery):
                    found.setdefault(teller, []).extend(telling.occurrences)
                    for request in telling.requests:
                        traffic.add("sentry" if teller == "sentry" else "otlp spans", request)
                    for buckets in telling.buckets:
                        traffic.add_buckets("otlp metrics", buckets)
                self.taken += 1
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as why:
                self.unread += 1
                if len(self.notes) < 20:
                    self.notes[f"a delivery ({delivery.what}) could not be read: {why}"] = None

        if self._sink is not None:
            drain(self._sink, take, LOOK_S)
        return list(found.items())

    def close(self) -> None:
        if self._sink is not None:
            self._sink.close()

    def _tellings(self, delivery: Delivery) -> Iterator[tuple[str, Telling]]:
        content = delivery.content()
        if delivery.what in ("envelope", "store"):
            read = sentry.read_envelope if delivery.what == "envelope" else sentry.read_store
            events: Iterable[dict[str, object]] = read(content)
            for event in events:
                yield "sentry", sentry.telling_of(event, self._project, self._pid)
            return
        message = otlp.read_body(delivery.what, content, delivery.content_type)
        yield "otlp", self._otlp.read(delivery.what, message)
