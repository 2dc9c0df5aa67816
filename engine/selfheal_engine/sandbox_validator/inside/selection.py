"""Which tests come first, and when a run has been long enough.

A suite that takes longer than somebody waits for is run in part: first the tests that run what
the patch changes, then the others until the time is over. Quick suites keep their own order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any


class Selection:
    """The order of one run's tests, and its end."""

    def __init__(self, orders: dict[str, Any]) -> None:
        self._first = frozenset(orders.get("first", ()))
        self._left = set(self._first)
        self._budget_s = float(orders.get("budget_s", 0.0))
        self._began = time.monotonic()
        self.late = False
        """Whether the run was ended because its time was over."""

    def sorted(self, tests: Iterable[Any], name: Callable[[Any], str]) -> list[Any]:
        """Those that must come first, then the others, each in the order they had."""
        if not self._first:
            return list(tests)
        return sorted(tests, key=lambda test: name(test) not in self._first)

    def is_over(self, test: str) -> bool:
        """Whether the run should end now that this test has."""
        self._left.discard(test)
        if self._budget_s and not self._left and time.monotonic() - self._began > self._budget_s:
            self.late = True
        return self.late
