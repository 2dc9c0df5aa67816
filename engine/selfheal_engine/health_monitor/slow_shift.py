"""Small lasting shifts: an average over a few minutes sees what no few samples show.

The answers of a service that sees little traffic scatter by their own factor of three, so that
answers three times as slow never stand beyond 3 sigma. Their average over some twenty subgroups
scatters a fifth as much. This is the EWMA chart of Roberts (Technometrics 1959) with a small
weight, its limit taken from its own past as everywhere here. What it says counts only when the
shift itself, noise taken out, is large enough to be felt.
"""

from __future__ import annotations

from selfheal_engine.health_monitor.usual_peaks import UsualPeaks

WEIGHT = 0.05
NARROWER = 0.5
"""Its scatter against that of the chart's level: sqrt(w / (2 - w)), for weights 0.05 and 0.2."""
LEAST_FACTOR = 2.0
"""Smallest factor over the centre that counts; nightly jobs slow answers by less."""


class SlowShift:
    """`update` with each subgroup's z, `level` in sigmas."""

    __slots__ = ("level", "peaks")

    def __init__(self) -> None:
        self.peaks = UsualPeaks(NARROWER)
        self.level = 0.0

    def reset(self) -> None:
        self.level = 0.0

    def update(self, z: float) -> None:
        self.level += WEIGHT * (min(max(z, -6.0), 6.0) - self.level)

    @property
    def doubtful(self) -> bool:
        """On its way there."""
        return self.level >= 0.5 * self.peaks.limit

    @property
    def standing(self) -> bool:
        """Higher than it ever gets."""
        return self.level >= self.peaks.limit
