"""A deploy is new source in new processes; a restart is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from selfheal_engine.sources import deploys
from selfheal_engine.sources.deploys import Deploys, source_print


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "cart.py").write_text("price = 1\n")
    (tmp_path / "notes.txt").write_text("hello\n")
    return tmp_path


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploys, "LOOK_EVERY_S", 0.0)


def change(project: Path) -> None:
    path = project / "shop" / "cart.py"
    path.write_text("price = 22\n")
    os.utime(path, (1e9, 1e9))


def test_the_same_source_in_new_processes_is_a_restart(project: Path) -> None:
    seen = Deploys(project)
    assert [seen.update({1, 2}), seen.update({3, 4}), seen.update({5})] == [0, 0, 0]


def test_new_source_counts_once_new_processes_run_it(project: Path) -> None:
    seen = Deploys(project)
    seen.update({1, 2})
    change(project)
    assert seen.update({1, 2}) == 0
    assert seen.update({1, 3}) == 1
    assert seen.update({4, 3}) == 1


def test_a_burst_of_new_processes_is_looked_at_once_the_pause_is_over(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Deploys(project)
    seen.update({1})
    change(project)
    monkeypatch.setattr(deploys, "LOOK_EVERY_S", 1e9)
    assert seen.update({2}) == 0
    monkeypatch.setattr(deploys, "LOOK_EVERY_S", 0.0)
    assert seen.update({2}) == 1


def test_only_the_projects_own_python_files_count(project: Path) -> None:
    before = source_print(project)
    for place in (".git", "__pycache__", "venv"):
        (project / place).mkdir()
        (project / place / "x.py").write_text("")
    (project / "notes.txt").write_text("changed\n")
    assert source_print(project) == before
    assert source_print(project / "missing") == (0, 0)
