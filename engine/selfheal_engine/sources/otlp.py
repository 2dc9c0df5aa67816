"""OpenTelemetry over HTTP: spans, logs and metrics of a service that is instrumented already.

JSON needs nothing installed; protobuf, which most exporters send, is turned into the same JSON
by the optional `opentelemetry-proto`. Both generations of names are known: `http.status_code`
with milliseconds, and `http.response.status_code` with seconds (the stable conventions).
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from selfheal_engine.model import Occurrence
from selfheal_engine.project import Project
from selfheal_engine.sources.printed import occurrence_of
from selfheal_engine.sources.tellings import (
    Buckets,
    Request,
    Telling,
    as_list,
    as_map,
    as_number,
    as_text,
)
from selfheal_engine.sources.traceback_format import ParsedTraceback
from selfheal_engine.sources.tracebacks import read_text

_SERVER = (2, "SPAN_KIND_SERVER")
_FAILED = (2, "STATUS_CODE_ERROR")
_DELTA = (1, "AGGREGATION_TEMPORALITY_DELTA")
_ERROR_SEVERITY = 17
_DURATIONS = {"http.server.request.duration": 1.0, "http.server.duration": 1e-3}
"""Histograms of served requests, and seconds in their unit where none is told."""
_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_MESSAGES = {
    "traces": ("trace", "ExportTraceServiceRequest"),
    "logs": ("logs", "ExportLogsServiceRequest"),
    "metrics": ("metrics", "ExportMetricsServiceRequest"),
}
MAX_SERIES = 2_000

Series = dict[tuple[str, ...], tuple[str, list[int]]]
"""Start time and last cumulative counts of each series."""


def reads_protobuf() -> bool:
    """Whether the optional package for protobuf is installed; nothing is imported yet."""
    try:
        return importlib.util.find_spec("opentelemetry.proto.collector") is not None
    except (ImportError, ValueError):
        return False


def read_body(what: str, content: bytes, content_type: str) -> dict[str, Any]:
    """A body of /v1/<what> as the JSON mapping of its message. Raises ValueError."""
    if "protobuf" not in content_type:
        return as_map(json.loads(content))
    package, name = _MESSAGES[what]
    try:
        module = importlib.import_module(
            f"opentelemetry.proto.collector.{package}.v1.{package}_service_pb2"
        )
        json_format = importlib.import_module("google.protobuf.json_format")
        message = importlib.import_module("google.protobuf.message")
    except ImportError as why:
        raise ValueError(f"protobuf needs selfheal-tui[otlp]: {why}") from None
    request = getattr(module, name)()
    try:
        request.ParseFromString(content)
    except message.DecodeError as why:
        raise ValueError(f"no {name}: {why}") from None
    return as_map(json_format.MessageToDict(request))


class OtlpReader:
    """Turns messages into tellings; remembers cumulative metrics between two of them."""

    def __init__(self, project: Project, pid: int) -> None:
        self._project = project
        self._pid = pid
        self._series: Series = {}
        self._since_s = time.time()

    def read(self, what: str, message: dict[str, Any]) -> Telling:
        """What one message tells."""
        if what == "traces":
            return self._traces(message)
        if what == "logs":
            return self._logs(message)
        return self._metrics(message)

    # ------------------------------------------------------------ spans
    def _traces(self, message: dict[str, Any]) -> Telling:
        occurrences: list[Occurrence] = []
        requests: list[Request] = []
        for resource, span in _items(message, "resourceSpans", "scopeSpans", "spans"):
            attributes = attributes_of(span)
            for event in map(as_map, as_list(span.get("events"))):
                if event.get("name") == "exception":
                    time_s = as_number(event.get("timeUnixNano")) / 1e9
                    found = self._occurrence(attributes_of(event), resource, time_s)
                    occurrences += [] if found is None else [found]
            if span.get("kind") in _SERVER and _is_http(attributes):
                requests.append(_request(span, attributes))
        return Telling(tuple(_once(occurrences)), tuple(requests))

    def _occurrence(
        self, attributes: dict[str, Any], resource: dict[str, Any], time_s: float
    ) -> Occurrence | None:
        """An exception from the attributes `exception.*` of an event or a log record."""
        name = as_text(attributes.get("exception.type"))
        message = as_text(attributes.get("exception.message"))
        told = read_text(as_text(attributes.get("exception.stacktrace")))
        if not told and not name:
            return None
        parsed = told[-1] if told else ParsedTraceback(name, message, ())
        if name and name.rpartition(".")[2] == parsed.exception.rpartition(".")[2]:
            parsed = replace(parsed, exception=name.removeprefix("builtins."))
        pid = int(as_number(resource.get("process.pid"))) or self._pid
        return occurrence_of(parsed, self._project, pid, "otlp", time_s or None)

    # ------------------------------------------------------------ log records
    def _logs(self, message: dict[str, Any]) -> Telling:
        found: list[Occurrence] = []
        for resource, record in _items(message, "resourceLogs", "scopeLogs", "logRecords"):
            severity = record.get("severityNumber")
            named = isinstance(severity, str) and severity.startswith(
                ("SEVERITY_NUMBER_ERROR", "SEVERITY_NUMBER_FATAL")
            )
            if severity and not named and as_number(severity) < _ERROR_SEVERITY:
                continue
            time_s = as_number(record.get("timeUnixNano")) / 1e9
            occurrence = self._occurrence(attributes_of(record), resource, time_s)
            found += [] if occurrence is None else [occurrence]
        return Telling(tuple(_once(found)))

    # ------------------------------------------------------------ metrics
    def _metrics(self, message: dict[str, Any]) -> Telling:
        found: list[Buckets] = []
        for resource, metric in _items(message, "resourceMetrics", "scopeMetrics", "metrics"):
            name = as_text(metric.get("name"))
            if name not in _DURATIONS:
                continue
            unit = _UNITS.get(as_text(metric.get("unit")), _DURATIONS[name])
            histogram = as_map(metric.get("histogram"))
            delta = histogram.get("aggregationTemporality") in _DELTA
            for point in map(as_map, as_list(histogram.get("dataPoints"))):
                buckets = self._buckets(name, unit, resource, point, delta=delta)
                found += [] if buckets is None else [buckets]
        return Telling(buckets=tuple(found))

    def _buckets(
        self,
        name: str,
        unit: float,
        resource: dict[str, Any],
        point: dict[str, Any],
        *,
        delta: bool,
    ) -> Buckets | None:
        attributes = attributes_of(point)
        counts = [int(as_number(count)) for count in as_list(point.get("bucketCounts"))]
        counts.append(int(as_number(point.get("count"))))
        if not delta:
            counts = self._more(name, resource, point, attributes, counts)
        *in_bucket, requests = counts
        if requests <= 0:
            return None
        bounds = tuple(as_number(bound) * unit for bound in as_list(point.get("explicitBounds")))
        failed = requests if _status(attributes) >= 500 else 0
        usable = len(in_bucket) == len(bounds) + 1
        return Buckets(
            _route(attributes, ""),
            requests,
            failed,
            bounds if usable else (),
            tuple(in_bucket) if usable else (),
        )

    def _more(
        self,
        name: str,
        resource: dict[str, Any],
        point: dict[str, Any],
        attributes: dict[str, Any],
        counts: list[int],
    ) -> list[int]:
        """What came since the series was told last; all of it when the process began anew.

        A series that is new to us counts from zero only when it began after we did.
        """
        key = (name, *(f"{k}={v}" for k, v in sorted({**resource, **attributes}.items())))
        start = str(point.get("startTimeUnixNano", ""))
        known = self._series.pop(key, None)
        self._series[key] = (start, counts)
        while len(self._series) > MAX_SERIES:
            self._series.pop(next(iter(self._series)))
        if known is None and as_number(start) / 1e9 < self._since_s:
            return [0] * len(counts)
        if known is None:
            return counts
        same = known[0] == start and len(known[1]) == len(counts) and known[1][-1] <= counts[-1]
        if not same:
            return counts
        return [max(0, now - before) for now, before in zip(counts, known[1], strict=True)]


def attributes_of(item: dict[str, Any]) -> dict[str, Any]:
    """The item's attributes by name."""
    found: dict[str, Any] = {}
    for pair in map(as_map, as_list(item.get("attributes"))):
        value = as_map(pair.get("value"))
        found[as_text(pair.get("key"))] = next(iter(value.values()), None)
    return found


def _items(
    message: dict[str, Any], outer: str, middle: str, inner: str
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(attributes of the resource, item) of every item of a message."""
    for resource in map(as_map, as_list(message.get(outer))):
        attributes = attributes_of(as_map(resource.get("resource")))
        for scope in map(as_map, as_list(resource.get(middle))):
            for item in map(as_map, as_list(scope.get(inner))):
                yield attributes, item


def _once(occurrences: list[Occurrence]) -> list[Occurrence]:
    """An exception that goes up through nested spans is recorded by each: the longest counts."""
    found: dict[tuple[str, str, float], Occurrence] = {}
    for occurrence in occurrences:
        last = occurrence.frames[-1] if occurrence.frames else None
        place = f"{last.file}:{last.line}" if last is not None else ""
        key = (occurrence.exception, f"{occurrence.message}@{place}", round(occurrence.time_s, 1))
        known = found.get(key)
        if known is None or len(known.frames) < len(occurrence.frames):
            found[key] = occurrence
    return list(found.values())


def _is_http(attributes: dict[str, Any]) -> bool:
    return any(
        name in attributes
        for name in ("http.request.method", "http.method", "http.route", "http.status_code")
    )


def _request(span: dict[str, Any], attributes: dict[str, Any]) -> Request:
    nanos = as_number(span.get("endTimeUnixNano")) - as_number(span.get("startTimeUnixNano"))
    status = _status(attributes)
    failed = status >= 500 if status else as_map(span.get("status")).get("code") in _FAILED
    return Request(_route(attributes, as_text(span.get("name"))), failed, max(0.0, nanos / 1e9))


def _status(attributes: dict[str, Any]) -> int:
    return int(
        as_number(attributes.get("http.response.status_code"))
        or as_number(attributes.get("http.status_code"))
    )


def _route(attributes: dict[str, Any], name: str) -> str:
    method = as_text(attributes.get("http.request.method")) or as_text(
        attributes.get("http.method")
    )
    path = as_text(attributes.get("http.route")) or as_text(attributes.get("http.target"))
    if not path:
        return name or method or "(unnamed)"
    return f"{method} {path.partition('?')[0]}".strip()
