"""The zoo is an honest judge: hidden tests tell correct from masking from wrong patches."""

from __future__ import annotations

import tomllib

import pytest

from selfheal_engine.model import STRATEGIES
from selfheal_tui.demo.cases import Case, all_cases
from tests.zoo.judge import copy_of, judge_diff, judge_tree

ZOO = [case for case in all_cases() if not case.bundled]
SELF_TEST_PATIENCE_S = "5"
"""The true patches give up within 4 s; others may choose longer, and the judge waits longer."""

each_case = pytest.mark.parametrize("case", ZOO, ids=lambda case: case.name)


@pytest.fixture(autouse=True)
def short_patience(monkeypatch):
    monkeypatch.setenv("ZOO_PATIENCE_S", SELF_TEST_PATIENCE_S)


def test_there_are_three_services_for_every_strategy():
    counts = {name: sum(case.strategy == name for case in ZOO) for name in STRATEGIES}
    assert all(count >= 3 for count in counts.values()), counts


def test_the_services_differ_in_their_frameworks():
    assert {case.framework for case in ZOO} >= {"flask", "wsgi", "http.server", "asyncio"}


@each_case
def test_the_truth_names_a_function_that_is_there(case: Case):
    source = (case.service / case.truth.file).read_text(encoding="utf-8")
    assert case.truth.bug_type == case.strategy
    names = [name.rsplit(".", 1)[-1] for name in case.truth.functions]
    assert "<module>" in names or any(f"def {name}(" in source for name in names)
    assert len(list((case.folder / "wrong").glob("*.diff"))) >= 2
    described = tomllib.loads((case.folder / "truth.toml").read_text(encoding="utf-8"))
    assert described["story"]


@pytest.mark.e2e
@each_case
def test_the_own_tests_pass_on_the_buggy_service_and_the_hidden_ones_do_not(case: Case):
    if not case.shows:
        pytest.skip("this Python does not have what the bug needs")
    with copy_of(case) as tree:
        outcome = judge_tree(case, tree)
    assert outcome.own
    assert not outcome.symptom


@pytest.mark.e2e
@each_case
def test_the_true_patch_is_judged_correct(case: Case):
    outcome = judge_diff(case, (case.folder / "truth.diff").read_text(encoding="utf-8"))
    assert outcome.label == "correct", outcome.failed


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("case", "name"),
    [(case, diff.stem) for case in ZOO for diff in sorted((case.folder / "wrong").glob("*.diff"))],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_a_wrong_or_masking_patch_is_not_judged_correct(case: Case, name: str):
    diff = (case.folder / "wrong" / f"{name}.diff").read_text(encoding="utf-8")
    assert judge_diff(case, diff).label in ("masking", "wrong")
