"""Pictures of the screens, compared with those that were looked at and found good.

Made again on the pinned Textual only: `python -m pytest tests/tui/test_snapshots.py
--snapshot-update`, after looking at what `make screenshots` draws.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from textual.pilot import Pilot

from selfheal_engine.config import Settings
from selfheal_engine.model import Snapshot
from selfheal_tui.app import SelfhealApp
from tests.tui import fake_engine
from tests.tui.fake_engine import FakeEngine
from tests.tui.screens import SMALL, WIDE

Compare = Callable[..., bool]
SIZES = {"120x40": WIDE, "80x24": SMALL}

SCREENS: dict[str, tuple[Callable[[], Snapshot], tuple[str, ...]]] = {
    "dashboard": (fake_engine.failing, ()),
    "review": (fake_engine.failing, ("enter",)),
    "history": (fake_engine.failing, ("2",)),
    "service": (fake_engine.stuck, ("3",)),
    "settings": (fake_engine.failing, ("4", "slash", *"watch", "enter")),
    "zoom": (fake_engine.failing, ("z",)),
    "help": (fake_engine.failing, ("question_mark",)),
}


def _app(snapshot: Snapshot, settings: Settings | None = None) -> SelfhealApp:
    return SelfhealApp(FakeEngine(snapshot), settings or Settings(bell=False))


async def _settled(pilot: Pilot[int]) -> None:
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("screen", SCREENS)
def test_the_screen_looks_as_it_was_approved(screen: str, size: str, snap_compare: Compare) -> None:
    state, keys = SCREENS[screen]
    app = _app(state())
    assert snap_compare(app, press=keys, terminal_size=SIZES[size], run_before=_settled)


@pytest.mark.parametrize("size", SIZES)
def test_the_dashboard_without_colours(
    size: str, snap_compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(_app(fake_engine.failing()), terminal_size=SIZES[size])


@pytest.mark.parametrize("size", SIZES)
def test_the_dashboard_in_ascii(size: str, snap_compare: Compare) -> None:
    settings = Settings(bell=False, ascii=True)
    assert snap_compare(_app(fake_engine.failing(), settings), terminal_size=SIZES[size])
