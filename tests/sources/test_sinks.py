"""What services already send is taken in at once, bounded, and read as what it is."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import socket
import sys
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfheal_engine.model import Occurrence
from selfheal_engine.project import Project
from selfheal_engine.sources import sinks
from selfheal_engine.sources.inbox import Inbox
from selfheal_engine.sources.sinks import Sink
from selfheal_engine.sources.traffic import Traffic

SOURCE = """def total(order):
    return order["zip"]


class Shop:
    def price(self, order):
        return total(order)
"""
STACK = """Traceback (most recent call last):
  File "{file}", line 7, in price
    return total(order)
           ^^^^^^^^^^^^
  File "{file}", line 2, in total
    return order["zip"]
           ~~~~~^^^^^^^
TypeError: 'NoneType' object is not subscriptable
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "shop.py").write_text(SOURCE)
    return Project(tmp_path, sys.executable)


@pytest.fixture
def sink() -> Iterator[Sink]:
    made = Sink(0)
    yield made
    made.close()


@pytest.fixture
def inbox(project: Project) -> Iterator[Inbox]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    made = Inbox(port, project, 42)
    yield made
    made.close()


def post(port: int, path: str, body: bytes, **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body)
    for name, value in headers.items():
        request.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as why:
        return why.code, why.read()


def port_of(inbox: Inbox) -> int:
    assert inbox._sink is not None
    return inbox._sink.port


def read(inbox: Inbox, traffic: Traffic | None = None) -> list[Occurrence]:
    """Everything that has come."""
    told = inbox.read(traffic if traffic is not None else Traffic())
    return [occurrence for _, occurrences in told for occurrence in occurrences]


# ------------------------------------------------------------ Sentry
def event_of(project: Project) -> dict[str, Any]:
    """An event as sentry-sdk 2 sends it for a failed view."""
    file = str(project.root / "shop.py")
    return {
        "event_id": "9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d",
        "level": "error",
        "timestamp": "2026-11-23T03:38:10.500000Z",
        "platform": "python",
        "transaction": "price",
        "exception": {"values": [
            {"type": "KeyError", "module": None, "value": "'a'", "stacktrace": {"frames": []}},
            {
                "type": "Timeout", "module": "requests.exceptions", "value": "password=hunter22x",
                "mechanism": {"type": "flask", "handled": False},
                "stacktrace": {"frames": [
                    {"abs_path": "/usr/lib/python3.11/site-packages/flask/app.py", "lineno": 3,
                     "filename": "flask/app.py", "function": "wsgi_app", "module": "flask.app"},
                    {"abs_path": file, "filename": "shop.py", "lineno": 7, "module": "shop",
                     "function": "price", "context_line": "        return total(order)",
                     "vars": {"self": "<shop.Shop object at 0x7f>", "order": "None",
                              "api_key": "'abc'", "items": ["1", "'x'"]}},
                ]},
            },
        ]},
        "request": {
            "url": "http://shop.example/price/3?x=1", "method": "POST", "query_string": "x=1",
            "headers": {"Content-Type": "application/json", "Cookie": "a=b"},
            "data": {"zip": None, "card": {"password": "p"}},
        },
    }  # fmt: skip


def envelope(*items: dict[str, Any], kind: str = "event", with_length: bool = True) -> bytes:
    lines = [json.dumps({"event_id": "9b", "dsn": "http://k@127.0.0.1/1"}).encode()]
    for item in items:
        payload = json.dumps(item).encode()
        header: dict[str, Any] = {"type": kind, "content_type": "application/json"}
        if with_length:
            header["length"] = len(payload)
        lines += [json.dumps(header).encode(), payload]
    return b"\n".join(lines) + b"\n"


@pytest.mark.parametrize("encoding", ["", "gzip", "deflate"])
def test_an_envelope_becomes_an_occurrence(inbox: Inbox, project: Project, encoding: str) -> None:
    body = envelope(event_of(project))
    packed = {"": body, "gzip": gzip.compress(body), "deflate": zlib.compress(body)}[encoding]
    status, answer = post(
        port_of(inbox), "/api/1/envelope/", packed, Content_Encoding=encoding or "identity"
    )
    assert status == 200
    assert "id" in json.loads(answer)
    (found,) = read(inbox)
    assert (found.exception, found.kind) == ("requests.exceptions.Timeout", "exception")
    assert (found.caught_by, found.pid, found.handled) == ("sentry", 42, False)
    assert found.time_s == pytest.approx(1795405090.5)
    assert [link.exception for link in found.chain] == ["KeyError"]
    assert "hunter22x" not in found.message
    crash = found.crash
    assert crash is not None
    assert (crash.function, crash.line, crash.module) == ("Shop.price", 7, "shop")
    assert crash.source_line == "return total(order)"
    assert [frame.own for frame in found.frames] == [False, True]


def test_variables_and_request_are_told_without_secrets(inbox: Inbox, project: Project) -> None:
    post(port_of(inbox), "/api/1/envelope/", envelope(event_of(project)))
    (found,) = read(inbox)
    shown = dict(found.frames[-1].locals)
    assert shown["order"].is_none
    assert shown["self"].type_name == "shop.Shop"
    assert shown["api_key"].text == "[scrubbed]"
    assert [child.type_name for _, child in shown["items"].children] == ["int", "str"]
    assert found.request is not None
    assert (found.request.method, found.request.path) == ("POST", "/price/3")
    assert json.loads(found.request.body)["card"] == {"password": "[scrubbed]"}
    assert dict(found.request.headers)["Cookie"] == "[scrubbed]"


def test_the_older_endpoint_and_items_without_length_are_read(
    inbox: Inbox, project: Project
) -> None:
    event = event_of(project)
    post(port_of(inbox), "/api/1/store/", json.dumps(event).encode())
    post(port_of(inbox), "/api/1/envelope/", envelope(event, event, with_length=False))
    assert len(read(inbox)) == 3


def test_what_was_not_reported_as_an_error_counts_as_handled(
    inbox: Inbox, project: Project
) -> None:
    post(port_of(inbox), "/api/1/envelope/", envelope({**event_of(project), "level": "warning"}))
    assert read(inbox)[0].handled


def test_transactions_become_requests(inbox: Inbox) -> None:
    def transaction(status: int, seconds: float, op: str = "http.server") -> dict[str, Any]:
        return {
            "transaction": "/price/<id>", "start_timestamp": 100.0, "timestamp": 100.0 + seconds,
            "request": {"method": "GET"},
            "contexts": {"trace": {"op": op, "status": "ok"},
                         "response": {"status_code": status}},
        }  # fmt: skip

    items = [transaction(200, 0.1), transaction(500, 0.3), transaction(0, 9, "queue.task")]
    post(port_of(inbox), "/api/1/envelope/", envelope(*items, kind="transaction"))
    traffic = Traffic()
    assert read(inbox, traffic) == []
    assert (traffic.requests, traffic.errors) == (2, 1)
    assert list(traffic.routes) == ["GET /price/<id>"]
    assert sum(traffic.routes["GET /price/<id>"].histogram.values()) == 2


# ------------------------------------------------------------ OTLP
def attributes(values: Mapping[str, object]) -> list[dict[str, Any]]:
    kinds = {int: "intValue", float: "doubleValue", bool: "boolValue"}
    return [
        {"key": name, "value": {kinds.get(type(value), "stringValue"): value}}
        for name, value in values.items()
    ]


def span_of(project: Project, values: dict[str, object], ms: int) -> dict[str, Any]:
    stack = STACK.format(file=project.root / "shop.py")
    told = {"exception.type": "TypeError", "exception.message": "x", "exception.stacktrace": stack}
    return {
        "name": "GET", "kind": 2, "startTimeUnixNano": "1000000000",
        "endTimeUnixNano": str(1_000_000_000 + ms * 1_000_000), "attributes": attributes(values),
        "events": [{"name": "exception", "timeUnixNano": "5000000000",
                    "attributes": attributes(told)}],
    }  # fmt: skip


def traces(*spans: dict[str, Any]) -> dict[str, Any]:
    resource = {"attributes": attributes({"process.pid": 77})}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]}


@pytest.mark.parametrize(
    "values",
    [
        {"http.method": "GET", "http.route": "/p", "http.status_code": 500},
        {"http.request.method": "GET", "http.route": "/p", "http.response.status_code": 500},
    ],
    ids=["older names", "stable names"],
)
def test_spans_tell_requests_and_exceptions(
    inbox: Inbox, project: Project, values: dict[str, object]
) -> None:
    inner = span_of(project, {"x": 1}, 3) | {"kind": "SPAN_KIND_INTERNAL"}
    body = json.dumps(traces(inner, span_of(project, values, 250))).encode()
    status, answer = post(port_of(inbox), "/v1/traces", body, Content_Type="application/json")
    assert (status, answer) == (200, b"{}")
    traffic = Traffic()
    (found,) = read(inbox, traffic)  # once, though two spans tell of it
    assert (found.exception, found.pid, found.caught_by) == ("TypeError", 77, "otlp")
    assert [frame.function for frame in found.frames] == ["Shop.price", "total"]
    crash = found.frames[-1]
    assert '    return order["zip"]'[crash.column : crash.end_column] == 'order["zip"]'
    assert (traffic.requests, traffic.errors, list(traffic.routes)) == (1, 1, ["GET /p"])


def test_log_records_with_an_exception_are_occurrences(inbox: Inbox, project: Project) -> None:
    stack = STACK.format(file=project.root / "shop.py")
    told = attributes({"exception.type": "TypeError", "exception.stacktrace": stack})
    records = [
        {"severityNumber": 17, "body": {"stringValue": "failed"}, "attributes": told},
        {"severityNumber": 9, "attributes": told},
        {"severityNumber": "SEVERITY_NUMBER_ERROR", "body": {"stringValue": "no exception"}},
    ]
    message = {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}
    post(port_of(inbox), "/v1/logs", json.dumps(message).encode())
    (found,) = read(inbox)
    assert found.exception == "TypeError"


@pytest.mark.parametrize(
    ("name", "unit", "scale"),
    [("http.server.duration", "ms", 1000.0), ("http.server.request.duration", "s", 1.0)],
)
def test_metrics_tell_requests_in_either_unit(
    inbox: Inbox, name: str, unit: str, scale: float
) -> None:
    def metrics(counts: list[int], started: float) -> bytes:
        point = {
            "attributes": attributes({"http.route": "/p", "http.response.status_code": 503}),
            "startTimeUnixNano": str(int(started * 1e9)), "count": str(sum(counts)),
            "bucketCounts": [str(count) for count in counts],
            "explicitBounds": [0.1 * scale, 0.2 * scale],
        }  # fmt: skip
        metric = {"name": name, "unit": unit,
                  "histogram": {"aggregationTemporality": 2, "dataPoints": [point]}}  # fmt: skip
        return json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}).encode()

    traffic = Traffic()
    old = time.time() - 1000
    for body in (
        metrics([50, 50, 0], old),  # what was before us does not count
        metrics([50, 60, 0], old),
        metrics([0, 2, 0], time.time()),  # the process began anew
    ):
        post(port_of(inbox), "/v1/metrics", body)
        read(inbox, traffic)
    assert (traffic.requests, traffic.errors) == (12, 12)
    middles = [1.08 ** (index + 0.5) / 1e6 for index in traffic.routes["/p"].histogram]
    assert all(0.09 < seconds < 0.21 for seconds in middles)


def test_metrics_are_believed_before_spans_that_may_be_sampled() -> None:
    from selfheal_engine.sources.tellings import Buckets, Request

    traffic = Traffic()
    traffic.add("otlp spans", Request("/p", False, 0.1))
    traffic.add_buckets("otlp metrics", Buckets("/p", 10, 1))
    traffic.add("otlp spans", Request("/p", False, 0.1))
    assert traffic.teller == "otlp metrics"
    assert traffic.requests == 11


def test_protobuf_is_read_where_its_package_is_installed(inbox: Inbox, project: Project) -> None:
    service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    json_format = pytest.importorskip("google.protobuf.json_format")
    told = traces(span_of(project, {"http.method": "GET", "http.status_code": 200}, 5))
    message = json_format.ParseDict(told, service.ExportTraceServiceRequest())
    status, answer = post(
        port_of(inbox), "/v1/traces", message.SerializeToString(),
        Content_Type="application/x-protobuf",
    )  # fmt: skip
    assert (status, answer) == (200, b"")
    assert [found.exception for found in read(inbox)] == ["TypeError"]


def test_protobuf_without_its_package_is_refused_with_the_way_out(sink: Sink) -> None:
    status, answer = post(sink.port, "/v1/traces", b"x", Content_Type="application/x-protobuf")
    assert status == 415
    assert b"selfheal-tui[otlp]" in answer


# ------------------------------------------------------------ never in the service's way
def test_an_engine_that_never_looks_costs_clients_nothing(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "MAX_QUEUED", 5)
    answers = [post(sink.port, "/api/1/envelope/", b"{}\n")[0] for _ in range(12)]
    assert answers == [200] * 5 + [429] * 7
    assert sink.drops == 7
    assert sink.take() is not None
    assert post(sink.port, "/api/1/envelope/", b"{}\n")[0] == 200


def test_clients_that_hang_do_not_keep_others_waiting(sink: Sink) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            idle = stack.enter_context(socket.create_connection(("127.0.0.1", sink.port), 5))
            idle.sendall(b"POST /api/1/envelope/ HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf")
        assert post(sink.port, "/api/1/envelope/", b"{}\n")[0] == 200


def test_too_many_connections_are_hung_up_on_and_leave_nothing_behind(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(sinks.MAX_CONNECTIONS + 10):
            stack.enter_context(socket.create_connection(("127.0.0.1", sink.port), 5))
        with pytest.raises((ConnectionError, urllib.error.URLError, http.client.HTTPException)):
            post(sink.port, "/api/1/envelope/", b"{}\n")
    end = time.monotonic() + 10
    while True:
        with contextlib.suppress(OSError):
            if post(sink.port, "/api/1/envelope/", b"{}\n")[0] == 200:
                break
        assert time.monotonic() < end


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/api/1/envelope/", {"Content-Encoding": "br"}, 415),
        ("/somewhere", {}, 404),
        ("/api/1/envelope/", {"Origin": "http://evil.example"}, 403),
    ],
)
def test_what_does_not_belong_here_is_refused(
    sink: Sink, path: str, headers: dict[str, str], status: int
) -> None:
    given_ = {name.replace("-", "_"): value for name, value in headers.items()}
    assert post(sink.port, path, b"{}\n", **given_)[0] == status
    assert sink.take() is None


def test_a_body_that_is_too_large_is_refused_before_it_is_read(sink: Sink) -> None:
    with socket.create_connection(("127.0.0.1", sink.port), 5) as client:
        head = f"POST /api/1/envelope/ HTTP/1.1\r\nContent-Length: {sinks.MAX_BODY + 1}\r\n\r\n"
        client.sendall(head.encode())
        assert client.recv(100).startswith(b"HTTP/1.1 413")
    assert sink.take() is None


def test_a_bomb_is_not_unpacked(inbox: Inbox) -> None:
    bomb = gzip.compress(b"\0" * (sinks.MAX_INFLATED + 10))
    assert post(port_of(inbox), "/api/1/envelope/", bomb, Content_Encoding="gzip")[0] == 200
    assert read(inbox) == []
    assert inbox.drops == 1


def test_the_listener_is_on_loopback_only(sink: Sink) -> None:
    assert sink._server.server_address[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_a_reason_and_no_crash(sink: Sink, project: Project) -> None:
    inbox = Inbox(sink.port, project, 1)
    assert str(sink.port) in inbox.reason
    assert read(inbox) == []
    inbox.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=8) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["exception", "values", "type", "stacktrace", "frames", "abs_path", "vars",
                         "lineno", "resourceSpans", "scopeSpans", "spans", "attributes", "key",
                         "value", "events", "request", "url", "headers", "timestamp", "contexts",
                         "resourceMetrics", "scopeMetrics", "metrics", "histogram", "name"]),
        inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(JSON, st.sampled_from(["envelope", "store", "traces", "logs", "metrics"]))
def test_no_delivery_whatever_stops_the_engine(inbox: Inbox, content: object, what: str) -> None:
    body = json.dumps(content).encode()
    if what == "envelope":
        body = b"{}\n" + json.dumps({"type": "event"}).encode() + b"\n" + body
    assert inbox._sink is not None
    inbox._sink.put(sinks.Delivery(what, body, "application/json", "", 0.0))
    inbox.read(Traffic())
    assert inbox._sink.take() is None
