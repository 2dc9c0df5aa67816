"""What is wrong, where and why: fingerprints, bug types, suspects and reproducers."""

from selfheal_engine.diagnosis.diagnosing import diagnose
from selfheal_engine.diagnosis.regression import regression_test

__all__ = ["diagnose", "regression_test"]
