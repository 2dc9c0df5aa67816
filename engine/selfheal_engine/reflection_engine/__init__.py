"""Reads a plausible patch as a strict maintainer would and says what is wrong with it in words."""

from selfheal_engine.reflection_engine.review import review

__all__ = ["review"]
