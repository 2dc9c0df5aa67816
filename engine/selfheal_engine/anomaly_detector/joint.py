"""The sample's anomaly_score: several strengths, each made rare or not by its own past.

Strengths: the joint strangeness of the row (many_metrics.py), the isolation forest's score,
and the votes for a range record of each metric (one_metric.py). Each becomes -log10 of its
tail probability; the score rests on the mean of the two rarest, so that no single view
decides alone. Metrics are named by what they added to the row's strangeness.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from selfheal_engine.anomaly_detector.features import (
    FEATURES,
    FOREST_COLUMNS,
    SCORED,
    FeatureRows,
)
from selfheal_engine.anomaly_detector.forest import Forest
from selfheal_engine.anomaly_detector.forest_fitting import ForestFitter
from selfheal_engine.anomaly_detector.many_metrics import Multivariate
from selfheal_engine.anomaly_detector.one_metric import Univariate
from selfheal_engine.anomaly_detector.tail import Tail
from selfheal_engine.model import Sample

Floats = npt.NDArray[np.float64]

ORDINARY, FULL = 1.0, 4.0
"""-log10 of the tail probability at which the score is 0 and 1: 1 in 10, and 1 in ten thousand."""
KEPT_ROWS, EVERY = 4096, 2
"""The forest learns from the newest rows, every second one: 11 hours at 5 s."""
FIRST_FIT, FIT_EVERY_S = 300, 1200.0
PARTS = ("joint", "forest", "records")


class JointScore:
    """`update(sample, learning)` -> (score, names of the metrics that lead)."""

    def __init__(self, off: frozenset[str] = frozenset()) -> None:
        """`off` leaves out some of PARTS, for measuring what each is worth."""
        self._parts = tuple(p for p in PARTS if p not in off)
        self._rows = FeatureRows()
        self._joint = Multivariate(len(FEATURES))
        self._single = tuple(Univariate() for _ in SCORED)
        self._tails = {part: Tail(2000, 100) for part in self._parts}
        self._forest: Forest | None = None
        self._fitter = ForestFitter()
        self._kept: Floats = np.zeros((KEPT_ROWS, FOREST_COLUMNS), np.float64)
        self._seen = self._learned = 0
        self._fitted_s = float("-inf")
        self.rarity = 0.0
        """-log10 of the newest sample's tail probability."""

    def update(self, sample: Sample, *, learning: bool) -> tuple[float, tuple[str, ...]]:
        row = self._rows.row(sample)
        strengths: dict[str, float] = {}
        self._joint.update(sample.time_s, row)
        strengths["joint"] = self._joint.strength
        forest_row = self._rows.forest_row(row)
        if self._forest is not None:
            strengths["forest"] = self._forest.score(forest_row)
        if "records" in self._parts:
            votes = 0.0
            for place, single in enumerate(self._single):
                single.update(sample.time_s, float(row[place]))
                votes += single.votes
            strengths["records"] = votes
        self._learn(sample.time_s, forest_row, learning=learning)
        rarities = []
        for part in self._parts:
            strength = strengths.get(part)
            if strength is not None:
                tail = self._tails[part]
                rarities.append(max(0.0, tail.rarity(strength)))
                if learning:
                    tail.learn(strength)
        rarities.sort(reverse=True)
        self.rarity = sum(rarities[:2]) / len(rarities[:2]) if rarities else 0.0
        score = min(max((self.rarity - ORDINARY) / (FULL - ORDINARY), 0.0), 1.0)
        order = np.argsort(self._joint.shares)[::-1][:3]
        return score, tuple(FEATURES[i] for i in order if self._joint.shares[i] > 4.0)

    def close(self) -> None:
        self._fitter.close()

    def _learn(self, now_s: float, row: Floats, *, learning: bool) -> None:
        self._seen += 1
        if learning and self._seen % EVERY == 0:
            self._kept[self._learned % KEPT_ROWS] = row
            self._learned += 1
        if "forest" not in self._parts:
            return
        if self._fitter.busy:
            self._forest = self._fitter.poll() or self._forest
        elif self._learned >= FIRST_FIT / EVERY and now_s - self._fitted_s >= FIT_EVERY_S:
            self._fitted_s = now_s
            self._fitter.start(self._kept[: min(self._learned, KEPT_ROWS)])
