"""Where samples and occurrences come from: the probe, /proc and what services already speak."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfheal_engine.sources.service import ServiceSource, open_source

__all__ = ["ServiceSource", "open_source"]


def __getattr__(name: str) -> Any:
    """Load the sources with the first one that is opened: finding services needs none."""
    if name in __all__:
        from selfheal_engine.sources import service

        return getattr(service, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
