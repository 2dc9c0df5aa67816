"""What a replay of an object made before the patch can say of a patch of its `__init__`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from selfheal_engine.model import Candidate
from selfheal_engine.project import Project
from selfheal_engine.sandbox_validator.older_objects import sets_at_birth

BASE = """\
class Base:
    def __init__(self, owner):
        self.owner = owner


class Mail(Base):
    def __init__(self, owner, key=None):
        {}if key:
            self.key = key

    def label(self):
        {}return self.owner
"""
OWNER = "AttributeError: 'Mail' object has no attribute 'owner' at app.py:12"
KEY = "AttributeError: 'app.Mail' object has no attribute 'key' at app.py:12"


@pytest.mark.parametrize(
    ("birth", "method", "fault", "attribute"),
    [
        ("super().__init__(owner)\n        ", "", OWNER, "owner"),
        ("self.key = None\n        ", "", KEY, "key"),
        ("self.other = None\n        ", "", KEY, ""),
        ("", "if not hasattr(self, 'key'):\n            return\n        ", KEY, ""),
        ("self.key = None\n        ", "", "TypeError: 'Mail' object is not callable", ""),
    ],
)
def test_only_what_init_sets_excuses_a_replay_that_lacks_it(
    birth: str, method: str, fault: str, attribute: str, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(BASE.format("", ""))
    content = BASE.format(birth, method).encode()
    candidate = Candidate("c", "logic_correction", "t", "t", "", (("app.py", content),))
    assert sets_at_birth(candidate, Project(tmp_path, sys.executable), fault) == attribute
