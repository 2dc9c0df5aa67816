"""Statistical process control of one metric: 3 sigma limits, persistence, small shifts.

A single point beyond 3 sigma only nominates: on seven metrics at 5 s that alone would be
some 320 false alarms a day. An alert wants `PERSISTENCE` (3 of the last 5 samples beyond),
which on independent normal samples happens once in 10^8; EWMA and CUSUM see the small
lasting shifts that never cross 3 sigma, and Nelson's rules are told for the reader.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from dataclasses import dataclass
from functools import cache
from itertools import islice

import numpy as np

PERSISTENCE = (3, 5)
RULE = "{} of {} samples beyond 3 sigma".format(*PERSISTENCE)
EWMA_WEIGHT, EWMA_WIDTH = 0.2, 3.0
CUSUM_SLACK, CUSUM_DECISION = 0.5, 5.0


@dataclass(frozen=True, slots=True)
class ChartPoint:
    """What the chart says of one sample; z is in sigmas from the centre, up is positive."""

    z: float
    nominated: bool
    """Beyond 3 sigma upwards, this once."""
    beyond: bool
    """The persistence rule holds."""
    below: bool
    """The persistence rule holds downwards."""
    shifted: bool
    """EWMA and CUSUM agree on a small lasting shift upwards."""
    level: float
    """EWMA of z, each sample bounded at 6 sigma: where the metric stands, noise taken out."""


class ControlChart:
    """Individuals chart with memory for the run rules, fed with z scores."""

    __slots__ = ("_cusum", "_ewma", "_recent", "_steps")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._recent: deque[float] = deque(maxlen=15)
        self._ewma = self._cusum = 0.0
        self._steps = 0

    def rule(self, point: ChartPoint | None) -> str:
        """The rule that fired on the newest sample, in words."""
        if point is None:
            return ""
        return describe_rule(tuple(self._recent), shifted=point.shifted, level=point.level)

    def update(self, z: float) -> ChartPoint:
        """One sample in; z may be anything finite."""
        self._recent.append(z)
        self._steps += 1
        bounded = min(max(z, -6.0), 6.0)
        self._ewma += EWMA_WEIGHT * (bounded - self._ewma)
        self._cusum = min(max(0.0, self._cusum + bounded - CUSUM_SLACK), 4 * CUSUM_DECISION)
        needed, window = PERSISTENCE
        above = below = 0
        for x in islice(reversed(self._recent), window):
            above += x > 3
            below += x < -3
        shifted = self._ewma > ewma_limit(self._steps) and self._cusum > CUSUM_DECISION
        return ChartPoint(z, z > 3, above >= needed, below >= needed, shifted, self._ewma)


def describe_rule(z: tuple[float, ...], *, shifted: bool, level: float) -> str:
    """The strongest rule that fired on the newest samples, in words; "" when none did."""
    needed, window = PERSISTENCE
    last = z[-window:]
    for sign, words in ((1, "beyond"), (-1, "below")):
        number = sum(sign * x > 3 for x in last)
        if number >= needed:
            return f"{number} of {len(last)} samples {words} 3 sigma"
    if shifted:
        return f"small lasting shift of about {level:.1f} sigma (EWMA and CUSUM)"
    return nelson_rule(z)


def ewma_limit(steps: int) -> float:
    """Upper EWMA limit in sigmas after `steps` samples (Lucas & Saccucci 1990)."""
    share = EWMA_WEIGHT / (2 - EWMA_WEIGHT)
    return EWMA_WIDTH * math.sqrt(share * (1 - (1 - EWMA_WEIGHT) ** (2 * min(steps, 50))))


def nelson_rule(z: tuple[float, ...]) -> str:
    """The first of Nelson's eight rules (J. Quality Technology, 1984) that `z` ends with."""
    if not z:
        return ""
    if abs(z[-1]) > 3:
        return "1 sample beyond 3 sigma"
    if len(z) >= 9 and (all(x > 0 for x in z[-9:]) or all(x < 0 for x in z[-9:])):
        return "9 samples on one side of the centre"
    if len(z) >= 6:
        steps = [b - a for a, b in zip(z[-6:], z[-5:], strict=False)]
        if all(s > 0 for s in steps) or all(s < 0 for s in steps):
            return "6 samples steadily rising or falling"
    if len(z) >= 14:
        steps = [b - a for a, b in zip(z[-14:], z[-13:], strict=False)]
        if all(a * b < 0 for a, b in itertools.pairwise(steps)):
            return "14 samples alternating up and down"
    for side in (1, -1):
        if len(z) >= 3 and sum(side * x > 2 for x in z[-3:]) >= 2:
            return "2 of 3 samples beyond 2 sigma"
        if len(z) >= 5 and sum(side * x > 1 for x in z[-5:]) >= 4:
            return "4 of 5 samples beyond 1 sigma"
    if len(z) >= 15 and all(abs(x) < 1 for x in z[-15:]):
        return "15 samples within 1 sigma"
    if len(z) >= 8 and all(abs(x) > 1 for x in z[-8:]):
        return "8 samples outside 1 sigma on both sides"
    return ""


@cache
def average_run_length(shift_sigma: float = 0.0) -> float:
    """Samples until the persistence rule fires, on independent normal samples.

    Markov chain over the last five crossings (Champ & Woodall, Technometrics 1987): states
    are the patterns with fewer than `needed` crossings, and the mean time to leave them
    solves (I - Q) t = 1.
    """
    needed, window = PERSISTENCE
    crossing = 0.5 * math.erfc((3.0 - shift_sigma) / math.sqrt(2.0))
    patterns = [p for p in range(2**window) if p.bit_count() < needed]
    place = {p: i for i, p in enumerate(patterns)}
    stay = np.zeros((len(patterns), len(patterns)))
    for pattern, row in place.items():
        for bit, chance in ((0, 1 - crossing), (1, crossing)):
            following = (pattern << 1 | bit) & (2**window - 1)
            if following in place:
                stay[row, place[following]] += chance
    times = np.linalg.solve(np.eye(len(patterns)) - stay, np.ones(len(patterns)))
    return float(times[place[0]])
