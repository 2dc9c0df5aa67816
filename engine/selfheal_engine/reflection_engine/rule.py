"""What a rule is: a sentence to say, a weight, and examples that prove it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from selfheal_engine.reflection_engine.change import Change

Finding = tuple[int, str]
"""(line in the new text, sentence for the person)."""
Example = tuple[str, str]
"""(text before, text after)."""


class Rule(Protocol):
    """One thing a strict maintainer would object to. Weights run from 0 (taste) to 2 (wrong)."""

    @property
    def name(self) -> str: ...
    @property
    def weight(self) -> float: ...
    @property
    def VALID(self) -> tuple[Example, ...]:  # noqa: N802 - a constant of the class
        """Patches that the rule accepts."""

    @property
    def INVALID(self) -> tuple[Example, ...]:  # noqa: N802 - a constant of the class
        """Patches that it objects to."""

    def findings(self, change: Change) -> Iterator[Finding]:
        """What it has to say of one changed file."""
        ...
