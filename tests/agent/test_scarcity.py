"""A library's own words do not hide that the process has no descriptor left."""

from __future__ import annotations

import subprocess
import sys

import pytest

from selfheal_agent.recent import ran_out
from selfheal_agent.scarcity import hidden_cause

NO_DESCRIPTOR_LEFT = """
import os, resource, sqlite3, sys
from selfheal_agent.capture import describe
from selfheal_agent.scarcity import hidden_cause
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
try:
    while True:
        os.dup(2)
except OSError:
    pass
try:
    sqlite3.connect(sys.argv[1])
except sqlite3.Error as why:
    print(describe(why, "exception", "test", [])["message"])
print(hidden_cause("no such table: note"))
"""


def test_what_failed_for_want_of_a_descriptor_says_so(tmp_path: object) -> None:
    words = [sys.executable, "-c", NO_DESCRIPTOR_LEFT, f"{tmp_path}/notes.db"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    message, other = done.stdout.split("\n")[:2]
    assert message.startswith("unable to open database file (too many open files")
    assert ran_out("OperationalError", message)
    assert other == ""


@pytest.mark.parametrize("message", ["unable to open database file", "too many open files", ""])
def test_a_process_with_descriptors_left_adds_nothing(message: str) -> None:
    assert hidden_cause(message) == ""
