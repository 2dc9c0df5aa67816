"""Fitting the isolation forest in a child process: short-lived, niced, never waited for.

    python -m selfheal_engine.anomaly_detector.forest_fitting ROWS.npy FOREST.npz

The parent writes the rows, starts the child, and looks in now and then; scikit-learn is
imported in the child alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from selfheal_engine.anomaly_detector.forest import Forest, expected_path, load_forest, save_forest

TREES, ROWS_A_TREE = 64, 256
NICE = 15
MOST_S = 120.0
"""A child that takes longer is ended: the machine has no time for it now."""


class ForestFitter:
    """At most one child at a time; `poll` hands its forest over once."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._began_s = 0.0
        self.failures = 0

    @property
    def busy(self) -> bool:
        return self._child is not None

    def start(self, rows: npt.NDArray[np.float64]) -> None:
        """Starts fitting these rows; does nothing while a child is at work."""
        if self._child is not None:
            return
        self._folder = Path(tempfile.mkdtemp(prefix="selfheal-forest-"))
        np.save(self._folder / "rows.npy", rows.astype(np.float32))
        self._began_s = time.monotonic()
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._child = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "selfheal_engine.anomaly_detector.forest_fitting",
                str(self._folder / "rows.npy"),
                str(self._folder / "forest.npz"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )

    def poll(self) -> Forest | None:
        """The finished forest, once; None while there is none."""
        if self._child is None or self._folder is None:
            return None
        code = self._child.poll()
        if code is None:
            if time.monotonic() - self._began_s > MOST_S:
                self.close()
                self.failures += 1
            return None
        forest = None
        if code == 0:
            try:
                forest = load_forest(self._folder / "forest.npz")
            except (OSError, KeyError, ValueError, zipfile.BadZipFile):
                forest = None
        self.failures += forest is None
        self._clean()
        return forest

    def close(self) -> None:
        """Ends the child, if there is one, and removes its files."""
        if self._child is not None and self._child.poll() is None:
            self._child.kill()
            self._child.wait()
        self._clean()

    def _clean(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._child = self._folder = None


def fit(rows: npt.NDArray[np.float32], seed: int = 0) -> Forest:
    """Fits the forest here and now, with scikit-learn."""
    from sklearn.ensemble import IsolationForest

    model = IsolationForest(
        n_estimators=TREES, max_samples=min(ROWS_A_TREE, len(rows)), random_state=seed
    ).fit(rows)
    roots, left, right, feature, threshold, path = [], [], [], [], [], []
    first = deepest = 0
    for estimator in model.estimators_:
        tree = estimator.tree_
        places = np.arange(tree.node_count, dtype=np.int32)
        leaf = tree.children_left < 0
        roots.append(first)
        left.append(np.where(leaf, places, tree.children_left) + first)
        right.append(np.where(leaf, places, tree.children_right) + first)
        feature.append(np.where(leaf, 0, tree.feature))
        threshold.append(np.where(leaf, 0.0, tree.threshold))
        depth = np.zeros(tree.node_count)
        for node in places[~leaf]:  # parents come before their children
            depth[tree.children_left[node]] = depth[tree.children_right[node]] = depth[node] + 1
        deepest = max(deepest, int(depth.max()))
        path.append(depth + expected_path(tree.n_node_samples))
        first += tree.node_count
    return Forest(
        np.array(roots, np.int32),
        np.concatenate(left).astype(np.int32),
        np.concatenate(right).astype(np.int32),
        np.concatenate(feature).astype(np.int32),
        np.concatenate(threshold),
        np.concatenate(path),
        depth=deepest,
        normal_path=float(expected_path(model.max_samples_)),
    )


def main(rows_file: str, forest_file: str) -> None:
    os.nice(NICE)
    save_forest(Path(forest_file), fit(np.load(rows_file, allow_pickle=False)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
