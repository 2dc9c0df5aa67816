"""The isolation forest: fitted elsewhere, scored here, equal to the library's."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from selfheal_engine.anomaly_detector.forest import Forest, load_forest, save_forest
from selfheal_engine.anomaly_detector.forest_fitting import ROWS_A_TREE, TREES, ForestFitter, fit


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(800, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def forest(rows: np.ndarray) -> Forest:
    return fit(rows)


def finished(fitter: ForestFitter, most_s: float = 60.0) -> Forest | None:
    until = time.monotonic() + most_s
    while fitter.busy and time.monotonic() < until:
        forest = fitter.poll()
        if forest is not None:
            return forest
        time.sleep(0.02)
    return None


def test_flat_arrays_score_as_the_library_does(rows: np.ndarray, forest: Forest) -> None:
    from sklearn.ensemble import IsolationForest

    model = IsolationForest(n_estimators=TREES, max_samples=ROWS_A_TREE, random_state=0).fit(rows)
    probes = np.random.default_rng(2).normal(0, 3, (200, 6))
    expected = -model.score_samples(probes)
    ours = np.array([forest.score(row) for row in probes])
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)


def test_a_far_row_is_isolated_sooner(forest: Forest) -> None:
    assert forest.score(np.full(6, 8.0)) > 0.6 > forest.score(np.zeros(6))


def test_a_forest_can_be_kept_and_read_again(forest: Forest, tmp_path: Path) -> None:
    save_forest(tmp_path / "forest.npz", forest)
    again = load_forest(tmp_path / "forest.npz")
    assert again.score(np.ones(6)) == forest.score(np.ones(6))
    assert forest.size_bytes < 2**20


def test_a_child_fits_the_forest_and_leaves_nothing_behind(rows: np.ndarray) -> None:
    fitter = ForestFitter()
    fitter.start(rows.astype(float))
    folder = fitter._folder
    assert folder is not None
    assert fitter.busy
    forest = finished(fitter)
    assert forest is not None
    assert 0 < forest.score(np.zeros(6)) < 1
    assert not fitter.busy
    assert not folder.exists()


def test_a_child_that_fails_is_counted_and_forgotten() -> None:
    fitter = ForestFitter()
    fitter.start(np.empty((0, 3)))
    assert finished(fitter) is None
    assert (fitter.busy, fitter.failures) == (False, 1)


def test_closing_ends_the_child(rows: np.ndarray) -> None:
    fitter = ForestFitter()
    fitter.start(rows.astype(float))
    child = fitter._child
    assert child is not None
    fitter.close()
    assert child.returncode is not None
    assert not fitter.busy


def test_the_engine_s_own_process_imports_numpy_and_no_learning_library() -> None:
    script = (
        "import sys, time\n"
        "import numpy as np\n"
        "from selfheal_engine.anomaly_detector import AnomalyDetector, IncidentTracker\n"
        "from selfheal_engine.config import Settings\n"
        "from selfheal_engine.health_monitor import HealthMonitor\n"
        "from selfheal_engine.model import Reading, Sample\n"
        "monitor, detector = HealthMonitor(Settings()), AnomalyDetector(Settings())\n"
        "rng = np.random.default_rng(1)\n"
        "forest = lambda: detector._joint._forest\n"
        "row, until = 0, time.monotonic() + 60\n"
        "while forest() is None and time.monotonic() < until:\n"
        "    readings = {n: Reading(float(v)) for n, v in zip(\n"
        "        ('cpu_usage', 'memory_usage', 'response_time'), rng.normal(100, 5, 3))}\n"
        "    sample = Sample(1e9 + 5 * row, 5.0, readings, {'requests': 100.0})\n"
        "    monitor.ingest(sample, in_incident=False)\n"
        "    detector.ingest(sample, False)\n"
        "    row += 1\n"
        "    time.sleep(0.0005 if row > 310 else 0)\n"
        "detector.close()\n"
        "assert forest() is not None, 'no forest came back'\n"
        "print([m for m in ('sklearn', 'scipy', 'joblib', 'textual') if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "[]", done.stderr
