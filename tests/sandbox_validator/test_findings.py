"""What the end of a replay says of a patch, where the sandbox lacks what the machine has."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from selfheal_engine.project import Project
from selfheal_engine.sandbox_validator.findings import lacked

ABSENT = "[Errno 2] No such file or directory: '{}'"


@pytest.mark.parametrize(
    ("before", "after", "path", "told"),
    [
        ("AttributeError", "FileNotFoundError", "/srv/other/in.txt", True),
        ("FileNotFoundError", "FileNotFoundError", "/srv/other/in.txt", False),
        ("AttributeError", "PermissionError", "/srv/other/in.txt", False),
        ("AttributeError", "FileNotFoundError", "{root}/in.txt", False),
        ("AttributeError", "FileNotFoundError", "in.txt", False),
    ],
)
def test_a_file_that_only_the_machine_has_is_no_fault_of_the_patch(
    tmp_path: Path, before: str, after: str, path: str, told: bool
) -> None:
    path = path.format(root=tmp_path)
    was = {"ended": "raised", "exception": before, "message": ABSENT.format(path)}
    now = {"ended": "raised", "exception": after, "message": ABSENT.format(path)}
    text = lacked(now, was, Project(tmp_path, sys.executable))
    assert (path in text) is told
    assert ("sandbox_paths" in text) is told
