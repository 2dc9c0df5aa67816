"""An isolation forest as flat numpy arrays: scores one row in well under 0.1 ms.

Trees are fitted elsewhere (forest_fitting.py, in a child process, so that the engine never
imports scikit-learn: 130 MB and, for one row, 6-24 ms). What comes back is every tree's nodes
in one array; a row walks all trees at once, a level a step. Scores equal
`IsolationForest.score_samples` up to the sign and rounding in the last place (Liu, Ting & Zhou,
"Isolation Forest", ICDM 2008).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Forest:
    """Nodes of all trees; a leaf is its own left and right child."""

    roots: Places
    left: Places
    right: Places
    feature: Places
    threshold: Floats
    path: Floats
    """At a leaf: depth plus the expected further path of the rows that ended there."""
    depth: int
    """Steps after which every walk has reached its leaf."""
    normal_path: float
    """Expected path of a row in a tree of the sample's size: c(n) of the paper."""

    def score(self, row: npt.ArrayLike) -> float:
        """In (0, 1]: near 1 isolated at once, 0.5 as deep as chance, below ordinary."""
        # the trees were grown on float32, and the comparison must be the same
        values = np.asarray(row, np.float32).astype(np.float64)
        node = self.roots
        for _ in range(self.depth):
            left = values[self.feature[node]] <= self.threshold[node]
            node = np.where(left, self.left[node], self.right[node])
        return float(2.0 ** (-self.path[node].mean() / self.normal_path))

    @property
    def size_bytes(self) -> int:
        arrays = (self.roots, self.left, self.right, self.feature, self.threshold, self.path)
        return sum(a.nbytes for a in arrays)


def save_forest(path: Path, forest: Forest) -> None:
    """Writes the arrays that `load_forest` reads."""
    with path.open("wb") as file:
        np.savez(
            file,
            roots=forest.roots,
            left=forest.left,
            right=forest.right,
            feature=forest.feature,
            threshold=forest.threshold,
            path=forest.path,
            shape=np.array([forest.depth, forest.normal_path]),
        )


def load_forest(path: Path) -> Forest:
    """Raises OSError, KeyError or ValueError for anything but a whole forest."""
    with np.load(path, allow_pickle=False) as kept:
        depth, normal_path = kept["shape"]
        return Forest(
            roots=kept["roots"],
            left=kept["left"],
            right=kept["right"],
            feature=kept["feature"],
            threshold=kept["threshold"],
            path=kept["path"],
            depth=int(depth),
            normal_path=float(normal_path),
        )


def expected_path(rows: npt.ArrayLike) -> Floats:
    """c(n): mean path of an unsuccessful search in a binary tree of n rows (eq. 1 of the paper)."""
    n = np.asarray(rows, np.float64)
    harmonic = np.log(np.maximum(n - 1.0, 1.0)) + np.euler_gamma
    path = 2.0 * harmonic - 2.0 * (n - 1.0) / np.maximum(n, 1.0)
    return np.where(n <= 1, 0.0, np.where(n == 2, 1.0, path))
