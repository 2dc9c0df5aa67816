"""Driving the app in tests: start it over a fake engine, press registered keys, read rows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

from textual.pilot import Pilot

from selfheal_engine.config import Settings
from selfheal_engine.model import Snapshot
from selfheal_tui.actions import ACTIONS
from selfheal_tui.app import SelfhealApp
from tests.tui.fake_engine import FakeEngine

WIDE, SMALL = (120, 40), (80, 24)
PATIENCE_S = 15.0


class Session:
    """The running app with its engine and pilot."""

    def __init__(self, app: SelfhealApp, engine: FakeEngine, pilot: Pilot[int]) -> None:
        self.app, self.engine, self.pilot = app, engine, pilot

    async def do(self, action: str, keys: str = "") -> None:
        """Press the first key of an action of the registry, and wait until it was handled."""
        registered = next(a for a in ACTIONS if a.id == action)
        await self.press(keys or registered.keys.split(",")[0])

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition; fails with what is on the screen."""
        deadline = monotonic() + PATIENCE_S
        while not condition():
            if monotonic() > deadline:
                raise AssertionError("never came true; on the screen:\n" + "\n".join(self.rows()))
            await self.pilot.pause()
            await asyncio.sleep(0.01)

    async def sees(self, text: str) -> None:
        await self.until(lambda: text in self.text())

    def rows(self) -> list[str]:
        """The rows of the terminal as text."""
        return [strip.text for strip in self.app.screen._compositor.render_strips()]

    def text(self) -> str:
        return "\n".join(self.rows())

    @property
    def screen(self) -> str:
        return type(self.app.screen).__name__

    def told(self) -> list[str]:
        """The sentences said in the corner so far."""
        return [note.message for note in self.app._notifications]

    async def asked(self, *command: object) -> None:
        """Wait until the engine was asked for exactly this."""
        await self.until(lambda: command in self.engine.asked)


@asynccontextmanager
async def running(
    snapshot: Snapshot | None = None,
    size: tuple[int, int] = WIDE,
    settings: Settings | None = None,
    *,
    owns_service: bool = False,
) -> AsyncIterator[Session]:
    """The app over a fake engine, shown once."""
    engine = FakeEngine(snapshot)
    app = SelfhealApp(engine, settings or Settings(bell=False), owns_service=owns_service)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield Session(app, engine, pilot)


def state_settings(folder: Path, **more: object) -> Settings:
    """Settings whose files stay in a test's own folder."""
    return Settings(state_dir=str(folder), bell=False, **more)  # type: ignore[arg-type]
