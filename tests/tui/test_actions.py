"""Every action of the registry does what its help says; an action without a test fails here."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

import pytest

from selfheal_engine.config import Settings
from selfheal_engine.errors import ConfigError
from selfheal_engine.model import RestartOffer
from selfheal_tui.actions import ACTIONS, keymap
from selfheal_tui.screens.review import Review
from selfheal_tui.screens.zoom import Zoom
from selfheal_widgets.anomaly_feed import AnomalyFeed
from selfheal_widgets.incident_list import IncidentList
from selfheal_widgets.metric_panel import MetricPanel
from tests.tui import fake_engine
from tests.tui.covering import COVERED, covers
from tests.tui.screens import running


def test_every_action_of_the_registry_has_a_test() -> None:
    import_module("tests.tui.test_actions_on_screens")
    assert {action.id for action in ACTIONS} == COVERED


def test_no_key_means_two_things_on_one_screen() -> None:
    for scope in {action.scope for action in ACTIONS}:
        keys = [k for a in ACTIONS if a.scope in (scope, "everywhere") for k in a.keys.split(",")]
        allowed = {"question_mark"} if scope == "help" else set()
        assert {key for key in keys if keys.count(key) > 1} <= allowed


def test_no_action_sits_on_a_prefix_key_of_tmux_or_screen() -> None:
    keys = {key for action in ACTIONS for key in action.keys.split(",")}
    assert not keys & {"ctrl+a", "ctrl+b"}


# ------------------------------------------------------------ everywhere
@covers("dashboard", "history", "service", "settings")
async def test_the_number_keys_go_to_the_main_screens() -> None:
    async with running() as session:
        for action, screen in (
            ("history", "History"),
            ("service", "Service"),
            ("settings", "SettingsScreen"),
            ("dashboard", "Dashboard"),
        ):
            await session.do(action)
            assert session.screen == screen
        assert len(session.app.screen_stack) == 1


@covers("jump")
async def test_jump_puts_a_letter_on_every_part_and_moves_the_focus() -> None:
    async with running() as session:
        await session.do("jump")
        letters = session.app.screen.targets  # type: ignore[attr-defined]
        letter = next(key for key, widget in letters.items() if isinstance(widget, AnomalyFeed))
        await session.press(letter)
        await session.until(lambda: isinstance(session.app.focused, AnomalyFeed))


@covers("palette")
async def test_the_palette_finds_an_action_by_its_words() -> None:
    async with running() as session:
        await session.do("palette")
        await session.press(*"processes")
        await session.sees("processes and threads")
        await session.press("enter")
        await session.until(lambda: session.screen == "Service")


@covers("next_theme")
async def test_the_theme_key_changes_the_colours() -> None:
    async with running() as session:
        before = session.app.theme
        await session.do("next_theme")
        assert session.app.theme != before


@covers("maintenance")
async def test_the_maintenance_key_switches_it_on_and_off_again_and_says_so() -> None:
    async with running() as session:
        await session.do("maintenance")
        await session.asked("maintenance", True)
        await session.until(lambda: "maintenance done" in session.told())
        session.engine.publish(replace(session.engine.state, maintenance=True))
        await session.sees("maintenance, M: end it")
        await session.do("dashboard.approve")
        await session.sees("maintenance is set: nothing is applied")
        await session.press("escape")
        await session.do("maintenance")
        await session.asked("maintenance", False)


OFFER = RestartOffer(
    "Sends SIGHUP to the master 4211",
    "The old processes finish their requests in flight; what only its memory holds is gone.",
)


@covers("restart")
async def test_the_restart_key_says_what_is_run_and_lost_and_then_does_it() -> None:
    async with running(replace(fake_engine.failing(), restart=OFFER)) as session:
        assert "^r" not in session.rows()[-1], "nothing asks for it"
        wanted = replace(OFFER, wanted="the patch for #12 is in force, what was stuck stays so")
        session.engine.publish(replace(session.engine.state, restart=wanted))
        await session.until(lambda: "^r restart" in session.rows()[-1])
        await session.do("restart")
        for text in ("restart shop?", OFFER.does, "finish their requests", "what was stuck"):
            await session.sees(text)
        await session.press("escape")
        assert ("restart",) not in session.engine.asked
        await session.do("restart")
        await session.press("y")
        await session.asked("restart")
        await session.until(lambda: "restart done" in session.told())


@pytest.mark.parametrize(
    "refused",
    [
        "this app does not know how to restart it: set restart_command",
        "the service has ended: there is nothing to restart",
        "maintenance is on: nothing is restarted until it is switched off",
        "nothing is restarted from here: the engine with pid 7 watches this service",
        "",
    ],
)
async def test_where_nothing_can_be_restarted_the_key_says_why_and_nothing_else_offers_it(
    refused: str,
) -> None:
    offer = RestartOffer(refused=refused, wanted="stuck") if refused else None
    async with running(replace(fake_engine.failing(), restart=offer)) as session:
        await session.do("restart")
        why = refused or "an older version"
        await session.until(lambda: any(why in text for text in session.told()))
        assert ("restart",) not in session.engine.asked
        assert "^r" not in session.rows()[-1]
        await session.do("help")
        await session.sees("HELP dashboard")
        assert "Restart the service" not in session.text()


async def test_a_restart_that_can_be_done_is_in_help_and_palette() -> None:
    async with running(replace(fake_engine.failing(), restart=OFFER)) as session:
        await session.do("help")
        await session.sees("Restart the service")
        await session.do("help.back")
        await session.do("palette")
        await session.press(*"restart")
        await session.sees("Restart the service")
        await session.press("enter")
        await session.sees("restart shop?")


async def test_what_stands_in_the_corner_is_not_said_twice() -> None:
    async with running() as session:
        session.app.say("not applied", "error")
        session.app.say("not applied", "error")
        session.app.say("another thing", "error")
        await session.until(lambda: "another thing" in session.told())
        assert session.told() == ["not applied", "another thing"]


@covers("redraw")
async def test_redrawing_repaints_the_whole_screen() -> None:
    async with running() as session:
        repainted: list[object] = []
        session.app.screen.refresh = lambda *regions, **_: repainted.append(regions)  # type: ignore[method-assign,assignment,return-value]
        await session.do("redraw")
        assert repainted == [()]


@covers("help", "help.back")
async def test_help_explains_the_screen_it_was_opened_on() -> None:
    async with running() as session:
        await session.do("dashboard.review")
        await session.do("help")
        await session.sees("HELP review")
        await session.sees("Approve this patch, after one confirmation")
        await session.do("help.back")
        assert session.screen == "Review"


@covers("leave")
async def test_leaving_a_service_that_runs_by_itself_asks_nothing() -> None:
    async with running() as session:
        await session.do("leave")
        await session.until(lambda: session.app.return_value == 0)
        assert session.app.stop_service is False


@pytest.mark.parametrize(("key", "stops"), [("s", True), ("l", False)])
async def test_leaving_a_service_started_here_asks_whether_to_stop_it(
    key: str, stops: bool
) -> None:
    async with running(owns_service=True) as session:
        await session.do("leave")
        await session.sees("stop it and leave")
        await session.press("escape")
        assert session.screen == "Dashboard"
        await session.do("leave")
        await session.press(key)
        await session.until(lambda: session.app.return_value == 0)
        assert session.app.stop_service is stops


# ------------------------------------------------------------ dashboard
@covers("dashboard.review")
async def test_enter_opens_the_review_of_the_incident() -> None:
    async with running() as session:
        await session.do("dashboard.review")
        assert isinstance(session.app.screen, Review)
        await session.sees("answer 422")


@covers("dashboard.approve")
async def test_approving_from_the_dashboard_takes_the_best_patch() -> None:
    async with running() as session:
        await session.do("dashboard.approve")
        await session.sees("apply this patch to #12?")
        await session.press("y")
        await session.asked("approve", "i12", "c1")


@covers("dashboard.reject")
async def test_rejecting_from_the_dashboard_rejects_all_patches() -> None:
    async with running() as session:
        await session.do("dashboard.reject")
        await session.press(*"wrong", "enter")
        await session.asked("reject", "i12", "", "wrong")


@covers("dashboard.dismiss_incident")
async def test_dismissing_says_why_it_is_no_bug() -> None:
    async with running() as session:
        await session.do("dashboard.dismiss_incident")
        await session.press(*"load", "enter")
        await session.asked("dismiss", "i12", "load")


@covers("dashboard.zoom", "zoom.back")
async def test_zoom_shows_the_metric_that_is_worst_off() -> None:
    async with running() as session:
        await session.do("dashboard.zoom")
        assert isinstance(session.app.screen, Zoom)
        assert session.app.screen.metric == "error_rate"
        await session.do("zoom.back")
        assert session.screen == "Dashboard"


@covers("dashboard.freeze")
async def test_freezing_stops_the_display_and_not_the_collection() -> None:
    async with running() as session:
        await session.do("dashboard.freeze")
        await session.sees("frozen")
        session.engine.publish(fake_engine.calm())
        await session.until(lambda: session.app.latest == fake_engine.calm())
        assert "HEALTH 61" in session.text()
        await session.do("dashboard.freeze")
        await session.sees("HEALTH 100")


@covers("dashboard.back_in_time", "dashboard.forward_in_time")
async def test_walking_back_shows_the_dashboard_of_that_time() -> None:
    async with running() as session:
        for _ in range(6):
            await session.do("dashboard.back_in_time")
        await session.sees("ago, Esc: present")
        assert "#12" not in session.text()
        for _ in range(6):
            await session.do("dashboard.forward_in_time")
        await session.sees("#12")
        assert "ago, Esc" not in session.text()


@covers("dashboard.filter", "dashboard.calm")
async def test_the_filter_keeps_the_alerts_that_hold_its_words() -> None:
    async with running() as session:
        feed = session.app.screen.query_one(AnomalyFeed)
        await session.do("dashboard.filter")
        await session.press(*"deploy", "enter")
        await session.until(lambda: len(feed.row_ids) == 1)
        await session.do("dashboard.calm")
        await session.until(lambda: len(feed.row_ids) == 4)


@covers("dashboard.severity")
async def test_severity_hides_what_is_less_than_it() -> None:
    async with running() as session:
        feed = session.app.screen.query_one(AnomalyFeed)
        await session.do("dashboard.severity")
        assert len(feed.row_ids) == 3
        await session.do("dashboard.severity")
        assert len(feed.row_ids) == 1
        await session.do("dashboard.severity")
        assert len(feed.row_ids) == 4


@covers("dashboard.other_list")
async def test_one_key_goes_between_incidents_and_feed() -> None:
    async with running() as session:
        await session.do("dashboard.other_list")
        assert isinstance(session.app.focused, AnomalyFeed)
        await session.do("dashboard.other_list")
        assert isinstance(session.app.focused, IncidentList)


# ------------------------------------------------------------ keys of one's own
async def test_a_key_of_the_config_file_replaces_the_registered_one() -> None:
    settings = Settings(bell=False, keys=("dashboard.review=v", "dashboard.other_list=b"))
    async with running(settings=settings) as session:
        await session.press("v")
        assert session.screen == "Review"


@pytest.mark.parametrize("entry", ["approve", "no_such.action=x", "review.approve="])
def test_an_impossible_key_is_named_with_what_it_should_be(entry: str) -> None:
    with pytest.raises(ConfigError, match="keys: "):
        keymap([entry])


async def test_list_keys_move_like_in_vim() -> None:
    async with running() as session:
        incidents = session.app.screen.query_one(IncidentList)
        await session.press("j")
        assert incidents.selected == "i11"
        await session.press("G")
        assert incidents.selected == "i10"
        await session.press("k", "g")
        assert incidents.selected == "i12"


async def test_panels_are_reached_and_zoomed_by_keys() -> None:
    async with running() as session:
        session.app.screen.query_one("#panel-cpu_usage").focus()
        await session.press("l")
        assert isinstance(session.app.focused, MetricPanel)
        assert session.app.focused.metric == "memory_usage"
        await session.press("enter")
        assert isinstance(session.app.screen, Zoom)


async def test_a_click_on_a_hint_does_what_its_key_does() -> None:
    async with running() as session:
        await session.pilot.click("#hints", offset=(3, 0))
        await session.until(lambda: session.screen == "Review")
