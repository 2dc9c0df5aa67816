"""The review and the history when things go unlike planned."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfheal_engine.healer.rebase import unified
from selfheal_engine.model import IncidentState, Proposal
from selfheal_widgets.diff_viewer import DiffViewer
from selfheal_widgets.history_table import HistoryTable
from tests.tui import fake_engine
from tests.tui.screens import SMALL, running


async def test_the_review_shows_diff_figures_and_checks() -> None:
    async with running() as session:
        await session.do("dashboard.review")
        for text in ("confidence 91 %", "safety 94", "low risk", "not proven", "TESTS 48 ✓"):
            await session.sees(text)
        assert '14 +     if order["address"] is None:' in session.text()


async def test_code_gets_its_colours_after_it_is_shown() -> None:
    async with running() as session:
        await session.do("dashboard.review")
        diff = session.app.screen.query_one(DiffViewer)
        await session.until(lambda: diff.lexed)
        row = diff.render_line(2)
        assert len({style.color for text, style, _ in row if style and text.strip()}) > 1


async def test_a_service_that_ends_while_its_review_is_open_is_told_in_place() -> None:
    async with running() as session:
        await session.do("dashboard.review")
        ended = replace(session.engine.state.service, alive=False, processes=())
        session.engine.publish(replace(session.engine.state, service=ended))
        await session.sees("the service has ended")
        assert "answer 422" in session.text()
        await session.do("review.approve")
        await session.sees("patched for its next start")


async def test_an_incident_that_is_healed_meanwhile_cannot_be_approved_again() -> None:
    async with running() as session:
        await session.do("dashboard.review")
        first, *others = session.engine.state.incidents
        healed = replace(first, state=IncidentState.HEALED, outcome="healed in 42 s")
        session.engine.publish(replace(session.engine.state, incidents=(healed, *others)))
        await session.sees("healed in 42 s")
        await session.do("review.approve")
        await session.until(lambda: any("is healed" in text for text in session.told()))
        assert session.screen == "Review"


async def test_a_proposal_without_patches_shows_the_diagnosis() -> None:
    first, *others = fake_engine.failing().incidents
    bare = replace(first, proposal=Proposal("i12", (), (), "diagnosis"))
    async with running(replace(fake_engine.failing(), incidents=(bare, *others))) as session:
        assert "diagnosis ↵" in session.text()
        await session.do("dashboard.review")
        assert "no patch passed its checks" in session.text()
        assert "total() reads its zip" in session.text()
        await session.do("review.copy")
        await session.until(lambda: any("no patch here" in text for text in session.told()))


async def test_an_unproven_patch_is_marked_before_it_is_applied() -> None:
    async with running() as session:
        await session.do("dashboard.review")
        await session.do("review.next_patch")
        await session.do("review.next_patch")
        await session.do("review.approve")
        await session.sees("not proven: after: KeyError in 3 of 3 replays")


async def test_the_review_fits_a_small_terminal() -> None:
    async with running(size=SMALL) as session:
        await session.do("dashboard.review")
        for text in ("▶1 answer 422", "raise OrderError", "WHY", "a approve", "q quit"):
            await session.sees(text)


async def test_side_by_side_on_a_small_terminal_says_what_it_needs() -> None:
    async with running(size=SMALL) as session:
        await session.do("dashboard.review")
        await session.do("review.split")
        await session.until(lambda: any("94 columns" in text for text in session.told()))


async def test_side_by_side_takes_the_whole_width_where_half_is_too_narrow() -> None:
    async with running() as session:
        await session.do("dashboard.review")
        diff = session.app.screen.query_one(DiffViewer)
        assert diff.too_narrow_to_split
        await session.do("review.split")
        await session.until(lambda: not diff.too_narrow_to_split)
        assert not session.told()
        await session.do("review.split")
        await session.until(lambda: diff.too_narrow_to_split)


@pytest.mark.parametrize("side_by_side", [False, True])
async def test_a_changed_line_longer_than_the_view_is_shown_to_its_end(side_by_side: bool) -> None:
    long = "    total=" + "+".join(f"part_{n:03}" for n in range(40))
    old = "\n".join(["def f():", *(f"    step_{n}()" for n in range(60)), "    x = 1"]) + "\n"
    new = old.replace("    x = 1", long).encode()
    state = fake_engine.failing()
    first = state.incidents[0]
    assert first.proposal is not None
    diff = unified("a.py", old.encode(), new)
    candidate = replace(first.proposal.candidates[0], diff=diff, files=(("a.py", new),))
    proposal = replace(first.proposal, candidates=(candidate, *first.proposal.candidates[1:]))
    incidents = (replace(first, proposal=proposal), *state.incidents[1:])
    async with running(replace(state, incidents=incidents)) as session:
        await session.do("dashboard.review")
        viewer = session.app.screen.query_one(DiffViewer)
        if side_by_side:
            await session.do("review.split")
            await session.until(lambda: not viewer.too_narrow_to_split)
        for _ in range(6):
            await session.do("review.more_context")  # so that there is something to scroll
        viewer.scroll_to(y=viewer.max_scroll_y, animate=False)
        await session.until(lambda: "part_039" in session.text())
        region = viewer.scrollable_content_region
        here = viewer.content_region
        assert region.width < here.width, "the bar takes a column"
        half = (region.width - 1) // 2 + 1 if side_by_side else 0
        rows = session.rows()[here.y : here.y + here.height]
        codes = [row[here.x + half : here.x + region.width].rstrip() for row in rows]
        shown = "".join(code[len("  62 + ") :] for code in codes[-9:])
        assert long.strip() in shown


async def test_the_diff_keeps_its_rows_on_the_smallest_terminal() -> None:
    async with running(size=(60, 15)) as session:
        await session.do("dashboard.review")
        await session.until(lambda: session.app.screen.query_one(DiffViewer).size.height >= 3)


async def test_the_way_back_is_among_the_keys_however_narrow_the_terminal() -> None:
    async with running(size=(60, 15)) as session:
        await session.do("dashboard.review")
        for text in ("Esc back", "? help", "q quit"):
            await session.sees(text)


async def test_a_patch_edited_by_hand_says_so() -> None:
    state = fake_engine.failing()
    first, *others = state.incidents
    assert first.proposal is not None
    best, *rest = first.proposal.candidates
    edited = replace(best, id="mine", origin="engine (edited)")
    proposal = replace(first.proposal, candidates=(edited, best, *rest))
    incidents = (replace(first, proposal=proposal), *others)
    async with running(replace(state, incidents=incidents)) as session:
        await session.do("dashboard.review")
        for text in ("your edit of: answer 422", "Edited by you."):
            await session.sees(text)
        assert "Proposed by" not in session.text()


async def test_a_frame_is_named_from_the_project_on() -> None:
    async with running() as session:
        await session.do("dashboard.review")
        await session.do("review.next_page")
        await session.sees("▸ shop/checkout.py:14 total")


async def test_the_history_tells_the_story_of_an_episode() -> None:
    async with running() as session:
        await session.do("history")
        for text in ("first occurrence", "+42 s", "0 requests lost", "1 of 1 healed"):
            await session.sees(text)


async def test_a_history_that_cannot_be_read_says_why_in_place() -> None:
    async with running() as session:
        session.engine.history_problem = "the history is from a newer version; update the app"
        await session.do("history")
        await session.sees("from a newer version")


async def test_an_empty_history_teaches_what_it_is_for() -> None:
    async with running() as session:
        session.engine.episodes = []
        await session.do("history")
        await session.sees("no episodes yet")
        table = session.app.screen.query_one(HistoryTable)
        assert table.episode is None
        await session.do("history.roll_back")
