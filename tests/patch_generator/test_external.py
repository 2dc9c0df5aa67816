"""External proposers: what they are told, what of their answer is taken."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from playing import occurrence_of, project_of

from selfheal_engine.config import Settings
from selfheal_engine.diagnosis import diagnose
from selfheal_engine.diagnosis.source_file import Sources
from selfheal_engine.patch_generator import PatchGenerator
from selfheal_engine.patch_generator.external import (
    ProposerError,
    applied,
    brief,
    proposed,
    split_diffs,
)
from selfheal_engine.patch_generator.rules import Example

EXAMPLE = Example("def f():\n    secret = 'sesame'\n    options = {}\n    return options['door']\n")
SCRIPT = Path(__file__).parents[2] / "docs" / "examples" / "proposer.py"


def test_the_documented_example_proposes_a_patch_marked_with_its_origin(tmp_path: Path) -> None:
    project = project_of(EXAMPLE, tmp_path)
    occurrence = occurrence_of(EXAMPLE, tmp_path)
    settings = Settings(proposer=f"{sys.executable} {SCRIPT}")
    diagnosis = diagnose(occurrence, project)
    outside = list(proposed(occurrence, diagnosis, Sources(project), settings))
    assert [c.origin for c in outside] == [Path(sys.executable).name]
    assert "+    return options.get('door')" in outside[0].diff
    assert outside[0].risk == "high"


@pytest.mark.parametrize("allowed", [False, True])
def test_captured_values_are_told_only_when_allowed(tmp_path: Path, allowed: bool) -> None:
    project = project_of(EXAMPLE, tmp_path)
    occurrence = occurrence_of(EXAMPLE, tmp_path)
    told = brief(occurrence, diagnose(occurrence, project), Sources(project), allowed)
    del told["files"]
    assert ("door" in json.dumps(told["message"])) is allowed
    assert ("locals" in json.dumps(told["frames"])) is allowed


def test_a_diff_for_other_lines_or_files_is_refused(tmp_path: Path) -> None:
    sources = Sources(project_of(EXAMPLE, tmp_path))
    wrong = "--- a/example.py\n+++ b/example.py\n@@ -1,1 +1,1 @@\n-def g():\n+def h():\n"
    with pytest.raises(ProposerError, match="does not fit"):
        applied(wrong, sources)
    with pytest.raises(ProposerError, match="no file of the project"):
        applied(wrong.replace("example", "../other"), sources)
    shifted = (
        "--- a/example.py\n+++ b/example.py\n@@ -9,1 +9,1 @@\n-    options = {}\n+    options = 1\n"
    )
    assert b"options = 1" in applied(shifted, sources)["example.py"]


def test_a_command_that_fails_is_said_in_a_sentence_and_costs_no_patch(tmp_path: Path) -> None:
    project = project_of(EXAMPLE, tmp_path)
    occurrence = occurrence_of(EXAMPLE, tmp_path)
    settings = Settings(proposer="/no/such/command")
    with pytest.raises(ProposerError, match="gave no answer"):
        list(proposed(occurrence, diagnose(occurrence, project), Sources(project), settings))
    made = PatchGenerator(project, settings).generate(occurrence, diagnose(occurrence, project), 50)
    assert all(c.origin == "engine" for c in made)


def test_answers_are_read_as_json_or_as_text_with_cuts() -> None:
    assert split_diffs('{"diffs": ["a", 3]}') == ["a"]
    assert split_diffs("x\n@@ 1\n---8<---\ny\n@@ 2\n") == ["x\n@@ 1\n", "y\n@@ 2\n"]
    assert split_diffs("no diff here") == []
