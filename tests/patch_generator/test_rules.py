"""Every template's examples hold: what it makes of them, and where it must not fire."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from playing import occurrence_of, project_of

from selfheal_engine.config import Settings
from selfheal_engine.diagnosis import diagnose
from selfheal_engine.patch_generator import PatchGenerator
from selfheal_engine.patch_generator.rules import Example, Rule
from selfheal_engine.patch_generator.strategies import all_rules

CASES = [
    pytest.param(rule, example, id=f"{rule.strategy}-{rule.name}-{number}")
    for rule in all_rules()
    for number, example in enumerate(rule.examples, 1)
]


def made_by(rule: Rule, example: Example, folder: Path) -> list[str]:
    """The new texts of the example's module (and further files) that the rule makes."""
    project = project_of(example, folder)
    occurrence = occurrence_of(example, folder)
    diagnosis = diagnose(occurrence, project)
    generator = PatchGenerator(project, Settings())
    return [
        "\n".join(content.decode() for _, content in candidate.files)
        for candidate in generator.generate(occurrence, diagnosis, 200)
        if candidate.template == rule.name and candidate.strategy == rule.strategy
    ]


@pytest.mark.parametrize(("rule", "example"), CASES)
def test_a_template_does_what_its_examples_say(
    rule: Rule, example: Example, tmp_path: Path
) -> None:
    made = made_by(rule, example, tmp_path)
    if example.after:
        assert example.after in made, "\n=====\n".join(made) or "the rule made nothing"
    else:
        assert made == []


def test_every_template_has_a_docstring_and_examples_for_and_against() -> None:
    for rule in all_rules():
        assert type(rule).__doc__, rule.name
        if rule.name == "back_to_last_good":
            continue  # needs a git history: see the test below
        assert any(e.after for e in rule.examples), rule.name
        assert any(not e.after for e in rule.examples), f"{rule.name}: where must it not fire?"


def test_broken_lines_go_back_to_their_last_good_version(tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text("X = 1\n\n\ndef f(a):\n    return a\n")
    for words in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "good"],
    ):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    rule = next(rule for rule in all_rules() if rule.name == "back_to_last_good")
    broken = Example("X = 1\n\n\ndef f(a):\n    return )a]\n", kind="syntax")
    assert made_by(rule, broken, tmp_path) == ["X = 1\n\n\ndef f(a):\n    return a\n"]
