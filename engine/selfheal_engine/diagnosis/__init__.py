"""What is wrong, where and why: fingerprints, bug types, suspects and reproducers."""

from selfheal_engine.diagnosis.diagnosing import diagnose

__all__ = ["diagnose"]
