"""What may be missing around a statement: each case gives the code that a mutation makes of it."""

from __future__ import annotations

import pytest

from selfheal_engine.diagnosis.source_file import SourceFile
from selfheal_engine.patch_generator.mutations import mutations_of
from selfheal_engine.patch_generator.quick_text import region_of, spliced

HEADS = "import re\n\n"


def made(text: str, kind: str, crashes: dict[int, str] | None = None) -> list[str]:
    """The texts that the mutations of one kind make, as the splicer leaves them."""
    file = SourceFile("m.py", text.encode())
    lines = dict.fromkeys(range(1, len(file.lines) + 1), 1.0)
    found = []
    for mutation in mutations_of(file, lines, crashes):
        region = region_of(file, mutation.line)
        if mutation.kind == kind and region is not None:
            found.append(spliced(region, mutation.edits))
    return found


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        (
            "skip_unless",
            "def f(self):\n    x = self.rows[0]\n    return x\n",
            "def f(self):\n    if self.rows:\n        x = self.rows[0]\n    return x\n",
        ),
        (
            "last_round",
            "def f(xs):\n    b = []\n    for x in xs:\n        b.append(x)\n"
            "        if len(b) == 2:\n            yield b\n            b = []\n",
            "def f(xs):\n    b = []\n    for x in xs:\n        b.append(x)\n"
            "        if len(b) == 2:\n            yield b\n            b = []\n"
            "    if b:\n        yield b\n",
        ),
        (
            "bind_now",
            "def f(ns):\n    found = []\n    for n in ns:\n"
            "        found.append(lambda x: x + n)\n    return found\n",
            "def f(ns):\n    found = []\n    for n in ns:\n"
            "        found.append((lambda x, n=n: x + n))\n    return found\n",
        ),
        (
            "fresh_default",
            "def f(x, seen=[]):\n    seen.append(x)\n    return seen\n",
            "def f(x, seen=(None)):\n    if seen is None:\n        seen = []\n"
            "    seen.append(x)\n    return seen\n",
        ),
    ],
)
def test_the_missing_code_is_added(kind: str, before: str, after: str) -> None:
    assert after in made(before, kind)


def test_a_base_class_is_started_with_what_it_takes() -> None:
    text = (
        "class A:\n    def __init__(self, w, h):\n        self.w = w\n\n\n"
        "class B(A):\n    def __init__(self, w):\n        self.x = w\n"
    )
    assert any("super().__init__(w, w)" in after for after in made(text, "call_base"))


def test_only_what_was_raised_is_tolerated() -> None:
    text = "def f(xs):\n    xs.pop(3)\n    return xs\n"
    assert made(text, "tolerate") == []
    first = made(text, "tolerate", {2: "IndexError"})[0]
    assert "try:\n        xs.pop(3)\n    except IndexError:\n        pass\n" in first
    assert made(text, "tolerate", {2: "MemoryError"}) == []


def test_the_same_class_in_two_patterns_is_changed_in_both() -> None:
    text = HEADS + (
        "def f(x):\n    a = re.findall(r'name \"([a-z]+)\"', x)\n"
        "    return a, re.findall(r'kind \"([a-z]+)\"', x)\n"
    )
    assert any(after.count('[^"]+') == 2 for after in made(text, "pattern"))


def test_a_text_that_is_no_pattern_stays() -> None:
    assert made("def f(x):\n    return x.split('[a-z]+')\n", "pattern") == []
