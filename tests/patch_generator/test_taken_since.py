"""A key that was there a moment before: to ask for it once more is no answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfheal_engine.config import Settings
from selfheal_engine.diagnosis import diagnose
from selfheal_engine.patch_generator import PatchGenerator
from selfheal_engine.patch_generator.rules import Example
from tests.patch_generator.playing import occurrence_of, project_of

HEAD = """\
import threading


class Emptied(dict):
    def __contains__(self, key):
        return True


JOBS = Emptied()


def other(name):
    if name not in JOBS:
        return None
    return JOBS[name]


"""
CHECKED = """\
def f(name='a'):
    if name not in JOBS:
        return None
    job = JOBS.pop(name)
    return job
"""
UNCHECKED = """\
def f(name='a'):
    job = JOBS.pop(name)
    return job
"""


def made(function: str, folder: Path) -> tuple[str, list[str]]:
    """The bug's type, and the texts that are proposed."""
    example = Example(before=HEAD + function)
    project = project_of(example, folder)
    occurrence = occurrence_of(example, folder)
    diagnosis = diagnose(occurrence, project)
    candidates = PatchGenerator(project, Settings()).generate(occurrence, diagnosis, 100)
    return diagnosis.bug_type, [one.files[0][1].decode() for one in candidates]


@pytest.mark.parametrize("function", [CHECKED, UNCHECKED])
def test_the_key_is_asked_for_once(tmp_path: Path, function: str) -> None:
    _, texts = made(function, tmp_path)
    other = HEAD.count("not in JOBS")
    assert max(text.count("not in JOBS") for text in texts) == other + 1


def test_what_the_check_answers_comes_first(tmp_path: Path) -> None:
    bug_type, texts = made(CHECKED, tmp_path)
    assert bug_type == "race_condition_fix"
    assert "except KeyError:\n        return None" in texts[0]
