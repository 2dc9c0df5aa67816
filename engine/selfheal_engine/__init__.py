"""The engine: sees a service fail, works out why, writes and proves patches, heals.

`SelfHealingCoordinator` is the way in for programs; `selfheal_engine.model` is the vocabulary.
Imported lazily, so that `import selfheal_engine.model` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selfheal_engine.coordinator import SelfHealingCoordinator

__all__ = ["SelfHealingCoordinator"]


def __getattr__(name: str) -> object:
    if name == "SelfHealingCoordinator":
        from selfheal_engine.coordinator import SelfHealingCoordinator

        return SelfHealingCoordinator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
