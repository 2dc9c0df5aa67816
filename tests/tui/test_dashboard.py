"""What the dashboard says in its states and sizes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfheal_engine.config import Settings
from selfheal_engine.model import METRICS, Alert, Event, HealthCause, HealthScore, Reading
from selfheal_tui.screens.rewind import at_time
from selfheal_tui.screens.zoom import Zoom
from selfheal_widgets.activity import ActivityFace
from selfheal_widgets.anomaly_feed import SAME_STORY_S, told_again
from selfheal_widgets.incident_list import IncidentList
from selfheal_widgets.metric_panel import MetricPanel
from tests.tui import fake_engine
from tests.tui.fake_engine import NOW, FakeEngine
from tests.tui.screens import SMALL, running


async def test_every_metric_has_a_panel_with_value_unit_and_limits() -> None:
    async with running() as session:
        for metric in METRICS:
            assert metric in session.text()
        for text in ("31 %", "183 MB", "41 /min", "p95 99 ms", "4 waiting", "3σ 9-38"):
            assert text in session.text()


async def test_a_metric_beyond_its_limits_is_told_by_a_sign_too() -> None:
    async with running() as session:
        assert "error_rate ▲" in session.text()
        assert "cpu_usage ▲" not in session.text()


async def test_a_metric_that_cannot_be_had_says_why_and_is_never_zero() -> None:
    snapshot = fake_engine.calm()
    metrics = list(snapshot.metrics)
    metrics[3] = replace(metrics[3], reading=Reading(None, "no requests yet"))
    async with running(replace(snapshot, metrics=tuple(metrics))) as session:
        panel = session.app.screen.query_one("#panel-response_time", MetricPanel)
        assert "no requests yet" in panel.shown[0]
        assert "0 ms" not in panel.shown[0]


async def test_a_metric_that_costs_health_says_so_before_its_limits_are_known() -> None:
    cause = HealthCause("failed requests", 61.0, "error_rate")
    sick = replace(fake_engine.learning(), health=HealthScore(39.0, (cause,)))
    async with running(sick) as session:
        assert "error_rate ▼ −61" in session.text()
        assert session.app.screen.query_one("#panel-error_rate").has_class("-rising")
        assert "cpu_usage ▼" not in session.text()


async def test_zoom_takes_what_costs_most_while_limits_are_still_learned() -> None:
    cause = HealthCause("failed requests", 61.0, "error_rate")
    sick = replace(fake_engine.learning(), health=HealthScore(39.0, (cause,)))
    async with running(sick) as session:
        await session.press("z")
        assert isinstance(session.app.screen, Zoom)
        assert session.app.screen.metric == "error_rate"


async def test_an_alert_that_is_told_again_stays_one_row() -> None:
    state = fake_engine.failing()
    bug = next(alert for alert in state.feed if alert.detector == "occurrence")
    again = tuple(replace(bug, time_s=bug.time_s + 10 * at) for at in range(1, 4))
    async with running(replace(state, feed=(*state.feed, *again))) as session:
        assert session.text().count(bug.text[:30]) == 1
        await session.sees("4 × since")


def test_an_alert_that_comes_back_after_a_long_silence_is_told_anew() -> None:
    first = fake_engine.feed()[0]
    later = replace(first, time_s=first.time_s + SAME_STORY_S + 1)
    assert told_again([first, later]) == [(later, later, 1), (first, first, 1)]
    soon = replace(first, time_s=first.time_s + 60)
    assert told_again([first, soon]) == [(first, soon, 2)]


def test_a_bug_whose_message_counts_on_stays_one_row() -> None:
    leak = replace(fake_engine.feed()[0], text="16 are open", fingerprint="leak")
    more = replace(leak, time_s=leak.time_s + 10, text="17 are open")
    other = replace(more, fingerprint="", text="something else")
    rows = told_again([leak, more, other])
    assert [(last.text, count) for _, last, count in rows] == [
        ("something else", 1),
        ("17 are open", 2),
    ]


def test_an_ended_service_offers_no_approval() -> None:
    state = fake_engine.failing()
    ended = replace(
        state, activity="the service ended", service=replace(state.service, alive=False)
    )
    face = ActivityFace()
    for snapshot, offered in ((state, True), (ended, False)):
        face.snapshot = snapshot
        shown = "".join(text for row in face.build(40, 6) for text, _ in row)
        assert ("approve" in shown) is offered


async def test_a_cause_of_lost_health_is_whole_or_not_there() -> None:
    async with running(size=SMALL) as session:
        top = session.text().splitlines()[0]
        assert "failed requests −34" in top
        assert "…" not in top


async def test_the_way_to_a_limit_is_told_in_minutes() -> None:
    snapshot = fake_engine.calm()
    metrics = list(snapshot.metrics)
    metrics[1] = replace(metrics[1], time_to_limit_s=720.0, limit_name="limit")
    async with running(replace(snapshot, metrics=tuple(metrics))) as session:
        assert "limit in 12 min" in session.text()
        assert "memory_usage △" in session.text()


async def test_an_empty_dashboard_teaches_what_will_happen() -> None:
    async with running(fake_engine.learning()) as session:
        assert "limits are being learned, 40 s to go" in session.text()
    async with running(fake_engine.calm()) as session:
        assert "within their limits" in session.text()


async def test_the_engines_work_is_told_with_its_progress() -> None:
    async with running(fake_engine.searching()) as session:
        assert "trying 4 patches for #12" in session.text()
        assert "6 s of ~10 s" in session.text()


async def test_a_small_terminal_has_one_line_for_each_metric_and_one_list() -> None:
    async with running(size=SMALL) as session:
        rows = session.rows()
        assert rows[3].startswith(" error_rate    41 /min      ▲")
        assert "#12" in session.text()
        assert "unusual together" not in session.text()
        await session.do("dashboard.other_list")
        assert "unusual together" in session.text()


async def test_nothing_is_wider_than_the_terminal() -> None:
    for size in ((80, 24), (100, 30), (120, 40), (240, 70)):
        async with running(size=size) as session:
            assert {len(row) for row in session.rows()} == {size[0]}


async def test_below_60x15_one_line_still_tells_health_and_proposals() -> None:
    async with running(size=(40, 10)) as session:
        assert "HEALTH 61" in session.text()
        assert "1 proposal" in session.text()
        await session.pilot.resize_terminal(120, 40)
        await session.sees("INCIDENTS")
        await session.pilot.resize_terminal(50, 40)
        await session.sees("make the terminal 60x15")


async def test_the_cursor_stays_on_its_incident_when_a_new_one_arrives() -> None:
    async with running() as session:
        incidents = session.app.screen.query_one(IncidentList)
        await session.press("j")
        new = replace(fake_engine.incident_proposed(), id="i13", number=13)
        session.engine.publish(
            replace(session.engine.state, incidents=(new, *session.engine.state.incidents))
        )
        await session.sees("#13")
        assert incidents.selected == "i11"


async def test_an_alert_leads_to_its_incident() -> None:
    async with running() as session:
        await session.do("dashboard.other_list")
        await session.press("j", "j", "enter")
        await session.until(lambda: session.screen == "Review")


async def test_what_a_service_writes_cannot_steer_the_terminal() -> None:
    evil = Alert(NOW, "occurrence", "critical", "boom \x1b[2J\x07 [red]x[/red]", place="a\nb:1")
    async with running(replace(fake_engine.failing(), feed=(evil,))) as session:
        assert "boom ·[2J· [red]x[/red]" in session.text()


async def test_events_become_sentences() -> None:
    async with running() as session:
        body: dict[str, object] = {"incident": "i12", "mttr_s": 42.0}
        session.engine.publish(Event(NOW, "healed", body))
        session.engine.publish(Event(NOW, "rolled_back", {"incident": "i12", "reason": "p95"}))
        session.engine.publish(Event(NOW, "error", {"text": "the history is locked"}))
        expected = ["#12 healed in 42 s", "#12 rolled back: p95", "the history is locked"]
        await session.until(lambda: session.told() == expected)


async def test_a_refused_command_says_why() -> None:
    async with running() as session:
        session.engine.refuse = "checkout.py changed meanwhile: the patch no longer fits"
        await session.do("dashboard.approve")
        await session.press("y")
        await session.until(lambda: any("changed meanwhile" in t for t in session.told()))


async def test_nothing_can_be_approved_while_another_app_holds_the_service() -> None:
    held = replace(fake_engine.failing(), read_only="pid 99 holds the service")
    async with running(held) as session:
        await session.do("dashboard.approve")
        assert session.screen == "Dashboard"
        await session.until(lambda: any("may only look" in t for t in session.told()))


async def test_a_quiet_tick_repaints_next_to_nothing() -> None:
    async with running(fake_engine.calm()) as session:
        panel = session.app.screen.query_one("#panel-cpu_usage", MetricPanel)
        await session.pilot.pause()
        repainted: list[object] = []
        panel.face.refresh = lambda *regions, **_: repainted.extend(regions)  # type: ignore[method-assign,assignment,return-value]
        session.engine.publish(replace(session.engine.state, time_s=NOW + 1))
        await session.until(lambda: session.app.latest == session.engine.state)
        assert repainted == []


def test_a_snapshot_that_waits_is_replaced_by_the_next_one() -> None:
    from selfheal_tui.engine_thread import EventArrived, SnapshotArrived

    first, second = (SnapshotArrived(s) for s in (fake_engine.calm(), fake_engine.failing()))
    event = EventArrived(Event(NOW, "healed"))
    assert first.can_replace(second)
    assert not first.can_replace(event)
    assert not event.can_replace(event)


async def test_leaving_takes_the_app_off_the_engine() -> None:
    async with running() as session:
        engine: FakeEngine = session.engine
        assert engine.subscribers == 1
        await session.do("leave")
        await session.until(lambda: session.app.return_value == 0)
    assert engine.subscribers == 0


def test_the_past_shows_incidents_in_the_state_they_had() -> None:
    healed = replace(
        fake_engine.incident_proposed(),
        state=fake_engine.IncidentState.HEALED,
        applied_s=NOW - 20,
        ended_s=NOW - 5,
    )
    snapshot = replace(fake_engine.failing(), incidents=(healed,))
    states = [
        [i.state.value for i in at_time(snapshot, NOW - ago).incidents] for ago in (100, 60, 40, 15)
    ]
    assert states == [[], ["open"], ["proposed"], ["watching"]]


@pytest.mark.parametrize("theme", ["selfheal-light", "nord", "ansi-dark", "textual-light"])
async def test_every_theme_shows_the_same_text(theme: str) -> None:
    async with running(settings=Settings(bell=False, theme=theme)) as session:
        assert "error_rate ▲" in session.text()
