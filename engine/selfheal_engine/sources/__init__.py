"""Where samples and occurrences come from: the probe, /proc and what services already speak."""

from selfheal_engine.sources.service import ServiceSource, open_source

__all__ = ["ServiceSource", "open_source"]
