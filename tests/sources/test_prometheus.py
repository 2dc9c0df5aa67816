"""A metrics page tells of requests, errors and levels, over resets, by whatever exporter."""

from __future__ import annotations

import http.server
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfheal_engine.config import Settings
from selfheal_engine.errors import TargetError
from selfheal_engine.model import Target
from selfheal_engine.sources import open_source
from selfheal_engine.sources.prometheus import PageReader, Scraper, parse, parse_plain
from selfheal_engine.sources.traffic import Traffic

PARSERS: list[Callable[[str], object]] = [parse, parse_plain]

PAGE = """
# HELP process_open_fds Number of open file descriptors.
# TYPE process_open_fds gauge
process_open_fds 17.0
process_resident_memory_bytes 4.2e+07
python_gc_collections_total{generation="0"} 5.0
python_gc_collections_total{generation="1"} 2.0
weird{text="a \\"quoted\\" \\\\ {brace}, \\n line",other="b"} NaN 1700000000000
infinite +Inf
"""


@pytest.mark.parametrize("parser", PARSERS)
def test_a_page_is_parsed_with_or_without_the_client_library(
    parser: Callable[[str], list[tuple[str, dict[str, str], float]]],
) -> None:
    found = {(name, *sorted(labels.items())): value for name, labels, value in parser(PAGE)}
    assert found["process_open_fds",] == 17.0
    assert found["process_resident_memory_bytes",] == 4.2e7
    assert found["python_gc_collections_total", ("generation", "1")] == 2.0
    assert found["infinite",] == float("inf")
    (weird,) = [labels for name, labels, _ in parser(PAGE) if name == "weird"]
    assert weird == {"text": 'a "quoted" \\ {brace}, \n line', "other": "b"}


def test_what_is_no_page_is_said_so() -> None:
    with pytest.raises(ValueError, match="no metric"):
        parse_plain("<html><body>Not here</body></html>")


NAMES = st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,12}", fullmatch=True)
TEXTS = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp")), max_size=12)


@settings(max_examples=80, deadline=None)
@given(NAMES, st.dictionaries(NAMES.filter(lambda n: ":" not in n), TEXTS, max_size=3), st.floats())
def test_every_line_that_can_be_written_can_be_read(
    name: str, labels: dict[str, str], value: float
) -> None:
    def quoted(text: str) -> str:
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    inside = ",".join(f'{key}="{quoted(text)}"' for key, text in labels.items())
    ((read_name, read_labels, read_value),) = parse_plain(f"{name}{{{inside}}} {value!r}")
    assert (read_name, read_labels) == (name, labels)
    assert read_value == value or read_value != read_value


# ------------------------------------------------------------ exporters
def histogram(name: str, labels: str, fast: int, slow: int) -> str:
    """A page's histogram: `fast` requests up to 0.1, `slow` ones up to 1."""
    unit = 1000 if "milliseconds" in name else 1
    return (
        f'{name}_bucket{{le="{0.1 * unit}",{labels}}} {fast}\n'
        f'{name}_bucket{{le="{1.0 * unit}",{labels}}} {fast + slow}\n'
        f'{name}_bucket{{le="+Inf",{labels}}} {fast + slow}\n'
    )


EXPORTERS = {
    "flask": lambda ok, bad: (
        f'flask_http_request_total{{method="GET",status="200"}} {ok}\n'
        f'flask_http_request_total{{method="GET",status="500"}} {bad}\n'
        + histogram(
            "flask_http_request_duration_seconds", 'method="GET",path="/p",status="200"', ok, 0
        )
        + histogram(
            "flask_http_request_duration_seconds", 'method="GET",path="/p",status="500"', 0, bad
        )
    ),
    "starlette": lambda ok, bad: (
        f'starlette_responses_total{{method="GET",path_template="/p",status_code="200"}} {ok}\n'
        f'starlette_responses_total{{method="GET",path_template="/p",status_code="500"}} {bad}\n'
        + histogram(
            "starlette_requests_processing_time_seconds",
            'method="GET",path_template="/p"', ok, bad,
        )
    ),
    "django": lambda ok, bad: (
        f'django_http_responses_total_by_status_total{{status="200"}} {ok}\n'
        f'django_http_responses_total_by_status_total{{status="502"}} {bad}\n'
        + histogram(
            "django_http_requests_latency_seconds_by_view_method", 'view="p",method="GET"', ok, bad
        )
    ),
    "fastapi": lambda ok, bad: (
        f'http_requests_total{{handler="/p",method="GET",status="2xx"}} {ok}\n'
        f'http_requests_total{{handler="/p",method="GET",status="5xx"}} {bad}\n'
        + histogram("http_request_duration_seconds", 'handler="/p",method="GET"', ok, bad)
    ),
    "opentelemetry": lambda ok, bad: (
        histogram(
            "http_server_duration_milliseconds", 'http_route="/p",http_status_code="200"', ok, 0
        )
        + histogram(
            "http_server_duration_milliseconds", 'http_route="/p",http_status_code="500"', 0, bad
        )
    ),
    "counters only": lambda ok, bad: (
        f'gunicorn_request_status_total{{status="200"}} {ok}\n'
        f'gunicorn_request_status_total{{status="500"}} {bad}\n'
    ),
}  # fmt: skip


def fed(exporter: str, *pages: tuple[int, int]) -> Traffic:
    reader, traffic = PageReader(), Traffic()
    for ok, bad in pages:
        for buckets in reader.read(parse(EXPORTERS[exporter](ok, bad))).buckets:
            traffic.add_buckets("prometheus", buckets)
    return traffic


@pytest.mark.parametrize("exporter", sorted(EXPORTERS))
def test_requests_errors_and_durations_of_each_exporter(exporter: str) -> None:
    traffic = fed(exporter, (100, 10), (130, 14))
    assert (traffic.requests, traffic.errors) == (34, 4)
    timed = sum(sum(route.histogram.values()) for route in traffic.routes.values())
    assert timed == (0 if exporter == "counters only" else 34)


@pytest.mark.parametrize("exporter", sorted(EXPORTERS))
def test_a_counter_that_falls_was_reset_by_a_restart(exporter: str) -> None:
    traffic = fed(exporter, (100, 10), (3, 1), (5, 1))
    assert (traffic.requests, traffic.errors) == (6, 1)


@pytest.mark.parametrize("exporter", sorted(EXPORTERS))
def test_the_first_page_only_says_where_counters_stand(exporter: str) -> None:
    assert fed(exporter, (100, 10)).requests == 0


def test_levels_and_totals_get_the_names_that_detection_knows() -> None:
    reader = PageReader()
    reader.read(parse(PAGE))
    reading = reader.read(parse(PAGE.replace('generation="0"} 5.0', 'generation="0"} 9.0')))
    assert reading.levels["descriptors"] == 17.0
    assert reading.levels["memory_bytes"] == 4.2e7
    assert reading.totals["gc_collections"] == 4.0


# ------------------------------------------------------------ scraping
class Page(http.server.BaseHTTPRequestHandler):
    """A metrics page whose counters grow with each look."""

    looks = 0

    def do_GET(self) -> None:
        Page.looks += 1
        body = EXPORTERS["flask"](10 * Page.looks, Page.looks).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Quiet."""


@pytest.fixture
def page() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/metrics"
        server.shutdown()


def test_a_page_gives_the_readings_that_no_probe_gives(page: str, tmp_path: Path) -> None:
    settings_ = Settings(project=str(tmp_path), run_dir=str(tmp_path / "run"), prometheus_url=page)
    source = open_source(Target(pid=os.getpid()), settings_)
    try:
        end = time.monotonic() + 20
        while True:
            sample = source.sample(time.time())
            if sample.value("response_time") is not None:
                break
            assert sample.readings["response_time"].reason
            assert time.monotonic() < end
            source.poll(0.05)
        assert 90 < (sample.value("response_time") or 0) < 1000
        assert (sample.value("error_rate") or 0) > 0
        assert sample.counters["requests"] == 11 * sample.counters["errors"]
        assert [stat.route for stat in source.endpoints()] == ["GET /p"]
    finally:
        source.close(stop_service=False)


def test_a_page_that_hangs_or_is_none_delays_nothing_and_is_named() -> None:
    hanging = threading.Event()

    def fetch(url: str) -> str:
        hanging.wait(20)
        raise ValueError("no metric")

    scraper = Scraper("http://127.0.0.1:1/metrics", fetch)
    assert [scraper.take() for _ in range(1000)] == [None] * 1000
    assert scraper.reason == "no page was read yet"
    hanging.set()
    end = time.monotonic() + 10
    while "cannot be read" not in scraper.reason:
        assert time.monotonic() < end
    assert "no metric" in scraper.reason
    scraper.close()


def test_only_web_addresses_are_fetched(tmp_path: Path) -> None:
    (tmp_path / "page").write_text(PAGE)
    scraper = Scraper(f"file://{tmp_path}/page")
    scraper.take()
    end = time.monotonic() + 10
    while "http://" not in scraper.reason:
        assert time.monotonic() < end
    assert scraper.take() is None
    scraper.close()


def test_a_service_that_is_not_there_is_said_so_before_anything_is_scraped(page: str) -> None:
    with pytest.raises(TargetError):
        open_source(Target(pid=2**22 + 1), Settings(prometheus_url=page, project=sys.prefix))
