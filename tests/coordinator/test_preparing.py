"""The service's tests are learned before there is an incident, so that nobody waits for them."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from selfheal_engine.config import Settings
from selfheal_engine.coordinator import investigation
from selfheal_engine.coordinator.job import Workplace
from selfheal_engine.coordinator.workers import PreparingProcess
from selfheal_engine.project import Project
from selfheal_engine.sandbox_validator import baselines, test_runs
from tests.coordinator.conftest import Bench


@pytest.mark.e2e
def test_what_the_tests_say_is_kept_for_the_first_incident(tmp_path: Path) -> None:
    root = tmp_path / "shop"
    root.mkdir()
    (root / "test_shop.py").write_text("def test_sum():\n    assert 1 + 1 == 2\n")
    settings = Settings(project=str(root), state_dir=str(tmp_path / "state"))
    tests = ("python", "-m", "pytest", "-q", "-p", "no:xdist")
    process = PreparingProcess(Workplace(str(root), sys.executable, tests, (), settings))
    deadline = time.monotonic() + 120
    while not process.ended():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    project = Project(root, sys.executable, tests)
    command = test_runs.command_of(project)
    assert command is not None
    kept = baselines.Kept(settings.state_path() / "baselines")
    known = kept.load(baselines.key(project, command))
    assert known is not None
    assert len(known.passing) == 1


def test_it_happens_once_while_all_is_well_and_ends_with_the_engine(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(investigation, "PREPARE_AFTER_S", 0.0)
    begun: list[PreparingProcess] = []

    class Spy(PreparingProcess):
        def __init__(self, workplace: Workplace) -> None:
            super().__init__(workplace)
            begun.append(self)

    monkeypatch.setattr(investigation, "PreparingProcess", Spy)
    for _ in range(3):
        bench.loop.investigations.advance(time.time())
    bench.loop.close()
    assert len(begun) == 1
    assert begun[0].ended()


def test_what_was_learned_by_the_first_of_two_runs_is_not_learned_again(tmp_path: Path) -> None:
    kept = baselines.Kept(tmp_path)
    run = test_runs.TestRun({"test_a.py::test": "passed"}, {}, 0.4, libraries=("json",))
    kept.save_first("tree", run)
    assert kept.load("tree") is None
    assert kept.load_first("tree") == run
    kept.save("tree", baselines.learn(run, run))
    assert kept.load_first("tree") is None
    known = kept.load("tree")
    assert known is not None
    assert known.passing == {"test_a.py::test"}


def test_a_first_run_that_proves_nothing_is_not_kept(tmp_path: Path) -> None:
    kept = baselines.Kept(tmp_path)
    kept.save_first("tree", test_runs.TestRun({}, {}, 0.4, fault="it died"))
    assert kept.load_first("tree") is None
