"""Every rule proves itself on its own examples."""

from __future__ import annotations

import pytest

from selfheal_engine.reflection_engine.change import Change
from selfheal_engine.reflection_engine.rule import Rule
from selfheal_engine.reflection_engine.rules import RULES

ACCEPTED = [(rule, *pair) for rule in RULES for pair in rule.VALID]
REFUSED = [(rule, *pair) for rule in RULES for pair in rule.INVALID]


def name_of(value: object) -> str:
    return getattr(value, "name", "")


def spoken(rule: Rule, before: str, after: str) -> list[tuple[int, str]]:
    return list(rule.findings(Change.of(before.encode(), after.encode())))


@pytest.mark.parametrize(("rule", "before", "after"), ACCEPTED, ids=name_of)
def test_a_rule_accepts_its_good_examples(rule: Rule, before: str, after: str) -> None:
    assert spoken(rule, before, after) == []


@pytest.mark.parametrize(("rule", "before", "after"), REFUSED, ids=name_of)
def test_a_rule_objects_to_its_bad_examples(rule: Rule, before: str, after: str) -> None:
    findings = spoken(rule, before, after)
    assert findings
    for line, text in findings:
        assert 1 <= line <= len(after.splitlines())
        assert text


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_a_rule_is_silent_where_nothing_changed(rule: Rule) -> None:
    for before, after in (*rule.VALID, *rule.INVALID):
        assert spoken(rule, after, after) == []
        assert spoken(rule, before, before) == []


def test_every_rule_has_examples_of_both_kinds_and_a_name_of_its_own() -> None:
    assert all(rule.VALID and rule.INVALID for rule in RULES)
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(0 < rule.weight <= 2 for rule in RULES)
