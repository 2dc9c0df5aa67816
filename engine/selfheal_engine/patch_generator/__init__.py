"""Search and ranking of patches; `strategies` holds the templates."""

from selfheal_engine.patch_generator.generator import PatchGenerator

__all__ = ["PatchGenerator"]
