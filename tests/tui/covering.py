"""Which actions of the registry the tests press the keys of."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Test = TypeVar("Test", bound=Callable[..., object])
COVERED: set[str] = set()


def covers(*actions: str) -> Callable[[Test], Test]:
    """Says which actions a test presses the keys of."""

    def remember(test: Test) -> Test:
        COVERED.update(actions)
        return test

    return remember
