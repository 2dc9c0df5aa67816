"""Which part had the wrong value, for every form in which a None is used."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "patch_generator"))

from playing import occurrence_of, project_of

from selfheal_engine.diagnosis.diagnosing import examine
from selfheal_engine.diagnosis.source_file import Sources
from selfheal_engine.patch_generator.rules import Example

FORMS = {
    "augmented": ("def f(row={'n': None}):\n    n = 0\n    n += row['n']\n", "row['n']"),
    "augmented call": ("def g():\n    pass\n\n\ndef f():\n    n = 0\n    n += g()\n", "g()"),
    "unpacked": ("def g():\n    pass\n\n\ndef f():\n    a, b = g()\n", "g()"),
    "iterated": ("def f(tags=None):\n    for tag in tags:\n        print(tag)\n", "tags"),
    "iterated attribute": (
        "class R:\n    tags = None\n\n\ndef f():\n    r = R()\n    return [t for t in r.tags]\n",
        "r.tags",
    ),
    "generator": ("def f(tags=None):\n    return sum(t for t in tags)\n", "tags"),
    "contains": ("def f(grants=None):\n    return 'a' in grants\n", "grants"),
    "starred": ("def f(pair=None):\n    return max(*pair)\n", "pair"),
    "stored into": ("def f(data=None):\n    data['a'] = 1\n", "data"),
    "formatted": ("def f(price=None):\n    return f'{price:.2f}'\n", "price"),
    "joined part": ("def f(a='x', b=None):\n    return ' '.join([a, b])\n", "b"),
    "largest item": (
        "def f(rows=({'v': 1}, {'v': None})):\n    return max(r['v'] for r in rows)\n",
        "r['v']",
    ),
    "sort key": (
        "def f(rows=({'v': 1}, {'v': None})):\n    return sorted(rows, key=lambda r: r['v'])\n",
        "r['v']",
    ),
    "argument": ("def f(page=None):\n    return int(page)\n", "page"),
}


@pytest.mark.parametrize("columns", [True, False], ids=["columns", "no columns"])
@pytest.mark.parametrize("form", FORMS)
def test_the_none_is_found_in_every_form(form: str, columns: bool, tmp_path: Path) -> None:
    before, expected = FORMS[form]
    example = Example(before=before)
    project = project_of(example, tmp_path)
    findings = examine(occurrence_of(example, tmp_path, columns), Sources(project))
    failure = findings.failure
    assert failure is not None
    assert failure.culprit is not None
    assert failure.file.segment(failure.culprit) == expected
    assert failure.is_none
    assert findings.diagnosis.bug_type == "null_check"


def test_a_comprehension_belongs_to_its_function(tmp_path: Path) -> None:
    before = "def f(rows=(1,)):\n    low = None\n    return [r for r in rows if r > low]\n"
    example = Example(before=before)
    project = project_of(example, tmp_path)
    findings = examine(occurrence_of(example, tmp_path), Sources(project))
    assert [frame.function for frame in findings.own_frames] == ["f"]
    assert findings.failure is not None
    assert findings.failure.is_none
