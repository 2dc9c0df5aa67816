"""Ochiai and DStar by hand-made spectra, against values computed by hand."""

from __future__ import annotations

import math

from selfheal_engine.diagnosis.spectrum import TestSpectrum, dstar, ochiai, suspicion

TESTS = [
    TestSpectrum("bad", True, {"m.py": frozenset({1, 2, 3})}),
    TestSpectrum("good1", False, {"m.py": frozenset({1, 2})}),
    TestSpectrum("good2", False, {"m.py": frozenset({1})}),
]


def test_ochiai_is_failed_over_the_root_of_all_failed_times_all_that_reach() -> None:
    scores = ochiai(TESTS)["m.py"]
    assert scores[3] == 1.0
    assert math.isclose(scores[2], 1 / math.sqrt(2))
    assert math.isclose(scores[1], 1 / math.sqrt(3))


def test_dstar_orders_lines_alike_and_tops_at_one() -> None:
    scores = dstar(TESTS)["m.py"]
    assert scores[3] == 1.0
    assert scores[3] > scores[2] > scores[1] > 0


def test_lines_that_only_passing_tests_reach_are_not_suspected() -> None:
    tests = [*TESTS, TestSpectrum("good3", False, {"m.py": frozenset({9})})]
    assert suspicion(tests)["m.py"][9] == 0.0
