"""Whether a missing key or item was there a moment before."""

from __future__ import annotations

import ast

import pytest

from selfheal_engine.diagnosis.asked_before import asked_before, known_before
from selfheal_engine.diagnosis.source_file import SourceFile

LEAVES = "    if key not in jobs:\n        return None\n"


def known(body: str) -> tuple[bool, bool]:
    """(was asked for, was there) before the last look-up of `jobs` in a function."""
    file = SourceFile("m.py", f"def f(jobs, key):\n{body}".encode())
    uses = [
        node
        for node in ast.walk(file.tree)
        if (isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load | ast.Del))
        or (isinstance(node, ast.Call) and file.segment(node).startswith("jobs.pop"))
    ]
    last = max(uses, key=lambda node: node.lineno)
    statement = file.statement_of(last)
    assert statement is not None
    asked = asked_before(file, last, statement)
    return asked is not None, known_before(file, last, statement) is not None


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (f"{LEAVES}    print(key)\n    return jobs.pop(key)\n", (True, True)),
        (f"{LEAVES}    with open(key):\n        return jobs[key]\n", (True, True)),
        ("    if key in jobs:\n        print(key)\n        del jobs[key]\n", (True, True)),
        ("    if key not in jobs:\n        jobs[key] = []\n    return jobs[key]\n", (False, True)),
        ("    jobs[key].append(1)\n    return len(jobs[key])\n", (False, True)),
        ("    jobs.setdefault(key, [])\n    return jobs[key]\n", (False, True)),
        # nobody asked, or for something else, or the function itself took it out
        ("    return jobs.pop(key)\n", (False, False)),
        ("    if key not in jobs:\n        print(key)\n    return jobs[key]\n", (False, False)),
        ("    if key in jobs:\n        return None\n    return jobs.pop(key)\n", (False, False)),
        (f"{LEAVES}    key = key.lower()\n    return jobs[key]\n", (False, False)),
        (f"{LEAVES}    del jobs[key]\n    return jobs.pop(key)\n", (False, False)),
        (
            "    if key in jobs:\n        1\n    else:\n        return jobs[key]\n",
            (False, False),
        ),
        ("    old = jobs[key] if key else 0\n    return jobs[key]\n", (False, False)),
    ],
)
def test_what_came_before_the_use_is_read(body: str, found: tuple[bool, bool]) -> None:
    assert known(body) == found


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("    if not jobs:\n        return None\n    print(1)\n    return jobs.pop()\n", True),
        ("    if len(jobs) == 0:\n        return None\n    return jobs.pop(0)\n", True),
        ("    if len(jobs) < 1:\n        return None\n    return jobs.pop(-1)\n", True),
        ("    if jobs:\n        print(1)\n        return jobs.pop()\n", True),
        ("    if len(jobs) > 0:\n        return jobs.pop()\n", True),
        # nobody asked for it, asked for less, or took something in between
        ("    return jobs.pop()\n", False),
        ("    if jobs:\n        return None\n    return jobs.pop()\n", False),
        ("    if len(jobs) < 2:\n        print(1)\n    return jobs.pop()\n", False),
        ("    if not jobs:\n        return None\n    jobs.pop()\n    return jobs.pop()\n", False),
        ("    if not jobs:\n        return None\n    return jobs.pop('a')\n", False),
        ("    while jobs:\n        jobs.pop()\n        jobs.pop()\n", False),
    ],
)
def test_a_collection_that_was_not_empty_is_read_too(body: str, found: bool) -> None:
    assert known(body)[0] is found
