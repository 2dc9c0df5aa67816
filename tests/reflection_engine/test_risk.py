"""Risk comes from what a patch touches, whatever its template thought of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfheal_engine.model import Candidate
from selfheal_engine.project import Project
from selfheal_engine.reflection_engine.risk import risk_of

GUARD = "def {name}(d):\n    if d is None:\n        {way}\n    return d.x\n"


def judged(folder: Path, before: str, after: str, share: float = 0.0, more: str = "") -> str:
    (folder / "m.py").write_text(before)
    (folder / "callers.py").write_text(more)
    candidate = Candidate(
        "c", "null_check", "t", "t", "", (("m.py", after.encode()),), functions=("f",), risk="low"
    )
    return risk_of(candidate, Project(folder, "python"), share)


def plain(name: str) -> str:
    return f"def {name}(d):\n    return d.x\n"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (plain("f"), GUARD.format(name="f", way="return None"), "low"),
        (plain("price"), GUARD.format(name="price", way="return 0"), "medium"),
        (plain("price"), GUARD.format(name="price", way="raise ValueError('no d')"), "low"),
        (plain("price"), GUARD.format(name="price", way="return 'no d', 422"), "low"),
        (
            plain("price"),
            "from errors import Bad\n" + GUARD.format(name="price", way="raise Bad"),
            "low",
        ),
        (plain("is_admin"), GUARD.format(name="is_admin", way="return False"), "medium"),
        (plain("is_admin"), GUARD.format(name="is_admin", way="return True"), "high"),
        ("def f(d):\n    return d.x\n", "def f(d, e):\n    return d.x\n", "high"),
        ("def f(d):\n    d.x += 1\n", "def f(d):\n    with d.lock:\n        d.x += 1\n", "medium"),
        ("def f(d):\n    d.x()\n", "def f(d):\n    d.x()\n    d.commit()\n", "medium"),
        ("def f(d):\n    return d['a']\n", "def f(d):\n    return d.get('a')\n", "low"),
        ("def f(d):\n    return d['fee']\n", "def f(d):\n    return d.get('fee')\n", "medium"),
    ],
)
def test_what_is_touched_decides(tmp_path: Path, before: str, after: str, expected: str) -> None:
    assert judged(tmp_path, before, after) == expected


@pytest.mark.parametrize(
    ("callers", "share", "expected"), [(2, 0.9, "low"), (3, 0.9, "medium"), (3, 0.1, "low"),
                                       (6, 0.0, "medium")],
)  # fmt: skip
def test_what_everybody_calls_is_more_than_a_low_risk(
    tmp_path: Path, callers: int, share: float, expected: str
) -> None:
    more = "".join(f"def g{n}(d):\n    return f(d)\n\n\n" for n in range(callers))
    after = GUARD.format(name="f", way="return None")
    assert judged(tmp_path, plain("f"), after, share, more) == expected


def test_a_template_that_calls_itself_risky_is_believed(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(plain("f"))
    files = (("m.py", GUARD.format(name="f", way="return None").encode()),)
    candidate = Candidate("c", "null_check", "t", "t", "", files, risk="high")
    assert risk_of(candidate, Project(tmp_path, "python")) == "high"
