"""Statistical fault localization: which lines do failing tests reach and passing ones not?

Ochiai (Abreu, Zoeteweij and van Gemund, 2007) and DStar with its usual exponent 2 (Wong, Debroy,
Gao and Li, 2014), over per-test line coverage.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class TestSpectrum:
    """What one test reached: {file: lines}."""

    __test__ = False

    name: str
    failed: bool
    lines: Mapping[str, frozenset[int]]


Scores = dict[str, dict[int, float]]


def ochiai(tests: Iterable[TestSpectrum]) -> Scores:
    """failed(s) / sqrt(all failed x all that reach s), in [0, 1]."""
    counts, failing = _counts(tests)
    return {
        file: {
            line: bad / math.sqrt(failing * (bad + good)) if bad else 0.0
            for line, (bad, good) in lines.items()
        }
        for file, lines in counts.items()
    }


def dstar(tests: Iterable[TestSpectrum], exponent: int = 2) -> Scores:
    """failed(s)^e / (passed(s) + failed not reaching s), scaled to [0, 1] by the highest."""
    counts, failing = _counts(tests)
    raw: Scores = {}
    for file, lines in counts.items():
        raw[file] = {}
        for line, (bad, good) in lines.items():
            # a line that only failing tests reach would divide by zero
            raw[file][line] = bad**exponent / max(0.5, good + failing - bad)
    highest = max((s for lines in raw.values() for s in lines.values()), default=0.0) or 1.0
    return {file: {n: s / highest for n, s in lines.items()} for file, lines in raw.items()}


def suspicion(tests: Iterable[TestSpectrum]) -> Scores:
    """Both measures together: Ochiai's order, sharpened where DStar agrees."""
    known = list(tests)
    first, second = ochiai(known), dstar(known)
    return {
        file: {line: 0.7 * score + 0.3 * second[file][line] for line, score in lines.items()}
        for file, lines in first.items()
    }


def _counts(tests: Iterable[TestSpectrum]) -> tuple[dict[str, dict[int, tuple[int, int]]], int]:
    found: dict[str, dict[int, tuple[int, int]]] = {}
    failing = 0
    for test in tests:
        failing += test.failed
        for file, lines in test.lines.items():
            for line in lines:
                bad, good = found.setdefault(file, {}).get(line, (0, 0))
                found[file][line] = (bad + test.failed, good + (not test.failed))
    return found, failing
