"""Every action of the review, the history, the service, the settings and the zoom."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfheal_engine.config import Settings
from selfheal_engine.model import METRICS
from selfheal_tui.screens.review import Review
from selfheal_tui.screens.zoom import Zoom
from selfheal_widgets.candidate_list import CandidateList
from selfheal_widgets.diff_viewer import DiffViewer
from selfheal_widgets.history_table import HistoryTable
from tests.tui import fake_engine
from tests.tui.covering import covers
from tests.tui.fake_engine import CHECKOUT
from tests.tui.screens import Session, running, state_settings


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
