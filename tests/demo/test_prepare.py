"""A prepared case looks like anybody's project."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from selfheal_engine.errors import SelfhealError
from selfheal_engine.model import STRATEGIES
from selfheal_tui.demo.cases import CASES, all_cases, find_case
from selfheal_tui.demo.prepare import free_ports, prepare


def git(project: Path, *words: str) -> list[str]:
    done = subprocess.run(["git", *words], cwd=project, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_the_bundled_cases_cover_an_exception_a_feed_a_leak_and_a_stall():
    assert {case.strategy for case in CASES} == {
        "null_check",
        "error_handling",
        "memory_leak_fix",
        "timeout_guard",
    }


def test_case_names_are_unique_and_their_strategies_known():
    names = [case.name for case in all_cases()]
    assert len(names) == len(set(names))
    assert all(case.strategy in STRATEGIES for case in all_cases())


def test_an_unknown_case_is_answered_with_the_known_ones():
    with pytest.raises(SelfhealError, match=r"no demo called 'chekout'.*checkout"):
        find_case("chekout")


def test_the_project_is_a_clean_repository_with_a_history(lay_out):
    project = lay_out("checkout").project
    assert git(project, "status", "--porcelain") == []
    assert len(git(project, "log", "--format=%h")) == 6
    assert len(set(git(project, "log", "--format=%an"))) == 3


def test_the_last_commit_is_the_release_that_brought_the_guests(lay_out):
    project = lay_out("checkout").project
    assert git(project, "show", "--format=", "--name-only", "HEAD") == ["shop/customers.py"]
    blamed = git(project, "blame", "-s", "shop/customers.py")
    newest = git(project, "log", "-1", "--format=%h")[0]
    assert any(line.startswith(newest[:7]) and "guest" in line for line in blamed)


def test_every_revision_of_the_history_is_valid_python(lay_out):
    project = lay_out("checkout").project
    for commit in git(project, "log", "--format=%h"):
        for file in git(project, "ls-tree", "-r", "--name-only", commit):
            if file.endswith(".py"):
                compile("\n".join(git(project, "show", f"{commit}:{file}")), file, "exec")


def test_the_users_own_git_settings_change_nothing(lay_out, monkeypatch, tmp_path):
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
    (hooks / "pre-commit").chmod(0o755)
    settings = tmp_path / "gitconfig"
    settings.write_text(f"[core]\nhooksPath = {hooks}\n[commit]\ngpgsign = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    assert lay_out("related").project.is_dir()


def test_a_folder_that_holds_the_project_already_is_refused(tmp_path):
    prepare(find_case("checkout"), tmp_path)
    with pytest.raises(SelfhealError, match="is there already"):
        prepare(find_case("checkout"), tmp_path)


def test_nothing_is_left_to_fill_in(lay_out):
    for case in CASES:
        prepared = lay_out(case.name)
        words = [*prepared.command, prepared.tests, *prepared.traffic_command]
        words += prepared.env.values()
        assert not [word for word in words if "{" in word or "}" in word]


def test_free_ports_differ():
    assert len(set(free_ports(5))) == 5


def test_a_bug_that_a_newer_python_does_not_have_is_not_played():
    relay = next(case for case in all_cases() if case.name == "line-relay")
    assert relay.python_below == (3, 12)
    assert replace(relay, python_below=(3, 99)).shows
    assert not replace(relay, python_below=(3, 0)).shows
