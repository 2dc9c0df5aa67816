"""Lines of text where no screen can be drawn."""

from __future__ import annotations

import io

import pytest

from selfheal_engine.config import Settings
from selfheal_engine.errors import SelfhealError
from selfheal_engine.events import incident_event, proposal_event
from selfheal_engine.model import Event, RestartOffer
from selfheal_tui.plain import PlainPrinter, obey, run_plain
from tests.tui import fake_engine
from tests.tui.fake_engine import NOW, FakeEngine


def _printed(*events: Event) -> list[str]:
    stream = io.StringIO()
    printer = PlainPrinter(stream)
    for event in events:
        printer(event)
    return [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()]


def test_each_event_that_matters_is_one_line() -> None:
    incident = fake_engine.incident_proposed()
    opened = fake_engine.replace(incident, state=fake_engine.IncidentState.OPEN)
    assert incident.proposal is not None
    lines = _printed(
        incident_event(opened, NOW),
        Event(NOW, "sample", {"metrics": {}}),
        Event(NOW, "diagnosis", {"incident": "i12", "bug_type": "null_check", "summary": "None"}),
        proposal_event(incident.proposal, NOW),
        Event(NOW, "applied", {"incident": "i12", "files": ["a.py"], "processes": []}),
        Event(NOW, "healed", {"incident": "i12", "mttr_s": 42.0}),
    )
    assert lines == [
        "#12 open: TypeError, checkout.py:14",
        "#12 null_check: None",
        "#12 3 patches to review: `approve 12`",
        "#12 applied to a.py",
        "#12 healed after 42 s",
    ]


def test_a_line_of_the_service_cannot_break_the_line() -> None:
    body: dict[str, object] = {"severity": "critical", "text": "a\nb\x1b[2J", "place": ""}
    assert _printed(Event(NOW, "alert", body)) == ["critical: a b·[2J"]


def test_a_reader_that_has_gone_is_no_reason_to_fail() -> None:
    stream = io.StringIO()
    printer = PlainPrinter(stream)
    stream.close()
    printer.say("one")
    printer.say("two")


def test_words_typed_are_commands() -> None:
    engine = FakeEngine()
    assert obey(engine, "status") == "shop health 61 · 1 open · waiting for you: #12"
    assert obey(engine, "approve 12") == "approve done"
    assert obey(engine, "reject #12 too slow") == "reject done"
    assert obey(engine, "back 11") == "roll_back done"
    assert obey(engine, "dismiss 12 load test") == "dismiss done"
    assert engine.asked == [
        ("approve", "i12", "c1"),
        ("reject", "i12", "", "too slow"),
        ("roll_back", "i11"),
        ("dismiss", "i12", "load test"),
    ]
    assert obey(engine, "quit") is None


def test_a_restart_is_said_first_and_done_when_it_is_confirmed() -> None:
    assert "older version" in str(obey(FakeEngine(), "restart"))
    offer = RestartOffer("Runs your restart_command: x", "Requests in flight are lost.")
    engine = FakeEngine(fake_engine.replace(fake_engine.failing(), restart=offer))
    said = "Runs your restart_command: x. Requests in flight are lost. To do it: `restart yes`"
    assert obey(engine, "restart") == said
    assert engine.asked == []
    assert obey(engine, "restart yes") == "restart done"


def test_a_word_that_is_no_command_says_which_there_are() -> None:
    assert "is no command" in str(obey(FakeEngine(), "fix it"))
    assert "no incident '99'" in str(obey(FakeEngine(), "approve 99"))
    with pytest.raises(SelfhealError, match="no patch"):
        obey(FakeEngine(), "approve 11")


def test_plain_mode_ends_with_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    stream, engine = io.StringIO(), FakeEngine()
    run_plain(engine, Settings(), stream)
    assert stream.getvalue().startswith("commands: ")
    assert engine.subscribers == 0
