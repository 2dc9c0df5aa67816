"""A service's own metrics page, scraped: its requests, its memory, its descriptors.

The page is fetched by a thread of its own, so a page that hangs delays nothing. Counters that
fall were reset by a restart: they count from zero again. Routes and statuses are found by the
labels that the common exporters use (Flask, Starlette, FastAPI, Django, OpenTelemetry).
"""

from __future__ import annotations

import importlib
import math
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from selfheal_engine.sources.tellings import Buckets
from selfheal_engine.sources.traffic import per_bucket

MAX_PAGE = 8_000_000
FETCH_S = 3.0
MAX_SERIES = 20_000
_ACCEPT = "text/plain;version=0.0.4;q=0.9,*/*;q=0.1"

DURATIONS = (
    # exporter's histogram of served requests, seconds in its unit
    ("flask_http_request_duration_seconds", 1.0),
    ("starlette_requests_processing_time_seconds", 1.0),
    ("starlette_request_duration_seconds", 1.0),
    ("django_http_requests_latency_seconds_by_view_method", 1.0),
    ("django_http_requests_latency_including_middlewares_seconds", 1.0),
    ("http_server_request_duration_seconds", 1.0),
    ("http_server_duration_milliseconds", 1e-3),
    ("http_request_duration_seconds", 1.0),
    ("gunicorn_request_duration_seconds", 1.0),
)
REQUESTS = (
    # counters of answers with their status; the first that the page has is used
    "flask_http_request_total",
    "starlette_responses_total",
    "starlette_requests_total",
    "django_http_responses_total_by_status_view_method_total",
    "django_http_responses_total_by_status_total",
    "http_requests_total",
    "gunicorn_request_status_total",
    "gunicorn_requests_total",
)
LEVELS = {
    "process_open_fds": "descriptors",
    "process_max_fds": "descriptors_limit",
    "process_resident_memory_bytes": "memory_bytes",
    "gunicorn_workers": "workers",
    "gunicorn_backlog": "backlog",
    "starlette_requests_in_progress": "in_progress",
    "flask_http_requests_in_progress": "in_progress",
    "http_requests_in_progress": "in_progress",
}
TOTALS = {
    "python_gc_collections_total": "gc_collections",
    "process_cpu_seconds_total": "cpu_seconds",
    "django_http_exceptions_total_by_type_total": "page_exceptions",
    "flask_http_request_exceptions_total": "page_exceptions",
}
_STATUS = ("status", "status_code", "http_response_status_code", "http_status_code", "code")
_ROUTE = ("path_template", "http_route", "url_rule", "handler", "view", "endpoint", "path", "route")
_METHOD = ("method", "http_request_method", "http_method")

_LINE = re.compile(
    r"(?P<name>[a-zA-Z_:][\w:]*)\s*(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)(?:\s+-?[\d.]+)?"
    r"(?:\s+#.*)?$"
)
_LABEL = re.compile(r'\s*([a-zA-Z_]\w*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*,?')
_ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}

Labels = dict[str, str]
Sampled = tuple[str, Labels, float]


def parse(text: str) -> list[Sampled]:
    """(name, labels, value) of every line, by prometheus-client's parser where installed.

    Raises ValueError when the page is not what Prometheus reads.
    """
    try:
        parser = importlib.import_module("prometheus_client.parser")
    except ImportError:
        return parse_plain(text)
    families = parser.text_string_to_metric_families(text)
    return [
        (str(item.name), dict(item.labels), float(item.value))
        for family in families
        for item in family.samples
    ]


def parse_plain(text: str) -> list[Sampled]:
    """The same without prometheus-client: text exposition format 0.0.4. Raises ValueError."""
    found: list[Sampled] = []
    for line in text.splitlines():
        line = line.strip()  # noqa: PLW2901 - the line as it counts
        if not line or line.startswith("#"):
            continue
        match = _LINE.match(line)
        if match is None:
            raise ValueError(f"no metric: {line[:80]!r}")
        labels = {
            name: re.sub(r"\\[\\\"n]", lambda m: _ESCAPES[m.group()], value)
            for name, value in _LABEL.findall(match["labels"] or "")
        }
        found.append((match["name"], labels, float(match["value"].replace("Nan", "nan"))))
    return found


@dataclass(slots=True)
class PageReading:
    """What changed between two pages, and the levels of the last one."""

    buckets: list[Buckets] = field(default_factory=list)
    levels: dict[str, float] = field(default_factory=dict)
    totals: dict[str, float] = field(default_factory=dict)


class PageReader:
    """Pages one after the other; the first one only says where the counters stand."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        self._first = True

    def read(self, page: Iterable[Sampled]) -> PageReading:
        """What is new in a page."""
        reading = PageReading()
        by_name: dict[str, list[tuple[Labels, float]]] = {}
        for name, labels, value in page:
            if math.isfinite(value):
                by_name.setdefault(name, []).append((labels, value))
        for name, level in LEVELS.items():
            for _, value in by_name.get(name, ()):
                reading.levels[level] = reading.levels.get(level, 0.0) + value
        for name, total in TOTALS.items():
            for labels, value in by_name.get(name, ()):
                more = self._more(name, labels, value)
                reading.totals[total] = reading.totals.get(total, 0.0) + more
        self._requests(by_name, reading)
        self._first = False
        while len(self._last) > MAX_SERIES:
            self._last.pop(next(iter(self._last)))
        return reading

    def _more(self, name: str, labels: Labels, value: float) -> float:
        key = (name, frozenset(labels.items()))
        before = self._last.pop(key, 0.0 if not self._first else value)
        self._last[key] = value
        return value - before if value >= before else value

    def _requests(
        self, by_name: dict[str, list[tuple[Labels, float]]], reading: PageReading
    ) -> None:
        counted: dict[str, list[int]] = {}
        """Requests and errors by route, from the counters that know the status."""
        name = next((name for name in REQUESTS if name in by_name), "")
        for labels, value in by_name.get(name, ()):
            requests = int(self._more(name, labels, value))
            counts = counted.setdefault(_route(labels), [0, 0])
            counts[0] += requests
            counts[1] += requests if _is_error(labels) else 0
        found = self._durations(by_name)
        timed = sum(b.requests for b in found)
        knows_status = any(_first(labels, _STATUS) for labels, _ in by_name.get(name, ()))
        if not counted:
            reading.buckets = found
            return
        # durations without the status, the status without durations: each for what it knows
        errors_known = knows_status or not any(b.errors for b in found)
        for bucket in found:
            errors = 0 if errors_known else bucket.errors
            reading.buckets.append(
                Buckets(bucket.route, bucket.requests, errors, bucket.bounds_s, bucket.in_bucket)
            )
        for route, (requests, errors) in counted.items():
            extra = requests if not timed else 0
            if extra or (errors and errors_known):
                reading.buckets.append(Buckets(route, extra, errors if errors_known else 0))

    def _durations(self, by_name: dict[str, list[tuple[Labels, float]]]) -> list[Buckets]:
        name, unit = next(
            ((n, unit) for n, unit in DURATIONS if f"{n}_bucket" in by_name), ("", 1.0)
        )
        series: dict[frozenset[tuple[str, str]], list[tuple[float, int]]] = {}
        for labels, value in by_name.get(f"{name}_bucket", ()):
            try:
                bound = float(labels.get("le", "nan"))
            except ValueError:
                continue
            more = int(self._more(f"{name}_bucket", labels, value))
            rest = frozenset(item for item in labels.items() if item[0] != "le")
            series.setdefault(rest, []).append((bound, more))
        found: list[Buckets] = []
        for key, points in series.items():
            points.sort()
            cumulative = [count for _, count in points]
            if not cumulative or cumulative[-1] <= 0:
                continue
            labels = dict(key)
            bounds = tuple(bound * unit for bound, _ in points if math.isfinite(bound))
            in_bucket = per_bucket(cumulative)
            if len(in_bucket) == len(bounds):
                in_bucket.append(0)
            failed = cumulative[-1] if _is_error(labels) else 0
            found.append(Buckets(_route(labels), cumulative[-1], failed, bounds, tuple(in_bucket)))
        return found


class Scraper:
    """Fetches the page when asked, in its own thread; `take` never waits."""

    def __init__(self, url: str, fetch: Callable[[str], str] | None = None) -> None:
        self.url = url
        self.reason = "no page was read yet"
        """Why there is nothing; "" when the last fetch went well."""
        self._fetch = fetch or fetch_page
        self._reader = PageReader()
        self._pages: list[list[Sampled]] = []
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="selfheal-scraper", daemon=True)
        self._thread.start()

    def take(self) -> PageReading | None:
        """What the pages since the last call said; asks for the next one."""
        with self._lock:
            pages, self._pages = self._pages, []
        self._wanted.set()
        if not pages:
            return None
        return self._reader.read(pages[-1])

    def close(self) -> None:
        self._ended = True
        self._wanted.set()
        self._thread.join(0.5)

    def _run(self) -> None:
        while not self._ended:
            self._wanted.wait()
            self._wanted.clear()
            if self._ended:
                return
            try:
                page = parse(self._fetch(self.url))
            except (OSError, ValueError, KeyError) as why:
                self.reason = f"{self.url} cannot be read: {getattr(why, 'reason', why)}"
                continue
            with self._lock:
                self._pages = [page]
            self.reason = ""


def fetch_page(url: str) -> str:
    """The page's text. Raises OSError or ValueError."""
    request = urllib.request.Request(url, headers={"Accept": _ACCEPT})
    if request.type not in ("http", "https"):
        raise ValueError("prometheus_url wants http:// or https://")
    end = time.monotonic() + 2 * FETCH_S
    with urllib.request.urlopen(request, timeout=FETCH_S) as answer:
        parts: list[bytes] = []
        size = 0
        while part := answer.read(65_536):
            size += len(part)
            parts.append(part)
            if size > MAX_PAGE or time.monotonic() > end:
                raise ValueError("the page is too large or too slow")
    return b"".join(parts).decode("utf-8", "replace")


def _first(labels: Labels, names: Iterable[str]) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")


def _route(labels: Labels) -> str:
    return f"{_first(labels, _METHOD)} {_first(labels, _ROUTE)}".strip() or "(all routes)"


def _is_error(labels: Labels) -> bool:
    return _first(labels, _STATUS)[:1] == "5"
