"""Every action of the registry does what its help says; an action without a test fails here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from selfheal_engine.config import Settings
from selfheal_engine.errors import ConfigError
from selfheal_engine.model import METRICS
from selfheal_tui.actions import ACTIONS, keymap
from selfheal_tui.screens.review import Review
from selfheal_tui.screens.zoom import Zoom
from selfheal_widgets.anomaly_feed import AnomalyFeed
from selfheal_widgets.candidate_list import CandidateList
from selfheal_widgets.diff_viewer import DiffViewer
from selfheal_widgets.history_table import HistoryTable
from selfheal_widgets.incident_list import IncidentList
from selfheal_widgets.metric_panel import MetricPanel
from tests.tui import fake_engine
from tests.tui.fake_engine import CHECKOUT
from tests.tui.screens import Session, running, state_settings

Test = TypeVar("Test", bound=Callable[..., object])
COVERED: set[str] = set()


def covers(*actions: str) -> Callable[[Test], Test]:
    """Says which actions a test presses the keys of."""

    def remember(test: Test) -> Test:
        COVERED.update(actions)
        return test

    return remember


def test_every_action_of_the_registry_has_a_test() -> None:
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


# ------------------------------------------------------------ review
async def _review(session: Session) -> Review:
    await session.do("dashboard.review")
    screen = session.app.screen
    assert isinstance(screen, Review)
    await session.until(lambda: screen.query_one(DiffViewer).lexed)
    return screen


@covers("review.approve")
async def test_approving_names_the_file_and_the_processes_before_it_acts() -> None:
    async with running() as session:
        await _review(session)
        await session.do("review.approve")
        for text in ("/srv/shop/shop/checkout.py", "pid 4212", "pid 4213", "safety 94"):
            await session.sees(text)
        await session.press("escape")
        assert not [a for a in session.engine.asked if a[0] == "approve"]
        await session.do("review.approve")
        await session.press("enter")
        await session.asked("approve", "i12", "c1")


@covers("review.reject")
async def test_rejecting_one_patch_keeps_its_reason() -> None:
    async with running() as session:
        await _review(session)
        await session.do("review.next_patch")
        await session.do("review.reject")
        await session.press(*"flat", "enter")
        await session.asked("reject", "i12", "c2", "flat")


@covers("review.defer")
async def test_deferring_goes_back_to_the_dashboard() -> None:
    async with running() as session:
        await _review(session)
        await session.do("review.defer")
        await session.asked("defer", "i12")
        assert session.screen == "Dashboard"


@covers("review.dismiss_incident")
async def test_dismissing_from_the_review() -> None:
    async with running() as session:
        await _review(session)
        await session.do("review.dismiss_incident")
        await session.press("enter")
        await session.asked("dismiss", "i12", "")


@covers("review.edit")
async def test_editing_hands_the_changed_file_back_for_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\necho "# seen" >> "$1"\n')
    editor.chmod(0o755)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", str(editor))
    async with running() as session:
        await _review(session)
        await session.do("review.edit")
        new = CHECKOUT.encode() + b"# seen\n"
        await session.asked("edit", "i12", "c1", {"shop/checkout.py": new})


@pytest.mark.parametrize(
    ("editor", "said"), [("false", "ended with 1"), ("/no/such/editor", "cannot run")]
)
async def test_an_editor_that_fails_leaves_the_patch_as_it_was(
    editor: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", editor)
    async with running() as session:
        await _review(session)
        await session.do("review.edit")
        await session.until(lambda: any(said in text for text in session.told()))
        assert not [a for a in session.engine.asked if a[0] == "edit"]


@covers("review.write_test")
async def test_the_regression_test_is_asked_for() -> None:
    async with running() as session:
        await _review(session)
        await session.do("review.write_test")
        await session.asked("write_test", "i12", "c1")


@covers("review.export")
async def test_exporting_asks_for_the_folder(tmp_path: Path) -> None:
    async with running() as session:
        await _review(session)
        await session.do("review.export")
        await session.press("ctrl+u")
        await session.press("end", "ctrl+u", *str(tmp_path), "enter")
        await session.asked("export", "i12", "c1", tmp_path)


@covers("review.copy")
async def test_copying_also_writes_a_file(tmp_path: Path) -> None:
    async with running(settings=state_settings(tmp_path)) as session:
        await _review(session)
        await session.do("review.copy")
        place = tmp_path / "copied" / "12-raise_domain_error.patch"
        await session.until(place.exists)
        assert session.app.clipboard == fake_engine.DIFF
        await session.until(lambda: place.read_text() == fake_engine.DIFF)


@covers("review.split")
async def test_split_puts_old_and_new_side_by_side() -> None:
    async with running(size=(160, 40)) as session:
        screen = await _review(session)
        await session.do("review.next_patch")
        await session.do("review.split")
        assert screen.query_one(DiffViewer).side_by_side
        row = next(r for r in session.rows() if 'order["address"]["zip"]' in r)
        assert 'address = order["address"] or' in row
        await session.do("review.split")
        assert not screen.query_one(DiffViewer).side_by_side


LONG = "".join(f"line_{n} = {n}\n" for n in range(300))
LONG_NEW = LONG.replace("line_20 = 20\n", "line_20 = -1\n").replace(
    "line_250 = 250\n", "line_250 = -1\n"
)
LONG_DIFF = """--- a/long.py
+++ b/long.py
@@ -21,1 +21,1 @@
-line_20 = 20
+line_20 = -1
@@ -251,1 +251,1 @@
-line_250 = 250
+line_250 = -1
"""


@covers("review.next_hunk", "review.previous_hunk", "review.more_context", "review.less_context")
async def test_hunks_and_context_move_through_a_long_patch() -> None:
    async with running(size=(120, 24)) as session:
        screen = await _review(session)
        diff = screen.query_one(DiffViewer)
        diff.show(LONG_DIFF, {"long.py": LONG_NEW.encode()})
        await session.pilot.pause()
        few = len(diff.shown)
        for _ in range(4):
            await session.do("review.more_context")
        assert len(diff.shown) > few
        top = diff.scroll_offset.y
        await session.do("review.next_hunk")
        assert diff.scroll_offset.y > top
        await session.do("review.previous_hunk")
        assert diff.scroll_offset.y < len(diff.shown) // 2
        for _ in range(4):
            await session.do("review.less_context")
        assert len(diff.shown) == few


@covers("review.next_patch", "review.previous_patch")
async def test_the_patches_are_walked_through() -> None:
    async with running() as session:
        screen = await _review(session)
        patches = screen.query_one(CandidateList)
        await session.do("review.next_patch")
        assert patches.selected == "c2"
        assert "flat rate" in session.text()
        await session.do("review.previous_patch")
        assert patches.selected == "c1"


@covers("review.next_page", "review.previous_page")
async def test_the_evidence_is_paged_through() -> None:
    async with running() as session:
        await _review(session)
        await session.do("review.next_page")
        await session.sees("caught by flask")
        await session.do("review.next_page")
        await session.sees("TypeError in 3 of 3 replays")
        await session.do("review.previous_page")
        await session.do("review.previous_page")
        await session.sees("41 of 41 occurrences")


@covers("review.back")
async def test_escape_leaves_the_review() -> None:
    async with running() as session:
        await _review(session)
        await session.do("review.back")
        assert session.screen == "Dashboard"


# ------------------------------------------------------------ history
async def _history(session: Session) -> HistoryTable:
    await session.do("history")
    table = session.app.screen.query_one(HistoryTable)
    await session.until(lambda: len(table.row_ids) == 4)
    return table


@covers("history.filter", "history.back")
async def test_the_history_is_filtered_by_words() -> None:
    async with running() as session:
        table = await _history(session)
        await session.do("history.filter")
        await session.press(*"healed", "enter")
        await session.until(lambda: len(table.row_ids) == 2)
        await session.do("history.back")
        assert len(table.row_ids) == 4
        await session.do("history.back")
        assert session.screen == "Dashboard"


@covers("history.sort")
async def test_the_order_of_the_history_can_be_changed() -> None:
    async with running() as session:
        table = await _history(session)
        assert table.row_ids == ["e11", "e10", "e9", "e8"]
        await session.do("history.sort")
        assert table.row_ids[0] == "e8"


@covers("history.roll_back")
async def test_a_healing_is_rolled_back_after_asking() -> None:
    async with running() as session:
        await _history(session)
        await session.do("history.roll_back")
        await session.sees("validated in the sandbox first")
        await session.press("y")
        await session.asked("roll_back", "e11")


async def test_what_did_not_heal_cannot_be_rolled_back() -> None:
    async with running() as session:
        await _history(session)
        await session.press("j")
        await session.do("history.roll_back")
        await session.until(lambda: any("only a healed" in text for text in session.told()))


@covers("history.copy")
async def test_an_episodes_patch_is_copied(tmp_path: Path) -> None:
    async with running(settings=state_settings(tmp_path)) as session:
        await _history(session)
        await session.do("history.copy")
        await session.until(lambda: session.app.clipboard == fake_engine.FLAT_DIFF)


@covers("history.reload")
async def test_the_history_is_read_again() -> None:
    async with running() as session:
        table = await _history(session)
        session.engine.episodes.pop()
        await session.do("history.reload")
        await session.until(lambda: len(table.row_ids) == 3)


# ------------------------------------------------------------ service, settings, zoom
@covers("service.refresh", "service.back")
async def test_the_service_screen_asks_the_threads_again() -> None:
    async with running(fake_engine.stuck()) as session:
        await session.do("service")
        await session.sees("held by worker-5")
        before = session.engine.asked.count(("refresh_threads",))
        await session.do("service.refresh")
        await session.until(lambda: session.engine.asked.count(("refresh_threads",)) == before + 1)
        await session.do("service.back")
        assert session.screen == "Dashboard"


@covers("settings.filter", "settings.back")
async def test_the_settings_show_value_and_source_and_can_be_searched() -> None:
    async with running(settings=Settings(bell=False, watch_s=30)) as session:
        session.app.setting_sources = {"watch_s": "$SELFHEAL_WATCH_S"}
        await session.do("settings")
        await session.do("settings.filter")
        await session.press(*"watched", "enter")
        await session.until(lambda: "approve_floor" not in session.text())
        row = next(row for row in session.rows() if "watch_s" in row)
        assert "30" in row
        assert "$SELFHEAL" in row
        await session.do("settings.back")
        await session.do("settings.back")
        assert session.screen == "Dashboard"


@covers("zoom.next_metric", "zoom.previous_metric", "zoom.longer", "zoom.shorter")
async def test_zoom_goes_through_metrics_and_spans_of_time() -> None:
    async with running() as session:
        await session.do("dashboard.zoom")
        screen = session.app.screen
        assert isinstance(screen, Zoom)
        await session.do("zoom.next_metric")
        assert screen.metric == METRICS[METRICS.index("error_rate") + 1]
        await session.do("zoom.previous_metric")
        assert screen.metric == "error_rate"
        await session.do("zoom.longer")
        await session.sees("one column is 10 s")
        await session.do("zoom.shorter")
        await session.sees("one column is 5 s")


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
