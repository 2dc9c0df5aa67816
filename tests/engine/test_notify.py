"""People are told what they need and no captured value; systemd hears that the engine lives."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from selfheal_engine import notify
from selfheal_engine.errors import ConfigError
from selfheal_engine.model import Event, HealthScore, ServiceInfo, Snapshot
from selfheal_engine.notify import Notifier, Watchdog


class Hook:
    """A webhook that answers with `codes` in turn, then 200."""

    def __init__(self) -> None:
        self.messages: list[dict[str, object]] = []
        self.codes: list[int] = []
        self.arrived = threading.Semaphore(0)
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.messages.append(json.loads(body))
                self.send_response(hook.codes.pop(0) if hook.codes else 200)
                self.end_headers()
                hook.arrived.release()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                return None

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait(self, count: int) -> None:
        for _ in range(count):
            assert self.arrived.acquire(timeout=10)


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.server.shutdown()
    made.server.server_close()


SECRET = "hunter2"
EVENTS = (
    Event(1.0, "started", {"version": 1, "service": "shop", "project": "/srv", "pids": [1]}),
    Event(
        2.0,
        "incident",
        {
            "id": "i1",
            "number": 12,
            "title": "TypeError, checkout.py:88",
            "bug_type": "null_check",
            "severity": "critical",
            "count": 3,
            "place": "checkout.py:88",
            "message": SECRET,
        },
    ),
    Event(2.5, "diagnosis", {"incident": "i1", "summary": SECRET, "evidence": [SECRET]}),
    Event(
        3.0,
        "candidate",
        {
            "id": "c1",
            "incident": "i1",
            "title": "answer 422",
            "strategy": "null_check",
            "template": "guard",
            "confidence": 0.9,
            "risk": "low",
            "impact": 0.1,
            "diff": "--- a/checkout.py\n",
            "explanation": SECRET,
        },
    ),
    Event(
        3.1,
        "verdict",
        {
            "candidate": "c1",
            "safety": 93,
            "checks": [{"name": "tests", "status": "passed", "n": 42, "text": SECRET}],
        },
    ),
    Event(3.2, "proposal", {"incident": "i1", "candidates": ["c1"], "tier": "high"}),
)


def test_a_proposal_is_told_with_its_diff_and_evidence(hook: Hook) -> None:
    notifier = Notifier((hook.url,))
    for event in EVENTS:
        notifier(event)
    hook.wait(1)
    (message,) = hook.messages
    assert message["kind"] == "proposal"
    assert (message["service"], message["number"]) == ("shop", 12)
    assert message["diff"] == "--- a/checkout.py\n"
    assert message["checks"] == [{"name": "tests", "status": "passed", "n": 42}]
    assert (message["safety"], message["risk"], message["title"]) == (
        93,
        "low",
        "TypeError, checkout.py:88",
    )
    assert str(message["text"]).startswith("shop #12 TypeError, checkout.py:88: 1 proven patches")
    notifier.close()


def test_no_captured_value_is_sent(hook: Hook) -> None:
    notifier = Notifier((hook.url,))
    for event in (*EVENTS, Event(9.0, "healed", {"incident": "i1", "mttr_s": 7.0})):
        notifier(event)
    hook.wait(2)
    assert SECRET not in json.dumps(hook.messages)
    assert hook.messages[1]["text"] == (
        "shop #12 TypeError, checkout.py:88: healed, 7.0 s after it was first seen."
    )
    notifier.close()


def test_what_nobody_is_told_of_is_not_kept(hook: Hook) -> None:
    notifier = Notifier((hook.url,))
    for number in range(50):
        for state in ("open", "dismissed"):
            body = {"id": f"i{number}", "number": number, "state": state, "title": "t"}
            notifier(Event(1.0, "incident", body))
    assert notifier._incidents == {}
    notifier.close()


def test_a_busy_webhook_is_tried_again(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "FIRST_PAUSE_S", 0.01)
    hook.codes = [503, 429]
    notifier = Notifier((hook.url,))
    notifier(Event(1.0, "rolled_back", {"incident": "i1", "reason": "the error came back"}))
    hook.wait(3)
    assert hook.messages[0] == hook.messages[2]
    notifier.close()


def test_a_refusal_is_told_once_and_not_repeated(hook: Hook) -> None:
    hook.codes = [404]
    told: list[str] = []
    notifier = Notifier((hook.url,), told.append)
    notifier(Event(1.0, "healed", {"incident": "i1", "mttr_s": 1.0}))
    notifier(Event(1.0, "healed", {"incident": "i2", "mttr_s": 1.0}))
    hook.wait(2)
    notifier.close()
    notifier(Event(2.0, "sample", {}))
    assert told == ["a notification could not be sent: the webhook answered 404"]


def test_what_cannot_be_reached_never_holds_the_engine() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        notifier = Notifier((f"http://127.0.0.1:{deaf.getsockname()[1]}/",))
        for number in range(notify.BACKLOG + 20):
            notifier(Event(1.0, "healed", {"incident": str(number), "mttr_s": 1.0}))
        assert notifier.dropped > 0
        notifier.close(wait_s=0.0)


def test_an_address_that_needs_more_is_one_sentence_without_its_secret() -> None:
    with pytest.raises(ConfigError) as raised:
        Notifier((f"nosuchservice://{SECRET}@host",))
    assert SECRET not in str(raised.value)
    assert "nosuchservice://" in str(raised.value)


# ---------------------------------------------------------------- systemd
@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(5)
        yield listener


def snapshot() -> Snapshot:
    return Snapshot(1.0, ServiceInfo("shop", "", ""), (), HealthScore(88.0), (), ())


def test_systemd_hears_ready_life_and_stopping(systemd: socket.socket) -> None:
    address = systemd.getsockname()
    watchdog = Watchdog({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "2000000"})
    watchdog.ready()
    watchdog(snapshot())
    watchdog(snapshot())
    watchdog.stopping()
    said = [systemd.recv(4096).decode() for _ in range(3)]
    assert said[0] == f"READY=1\nMAINPID={os.getpid()}"
    assert said[1].startswith("WATCHDOG=1\nSTATUS=health 88")
    assert said[2] == "STOPPING=1"


@pytest.mark.parametrize(
    "environ", [{}, {"WATCHDOG_USEC": "2000000"}, {"NOTIFY_SOCKET": "/nowhere"}]
)
def test_without_systemd_it_is_quiet(environ: dict[str, str]) -> None:
    watchdog = Watchdog(environ)
    watchdog.ready()
    watchdog(snapshot())
    watchdog.stopping()


def test_another_process_watchdog_is_not_ours(systemd: socket.socket) -> None:
    environ = {"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "10", "WATCHDOG_PID": "1"}
    watchdog = Watchdog(environ)
    watchdog(snapshot())
    watchdog.stopping()
    assert systemd.recv(4096) == b"STOPPING=1"
