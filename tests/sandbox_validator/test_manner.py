"""In which manner a patch deals with what went wrong, read from its text alone."""

from __future__ import annotations

import difflib
from textwrap import indent

import pytest

from selfheal_engine.model import Candidate, Check
from selfheal_engine.sandbox_validator.manner import added_lines, manner
from selfheal_engine.sandbox_validator.scoring import statement_only

BEFORE = "def f(d):\n    return d['a'].b\n"
GUARD = "def f(d):\n    if d['a'] is None:\n        {}\n    return d['a'].b\n"
LOOP = "def f(d):\n    while True:\n{}"
HANDLER = "def f(d):\n    try:\n        return d['a'].b\n    except KeyError:\n        {}\n"


def candidate(after: str, before: str = BEFORE) -> Candidate:
    lines = [text.splitlines(keepends=True) for text in (before, after)]
    diff = "".join(difflib.unified_diff(*lines, "a/m.py", "b/m.py"))
    return Candidate("c", "null_check", "t", "t", diff, (("m.py", after.encode()),))


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (GUARD.format("raise ValueError('no a')"), {"refuses"}),
        (GUARD.format("return jsonify(error='no a'), 422"), {"refuses"}),
        (GUARD.format("abort(404)"), {"refuses"}),
        (GUARD.format("return None"), {"stands_in"}),
        (GUARD.format("return []"), {"stands_in"}),
        (GUARD.format("return"), {"leaves_undone"}),
        (HANDLER.format("log.warning('no a')"), {"goes_on"}),
        (LOOP.format(indent(HANDLER[10:].format("log.warning('no')"), "    ")), {"isolates"}),
        (LOOP.format(indent(HANDLER[10:].format("d.clear()"), "    ")), {"goes_on"}),
        (HANDLER.format("raise Refused('no a') from None"), {"refuses"}),
        (HANDLER.format("return 0"), {"goes_on", "stands_in"}),
        (BEFORE.replace("d['a']", "d.get('a', E)"), set()),
        (BEFORE.replace("d['a']", "d.get('a')"), {"stands_in"}),
        (BEFORE.replace("d['a']", "(d['a'] or {})"), {"stands_in"}),
        (BEFORE.replace("'a'", "'b'"), set()),
        (BEFORE.replace("return d['a'].b", "return d['a'].c"), set()),
    ],
)
def test_the_manner_of_a_patch(after: str, expected: set[str]) -> None:
    assert {name for name, value in manner(candidate(after)).items() if value} == expected


def test_what_the_file_did_before_is_not_the_patchs_manner() -> None:
    above = "def g(d):\n    raise ValueError\n\n\n"
    patch = candidate(above + BEFORE.replace("'a'", "'b'"), above + BEFORE)
    assert not any(manner(patch).values())
    assert added_lines(patch.diff) == {"m.py": {6}}


@pytest.mark.parametrize(
    ("details", "only"),
    [
        (("statement: before KeyError; after no fault",), 1.0),
        (("call: before KeyError; after no fault", "statement: before KeyError; after x"), 0.0),
        ((), 0.0),
    ],
)
def test_a_statement_alone_is_known_for_the_little_it_proves(
    details: tuple[str, ...], only: float
) -> None:
    assert statement_only(Check("reproducer", "passed", "", 1, details=details)) == only
