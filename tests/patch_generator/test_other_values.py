"""Values that should be others, blocks that should not be: what mutations make, and where none."""

from __future__ import annotations

import pytest

from tests.patch_generator.test_missing import made


@pytest.mark.parametrize(
    ("kind", "before", "after", "raised"),
    [
        (
            "call_it",
            "def f(match):\n    return lambda a, b: not match\n",
            "def f(match):\n    return lambda a, b: not (match(a, b))\n",
            "",
        ),
        (
            "call_it",
            "def f(row):\n    return row.is_open and row\n",
            "def f(row):\n    return (row.is_open()) and row\n",
            "",
        ),
        (
            "negation",
            "def f(rows):\n    return [r for r in rows if r.old]\n",
            "def f(rows):\n    return [r for r in rows if (not r.old)]\n",
            "",
        ),
        (
            "attribute",
            "def f(row):\n    return row.made\n\n\ndef g(row):\n    return row.due\n",
            "def f(row):\n    return (row.due)\n",
            "",
        ),
        (
            "hand_on",
            "def made(name, size=1):\n    return name * size\n\n\n"
            "def f(name, size):\n    return made(name)\n",
            "def f(name, size):\n    return (made(name, size=size))\n",
            "",
        ),
        (
            "or_default",
            "def f(self, at=None):\n    self.at = at\n    self.begun = now()\n",
            "def f(self, at=None):\n    self.at = (at or now())\n    self.begun = now()\n",
            "",
        ),
        (
            "none_default",
            "def f(args=None):\n    args.append(1)\n    return args\n",
            "def f(args=None):\n    if args is None:\n        args = []\n"
            "    args.append(1)\n    return args\n",
            "AttributeError",
        ),
        (
            "type_guard",
            "def f(text):\n    return int(text.replace(',', ''))\n",
            "def f(text):\n    if not isinstance(text, str):\n        return text\n"
            "    return int(text.replace(',', ''))\n",
            "AttributeError",
        ),
        (
            "or_default",
            "def f(row):\n    return int(row['count'])\n",
            "def f(row):\n    return int(((row['count']) or 0))\n",
            "",
        ),
        (
            "rounding",
            "def f(total, size):\n    return total // size\n",
            "def f(total, size):\n    return (-(-total // size))\n",
            "",
        ),
        (
            "repeat_call",
            "def f(self):\n    self.step()\n    found = self.read()\n    return found\n",
            "def f(self):\n    self.step()\n    found = self.read()\n    self.step()\n"
            "    return found\n",
            "",
        ),
        (
            "unwrap_block",
            "def f(rows, kept):\n    for row in rows:\n        if row.shown:\n"
            "            kept.append(row)\n    return kept\n",
            "def f(rows, kept):\n    for row in rows:\n        kept.append(row)\n    return kept\n",
            "",
        ),
    ],
)
def test_the_value_or_block_that_was_meant_is_among_the_edits(
    kind: str, before: str, after: str, raised: str
) -> None:
    lines = dict.fromkeys(range(1, before.count("\n") + 1), raised) if raised else None
    assert after in made(before, kind, lines)


@pytest.mark.parametrize(
    ("kind", "text", "raised"),
    [
        ("call_it", "def f(total):\n    count = 0\n    return count > total\n", ""),
        ("hand_on", "def f(name, size):\n    return made(name)\n", ""),
        ("none_default", "def f(args):\n    return args.pop()\n", "AttributeError"),
        ("type_guard", "def f(text):\n    return int(text)\n", "ValueError"),
        ("repeat_call", "def f(self, x):\n    self.put(x)\n    return x\n", ""),
        ("unwrap_block", "def f(x):\n    if x:\n        return 1\n    return 2\n", ""),
    ],
)
def test_nothing_is_offered_where_the_code_gives_no_reason(
    kind: str, text: str, raised: str
) -> None:
    lines = dict.fromkeys(range(1, text.count("\n") + 1), raised) if raised else None
    found = made(text, kind, lines)
    assert [each for each in found if "count(" in each or kind != "call_it"] == []


def test_a_function_of_very_many_names_offers_those_that_stand_near() -> None:
    body = "".join(f"    name_{n} = {n}\n" for n in range(60))
    found = made(f"def f():\n{body}    return name_59\n", "identifier")
    assert "    return (name_58)\n" in "".join(found)
    assert "    return (name_3)\n" not in "".join(found)
