"""Neighbours of the recorded input and mutants of the changed lines: how far a patch reaches."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfheal_engine.model import Candidate, Verdict
from selfheal_engine.sandbox_validator import hardening
from selfheal_engine.sandbox_validator.inside import variation
from tests.sandbox_validator.conftest import FIX, ORDERS, Shop, check

leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=4)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.lists(trees, max_size=3))
def test_a_neighbour_differs_in_one_place_and_leaves_the_original_alone(args: list[object]) -> None:
    value = [args, {}]
    before = repr(value)
    for path, new in variation.changes(value):
        assert repr(variation.changed(value, path, new)) != before
        assert repr(value) == before
    names = [variation.named(path, new) for path, new in variation.changes(value)]
    assert len(set(names)) == len(names) <= variation.NEIGHBOURS_AT_MOST


HARMFUL = (
    FIX[0],
    FIX[1].replace('return ""', 'return ""\n    if not address:\n        raise KeyError("empty")'),
)
"""Mends the recorded order and refuses an empty address, which was fine before."""


@pytest.fixture(scope="module")
def verdicts(shop: Shop) -> dict[str, Verdict]:
    made = [shop.fixed()]
    made.append(shop.candidate(ORDERS.replace(*HARMFUL), name="harmful"))
    return {verdict.candidate: verdict for verdict in shop.judge(*made)}


def test_a_patch_that_breaks_a_neighbour_is_told_and_scored_lower(
    verdicts: dict[str, Verdict],
) -> None:
    assert check(verdicts["fixed"], "neighbours").status == "passed"
    told = check(verdicts["harmful"], "neighbours")
    assert told.status == "failed"
    assert "went well before" in told.text
    assert (verdicts["harmful"].safety or 0) < (verdicts["fixed"].safety or 0)


def test_mutants_of_the_changed_lines_are_noticed(verdicts: dict[str, Verdict]) -> None:
    told = check(verdicts["fixed"], "hardening")
    assert told.status == "passed"
    assert told.n > 0


def test_mutants_stay_on_the_changed_lines_and_parse(shop: Shop) -> None:
    fixed: Candidate = shop.fixed()
    text = dict(fixed.files)["orders.py"].decode()
    line = text.splitlines().index("    if address is None:") + 1
    found = list(hardening.mutants(fixed, {"orders.py": [line]}))
    assert 0 < len(found) <= hardening.MUTANTS_AT_MOST
    for mutant in found:
        changed = mutant.files["orders.py"].decode()
        ast.parse(changed)
        assert changed != text
        assert f"orders.py:{line} " in mutant.text


def test_what_is_told_to_a_log_is_left_alone(shop: Shop) -> None:
    told = shop.candidate("import logging\n\nlogging.info('skipped %d of %d', 1 + 2, 4)\n")
    assert list(hardening.mutants(told, {"orders.py": [3]})) == []


def test_code_that_is_only_indented_is_not_the_patchs_own(shop: Shop) -> None:
    line = '    street = order["address"].strip()\n'
    assert line in ORDERS
    tried = f"    try:\n    {line}    except AttributeError:\n        return 7\n"
    patch = shop.candidate(ORDERS.replace(line, tried))
    numbers = [
        n for n, text in enumerate(patch.files[0][1].decode().splitlines(), 1) if "7" in text
    ]
    every = list(range(1, 40))
    places = {
        mutant.text.split()[0] for mutant in hardening.mutants(patch, {"orders.py": every[:9]})
    }
    assert f"orders.py:{numbers[0] - 2}" not in places
    assert f"orders.py:{numbers[0]}" in places


def test_few_survivors_pass_and_many_do_not() -> None:
    assert hardening.check(0, []) is None
    passed, failed = hardening.check(3, ["a"]), hardening.check(1, ["a", "b"])
    assert passed is not None
    assert failed is not None
    assert (passed.status, failed.status) == ("passed", "failed")
