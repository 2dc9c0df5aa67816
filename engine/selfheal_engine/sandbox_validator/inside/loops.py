"""One event loop for all repetitions of a coroutine, on which nothing has to be waited for.

Objects of asyncio that stay from call to call belong to the loop that first used them, so there
is one. Where nothing else can happen before the next timer is due, its clock goes on to there at
once: a long poll that waits for seconds can be repeated hundreds of times.
"""

from __future__ import annotations

import asyncio
import selectors
import threading
import time
from typing import Any

GRACE_S = 5.0
"""Tasks that a call leaves behind have so long, by the loop's clock, before they are cancelled."""


class QuickSelector(selectors.DefaultSelector):
    """Skips the time until the next timer where no file and no other thread can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        # the loop's own wake-up pipe is registered too
        alone = len(self.get_map()) <= 1 and threading.active_count() == 1
        if alone and timeout is not None and timeout > 0:
            self.skipped_s += timeout
            timeout = 0
        return super().select(timeout)


class QuickLoop(asyncio.SelectorEventLoop):
    """An event loop by the clock of its selector."""

    def __init__(self) -> None:
        self._quick = QuickSelector()
        super().__init__(self._quick)

    def time(self) -> float:
        return time.monotonic() + self._quick.skipped_s


_loop: QuickLoop | None = None


def run(coroutine: Any) -> Any:
    """As asyncio.run, but for the loop that stays."""
    global _loop
    if _loop is None:
        _loop = QuickLoop()
        asyncio.set_event_loop(_loop)
    try:
        return _loop.run_until_complete(coroutine)
    finally:
        left = asyncio.all_tasks(_loop)
        if left:
            _loop.run_until_complete(_ended(left))


async def _ended(tasks: set[asyncio.Task[Any]]) -> None:
    _, waiting = await asyncio.wait(tasks, timeout=GRACE_S)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
